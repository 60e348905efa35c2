//! The lines of `docs/how-to/upgrade.md`, from the previous schema to this one and back.

use std::os::unix::fs::PermissionsExt;

use super::fixture::{Fixture, LoadedFixture};
use crate::readme::snippets;
use crate::support::operator::OperatorMachine;
use crate::support::port;
use crate::support::postgres::Postgres;
use crate::support::tool::assert_passes;

const PAGE: &str = "docs/how-to/upgrade.md";

/// Returns the snippet of the page that contains `part`.
#[track_caller]
fn snippet(part: &str) -> String {
    let found = snippets(PAGE, "sh")
        .into_iter()
        .find(|text| text.contains(part));
    found.unwrap_or_else(|| panic!("no snippet has {part}"))
}

/// Returns the older fixture of a database.
fn older(kind: &str) -> LoadedFixture {
    let newest = migration::known_migrations().len();
    let fixture = Fixture::all()
        .into_iter()
        .find(|fixture| fixture.name.ends_with(kind) && fixture.migrations() < newest);
    fixture.unwrap().load()
}

#[test]
fn the_steps_for_one_server_upgrade_it_and_lead_back() {
    let fixture = older("sqlite");
    let machine = OperatorMachine::new(&format!(
        "listen = \"127.0.0.1:{}\"\nissuer = \"{}\"\ndata_dir = \"/var/lib/latchet\"\n",
        port::free(),
        fixture.known.issuer
    ));
    let data = machine.path().join("var/lib/latchet");
    let database = fixture.backend.folder.path().join("data/latchet.db");
    std::fs::copy(database, data.join("latchet.db")).unwrap();
    std::fs::write(data.join("root-secret"), &fixture.known.root_secret).unwrap();
    for file in ["latchet.db", "root-secret"] {
        let private = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(data.join(file), private).unwrap();
    }
    let migrations = || {
        let count = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]) \
            .execute('SELECT count(*) FROM seaql_migrations').fetchone()[0])";
        let script = format!("python3 -c \"{count}\" /var/lib/latchet/latchet.db");
        let count = machine.run(&script, "");
        count.trim().parse::<usize>().unwrap()
    };
    // The service of the new version, which migrates when it starts.
    machine.add_program(
        "on-start",
        "latchet --config \"$MACHINE/etc/latchet/latchet.toml\" migrate",
    );

    let report = machine.run(&snippet("cp --archive"), "");

    assert!(report.contains("its schema is up to date"), "{report}");
    assert!(
        report.contains("the root secret opens the signing keys"),
        "{report}"
    );
    assert_eq!(migrations(), migration::known_migrations().len());
    assert_eq!(
        machine.calls(),
        "systemctl stop latchet\napt-get install --yes ./latchet_*.deb\nsystemctl start latchet\n"
    );

    // The earlier version has no later migrations.
    machine.add_program("on-start", "true");
    machine.run(&snippet("latchet.failed"), "");

    assert_eq!(migrations(), fixture.migrations());
    assert!(machine.calls().ends_with("systemctl start latchet\n"));
}

#[test]
fn the_steps_for_replicas_upgrade_their_database_and_lead_back() {
    let fixture = older("postgres");
    let machine = OperatorMachine::new("");
    let database = fixture.backend.database();
    let before = format!("{database}_before");
    let run = |script: &str| {
        let script = script.replace("latchet_before", &before);
        let mut shell = machine.shell(&script);
        assert_passes(shell.envs(fixture.backend.settings()))
    };
    let migrations = |database: &str| {
        let count = Postgres::shared().sql(database, "SELECT count(*) FROM seaql_migrations");
        count.trim().parse::<usize>().unwrap()
    };

    run(&snippet("pg_dump"));
    run(&snippet("latchet migrate"));

    assert_eq!(migrations(&database), migration::known_migrations().len());

    run(&snippet("pg_restore"));

    assert_eq!(migrations(&before), fixture.migrations());
    let users = "SELECT count(*) FROM users";
    let count = |database: &str| Postgres::shared().sql(database, users);
    assert_eq!(count(&before), count(&database));
}
