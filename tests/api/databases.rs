//! PostgreSQL as others run it: forms of URL, TLS, poolers, few connections, other defaults.

use std::process::Output;

use crate::support::Backend;
use crate::support::client::Person;
use crate::support::http::Http;
use crate::support::postgres::Postgres;
use crate::support::server::{Replica, command, run};

pub(crate) mod diagnosis;
#[cfg(target_os = "linux")]
mod disk;
mod installations;
mod poolers;
mod standby;
mod tls;

/// Runs a command that may fail.
fn output(backend: &Backend, arguments: &[&str]) -> Output {
    let output = command(backend).args(arguments).output();
    output.expect("latchet starts")
}

/// Runs a command that must fail, and returns its output.
#[track_caller]
pub(crate) fn failure(backend: &Backend, arguments: &[&str]) -> String {
    let output = output(backend, arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    said
}

/// The requests of one person from the login to the logout.
async fn visit(person: Person) {
    let session = person.login().await;
    let session = session.rotate().await;
    session.check().await.expect(200);
    session.logout().await.expect(204);
    session.check().await.expect_problem(401, "token_revoked");
}

/// Lets `count` visits of one person happen at once.
async fn visits(person: &Person, count: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        tasks.spawn(visit(person.clone()));
    }
    tasks.join_all().await;
}

/// The settings with which many people of one address may log in at once.
fn crowded(backend: Backend) -> Backend {
    backend
        .with("LATCHET_THROTTLE_ACCOUNT", "1000/15m")
        .with("LATCHET_THROTTLE_ACCOUNT_IP", "1000/15m")
        .with("LATCHET_THROTTLE_IP", "10000/15m")
}

#[track_caller]
fn name_of(url: &str) -> &str {
    url.rsplit('/').next().expect("a URL has parts")
}

#[test]
fn every_form_of_url_reaches_the_database() {
    let server = Postgres::shared();
    let port = server.port();
    let folder = server.folder().display().to_string();
    let escaped = folder.replace('/', "%2F");
    let name = name_of(&server.database()).to_owned();
    let host = format!("127.0.0.1:{port}");

    for url in [
        format!("postgres://postgres@{host}/{name}"),
        format!("postgresql://postgres@localhost:{port}/{name}"),
        format!("postgres://postgres@[::1]:{port}/{name}"),
        format!("postgres://postgres@{escaped}:{port}/{name}"),
        format!("postgres:///{name}?host={folder}&port={port}&user=postgres"),
        format!("postgres:///?host={folder}&port={port}&user=postgres&dbname={name}"),
        format!("postgres:///{name}?host={folder}&port={port}&user=postgres&sslmode=require"),
        format!("postgres://postgres@127.0.0.1:1,{host}/{name}"),
        format!("postgres://postgres@[::1]:1,[::1]:{port}/{name}?target_session_attrs=read-write"),
        format!("postgres://postgres@{host},127.0.0.1:1/{name}?load_balance_hosts=random"),
        format!("postgres://postgres@no-such-host.invalid/{name}?hostaddr=127.0.0.1&port={port}"),
        format!("postgres://postgres@{host}/{name}?options=-c%20geqo%3Doff&connect_timeout=9"),
        format!("postgres://postgres@{host}/{name}?application_name=auth&client_encoding=utf8"),
        format!("postgres://postgres@{host}/{name}?sslmode=disable"),
        format!("postgres://postgres@{host}/{name}?sslmode=allow"),
        format!("postgres://postgres@{host}/{name}?sslmode=prefer"),
        format!("postgres://postgres@{host}/{name}?pgbouncer=true"),
    ] {
        let migrated = output(&Backend::at(&url), &["migrate"]);
        let said = String::from_utf8_lossy(&migrated.stderr);
        assert!(migrated.status.success(), "{url}: {said}");
    }
}

#[test]
fn unsupported_url_options_are_refused_with_the_reason() {
    let url = Postgres::shared().database();

    for (parameter, reason) in [
        ("sslmode=require", "TLS"),
        ("sslmode=verify-ca", "sslrootcert"),
        (
            "sslmode=verify-full&sslrootcert=/no/such/file",
            "/no/such/file",
        ),
        ("sslmode=sometimes", "sslmode is one of"),
        ("channel_binding=require", "write channel_binding=prefer"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("ssl_mode=require", "sslmode"),
        ("schema=auth", "parameter"),
    ] {
        let said = failure(&Backend::at(&format!("{url}?{parameter}")), &["migrate"]);
        assert!(said.contains(reason), "{parameter}: {said}");
    }
}

#[test]
fn what_a_url_leaves_out_comes_from_the_variables_of_libpq() {
    let server = Postgres::shared();
    let port = server.port().to_string();
    let folder = server.folder().display().to_string();
    let name = name_of(&server.database()).to_owned();
    let ports = format!("1,{port}");

    for (url, variables) in [
        (
            "postgres://".to_owned(),
            vec![
                ("PGHOST", folder.as_str()),
                ("PGPORT", port.as_str()),
                ("PGUSER", "postgres"),
                ("PGDATABASE", name.as_str()),
            ],
        ),
        (
            format!("postgres://postgres@/{name}"),
            vec![
                ("PGHOST", "127.0.0.1,127.0.0.1"),
                ("PGPORT", ports.as_str()),
                ("PGCONNECT_TIMEOUT", "9"),
                ("PGTARGETSESSIONATTRS", "read-write"),
            ],
        ),
        (
            format!("postgres:///{name}"),
            vec![
                ("PGHOSTADDR", "127.0.0.1"),
                ("PGPORT", port.as_str()),
                ("PGUSER", "postgres"),
                ("PGSSLMODE", "disable"),
            ],
        ),
    ] {
        let mut backend = Backend::at(&url);
        for (variable, value) in &variables {
            backend = backend.with(variable, value);
        }
        let migrated = output(&backend, &["migrate"]);
        let said = String::from_utf8_lossy(&migrated.stderr);
        assert!(migrated.status.success(), "{variables:?}: {said}");
        assert!(said.contains(&format!("/{name}")), "{said}");
    }
}

#[test]
fn a_variable_of_libpq_that_asks_in_vain_is_named() {
    let url = Postgres::shared().database();
    for (variable, value, reason) in [
        ("PGSSLMODE", "require", "TLS"),
        ("PGSSLMODE", "sometimes", "PGSSLMODE: sslmode is one of"),
        ("PGCHANNELBINDING", "require", "PGCHANNELBINDING: "),
        ("PGSERVICE", "auth", "PGSERVICE: "),
    ] {
        let said = failure(&Backend::at(&url).with(variable, value), &["migrate"]);
        assert!(said.contains(reason), "{variable}={value}: {said}");
    }
}

/// The password comes from the URL, the variable or the file, over TLS and without.
#[test]
fn a_password_is_proved_by_scram_wherever_it_is_written() {
    let server = tls::server(&crate::support::tls::Authority::new());
    let url = server.database();
    let name = name_of(&url).to_owned();
    server.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'a: b'");
    let owner = format!("ALTER DATABASE {name} OWNER TO app");
    server.sql("postgres", &owner);
    let rules = "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n";
    server.private_file("data/pg_hba.conf", rules.as_bytes());
    server.sql("postgres", "SELECT pg_reload_conf()");
    let address = format!("127.0.0.1:{}", server.port());
    let bare = format!("postgres://app@{address}/{name}");
    let with = format!("postgres://app:a%3A%20b@{address}/{name}");
    let file = crate::support::scratch::folder();
    let file = file.path().join("pgpass");
    std::fs::write(&file, format!("{address}:{name}:app:a\\: b\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let table = [
        Backend::at(&format!("{with}?sslmode=require&channel_binding=prefer")),
        Backend::at(&format!("{with}?sslmode=require&channel_binding=disable")),
        Backend::at(&format!("{with}?sslmode=disable")),
        Backend::at(&bare).with("PGPASSWORD", "a: b"),
        Backend::at(&bare).with("PGPASSFILE", file.to_str().unwrap()),
    ];
    for backend in table {
        run(&backend, &["migrate"]);
    }
    let said = failure(&Backend::at(&bare).with("PGPASSWORD", "x"), &["migrate"]);
    assert!(said.contains("password authentication failed"), "{said}");
}

#[test]
fn the_name_of_the_program_and_the_options_reach_the_server() {
    let server = Postgres::start();
    let url = server.database();
    let options = "options=-c%20search_path%3Delsewhere&application_name=auth";
    server.sql(name_of(&url), "CREATE SCHEMA elsewhere");
    server.sql("postgres", "ALTER SYSTEM SET log_line_prefix = '<%a> '");
    server.sql("postgres", "ALTER SYSTEM SET log_statement = 'ddl'");
    server.sql("postgres", "SELECT pg_reload_conf()");

    run(&Backend::at(&format!("{url}?{options}")), &["migrate"]);

    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'elsewhere'";
    assert_ne!(server.sql(name_of(&url), tables).trim(), "0");
    let log = std::fs::read_to_string(server.folder().join("log")).unwrap();
    assert!(log.contains("<auth>"), "{log}");
}

/// Role, database and server may each have other defaults.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_logins_succeed_at_every_default_isolation_level() {
    for isolation in ["serializable", "repeatable read"] {
        let server = Postgres::start();
        let url = server.database();
        let setting = format!("SET default_transaction_isolation = '{isolation}'");
        server.sql(
            "postgres",
            &format!("ALTER DATABASE {} {setting}", name_of(&url)),
        );
        server.sql("postgres", &format!("ALTER ROLE postgres {setting}"));
        let replica = Replica::start(&crowded(Backend::at(&url))).await;
        let alice = replica.http.person("alice").await;

        for _ in 0..3 {
            visits(&alice, 8).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_few_connections_serves_with_those() {
    for limit in [2, 4] {
        let server = Postgres::start();
        let url = server.database();
        let role = format!("CREATE ROLE app LOGIN CONNECTION LIMIT {limit}");
        server.sql("postgres", &role);
        server.sql(
            "postgres",
            &format!("ALTER DATABASE {} OWNER TO app", name_of(&url)),
        );
        let url = url.replace("postgres@", "app@");
        let replica = Replica::start(&crowded(Backend::at(&url))).await;
        let alice = replica.http.person("alice").await;

        for _ in 0..3 {
            visits(&alice, 8).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_connections_are_opened_than_are_allowed() {
    let server = Postgres::start();
    let url = server.database();
    for most in ["1", "3"] {
        let backend = crowded(Backend::at(&url)).with("LATCHET_DATABASE_CONNECTIONS", most);
        let replica = Replica::start(&backend).await;
        let alice = person_at(&replica.http, most).await;

        visits(&alice, 12).await;

        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'latchet'";
        let open: u32 = server.sql("postgres", count).trim().parse().unwrap();
        assert!(open <= most.parse().unwrap(), "{open} of {most}");
        replica.kill();
        crate::support::poll::until("the connections to go", || {
            server.sql("postgres", count).trim() == "0"
        });
    }
}

async fn person_at(http: &Http, suffix: &str) -> Person {
    http.person(&format!("alice{suffix}")).await
}
