//! A database that a later version has migrated, and migrations beside running servers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::fixture::{Fixture, LoadedFixture};
use crate::databases::diagnosis::refusal;
use crate::databases::failure;
use crate::support::child::{Child, EndSignal};
use crate::support::client::Person;
use crate::support::postgres::Postgres;
use crate::support::server::{Replica, command, run};
use crate::support::{Backend, poll};

/// First migration of a later version: columns, an index, a table, and its record.
const NEXT_MIGRATION: &str = "
    ALTER TABLE sessions ADD COLUMN origin text NOT NULL DEFAULT '';
    ALTER TABLE users ADD COLUMN region text;
    CREATE TABLE later (id integer NOT NULL PRIMARY KEY);
    CREATE INDEX sessions_origin ON sessions (origin);
    INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0);";

fn newest_of_this_program() -> String {
    migration::known_migrations().pop().unwrap()
}

/// The fixtures of the newest schema, one of each database.
fn current() -> Vec<LoadedFixture> {
    let newest = migration::known_migrations().len();
    let mut fixtures = Fixture::all();
    fixtures.retain(|fixture| fixture.migrations() == newest);
    assert_eq!(fixtures.len(), 2);
    fixtures.into_iter().map(Fixture::load).collect()
}

#[track_caller]
fn assert_refused(said: &str, what: &str) {
    for part in [
        "m9999_later",
        &newest_of_this_program(),
        "restore the backup",
    ] {
        assert!(said.contains(part), "{what}: {part}: {said}");
    }
}

#[test]
fn a_newer_schema_is_refused_by_the_server_and_every_command() {
    for fixture in current() {
        fixture.execute_script(NEXT_MIGRATION);
        let columns = fixture.columns();
        let before = fixture.rows(&columns);

        assert_refused(&refusal(&fixture.backend), "serve");
        for arguments in [
            &["migrate"][..],
            &["doctor"],
            &["setup-link"],
            &["user", "add", "fay"],
            &["user", "list"],
            &["user", "disable", "ben"],
            &["user", "enable", "cleo"],
            &["user", "roles", "ben"],
            &["user", "password", "ben"],
            &["user", "reset-link", "ben"],
            &["user", "sessions-end", "ben"],
            &["key", "list"],
            &["key", "rotate"],
            &["key", "export-jwks"],
        ] {
            let said = failure(&fixture.backend, arguments);
            assert_refused(&said, &format!("{}: {arguments:?}", fixture.name));
        }

        assert_eq!(before, fixture.rows(&columns), "{}", fixture.name);
    }
}

/// Lets a user visit without pause until `stop`, and returns the number of visits.
async fn visits(person: Person, stop: &AtomicBool, count: &AtomicUsize) {
    while !stop.load(Ordering::SeqCst) {
        let session = person.login().await.rotate().await;
        session.check().await.expect(200);
        session.logout().await.expect(204);
        session.refresh().await.expect(401);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_serves_during_and_after_the_migration_of_a_later_version() {
    for fixture in current() {
        let backend = &fixture.backend;
        let server = Replica::start(backend).await;
        let person = |name: &str| Person {
            http: server.http.clone(),
            name: name.to_owned(),
            password: format!("a long password of {name}"),
        };
        let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let after = |more: usize| {
            let seen = count.load(Ordering::SeqCst);
            let count = &count;
            poll::until_some("further visits", async move || {
                (count.load(Ordering::SeqCst) >= seen + more).then_some(())
            })
        };

        let operator = async {
            after(2).await;
            tokio::task::block_in_place(|| fixture.execute_script(NEXT_MIGRATION));
            after(4).await;
            stop.store(true, Ordering::SeqCst);
        };
        tokio::join!(
            visits(person("ada"), &stop, &count),
            visits(person("ben"), &stop, &count),
            operator
        );

        let ready = server.http.get("/readyz").send().await.expect(200);
        assert_eq!(ready.field("database"), "ok");
        assert_refused(&failure(backend, &["user", "list"]), "beside the server");
    }
}

/// A statement that waits for the lock of a table makes all later ones wait. So a migration gives up after a
/// while, lets them run, and tries again.
#[test]
fn a_migration_does_not_hold_up_requests_while_a_table_is_in_use() {
    let older = Fixture::all()
        .into_iter()
        .find(|fixture| fixture.name.ends_with("-postgres") && fixture.migrations() < 6)
        .unwrap();
    let fixture = older.load();
    let database = fixture.backend.database();
    // Longer than any statement of a server, as a report of the operator may be.
    let held = Postgres::shared().hold(&database, "sessions");
    let log = fixture.backend.folder.path().join("migrate.log");
    let mut migrate = command(&fixture.backend);
    migrate
        .arg("migrate")
        .env("LATCHET_LOG_LEVEL", "info")
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    let mut migrate = Child::start(&mut migrate, EndSignal::Kill);

    for _ in 0..2 {
        poll::until("the migration to wait for the table", || {
            held.is_waited_for()
        });
        poll::until("the migration to give way", || !held.is_waited_for());
    }
    assert!(migrate.ended().is_none(), "it tries again");
    held.release();

    assert!(migrate.wait(poll::DEADLINE).success());
    run(&fixture.backend, &["user", "list"]);
}

/// A login locks tables in another order than a migration. PostgreSQL would end one of the two.
#[test]
fn a_transaction_that_crosses_a_migration_succeeds_and_so_does_the_migration() {
    let older = Fixture::all()
        .into_iter()
        .find(|fixture| fixture.name.ends_with("-postgres") && fixture.migrations() < 5)
        .unwrap();
    let fixture = older.load();
    let database = fixture.backend.database();
    // m0005 has locked `throttles` when m0006 waits for `sessions`.
    let crossing = "BEGIN; LOCK TABLE sessions IN ROW EXCLUSIVE MODE; \
        DO $$ BEGIN WHILE NOT EXISTS ( \
            SELECT FROM pg_locks WHERE relation = 'sessions'::regclass AND NOT granted \
        ) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; \
        UPDATE throttles SET attempts = attempts; COMMIT; SELECT 'committed'";
    let is_locked = "SELECT count(*) FROM pg_locks WHERE relation = 'sessions'::regclass";

    std::thread::scope(|scope| {
        let transaction = scope.spawn(|| Postgres::shared().sql(&database, crossing));
        poll::until("the transaction to lock the table", || {
            Postgres::shared().sql(&database, is_locked).trim() == "1"
        });

        run(&fixture.backend, &["migrate"]);

        assert!(transaction.join().unwrap().contains("committed"));
    });
}

/// A rollback of the program is possible until it has migrated, and then by the backup.
#[test]
fn a_failed_migration_changes_nothing() {
    let older = Fixture::all()
        .into_iter()
        .filter(|fixture| fixture.migrations() < 7);
    for fixture in older {
        let fixture = fixture.load();
        // The last migration finds its table taken.
        fixture.execute_script("CREATE TABLE installation (id integer);");
        let columns = fixture.columns();
        let before = fixture.rows(&columns);

        failure(&fixture.backend, &["migrate"]);

        assert_eq!(columns, fixture.columns(), "{}", fixture.name);
        assert_eq!(before, fixture.rows(&columns), "{}", fixture.name);
        fixture.execute_script("DROP TABLE installation;");
        run(&fixture.backend, &["migrate"]);
    }
}

/// Several replicas of a new version may start at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_migrate_once() {
    let older = Fixture::all()
        .into_iter()
        .find(|fixture| fixture.name.ends_with("-postgres"))
        .unwrap();
    let fixture = older.load();
    let backend: &Backend = &fixture.backend;

    let (one, two, three) = tokio::join!(
        Replica::start(backend),
        Replica::start(backend),
        Replica::start(backend)
    );

    for server in [&one, &two, &three] {
        server.http.get("/readyz").send().await.expect(200);
    }
    let applied = fixture.value("SELECT count(*) FROM seaql_migrations");
    assert_eq!(applied, migration::known_migrations().len().to_string());
}
