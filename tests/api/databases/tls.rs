//! TLS to PostgreSQL, as libpq does it.

use crate::support::Backend;
use crate::support::postgres::Postgres;
use crate::support::server::run;
use crate::support::tls::Authority;

use super::failure;

/// A server whose certificate is for a name that it is not reached by.
pub(super) fn server(authority: &Authority) -> Postgres {
    let server = Postgres::start();
    let certificate = authority.sign("DNS:db.test");
    server.private_file("data/server.crt", &certificate.chain);
    server.private_file("data/server.key", &certificate.key);
    server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
    crate::support::poll::until("TLS to be on", || {
        server.sql("postgres", "SHOW ssl").trim() == "on"
    });
    server
}

#[test]
fn the_certificate_is_checked_as_far_as_the_mode_says() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = server(&ours);
    let url = server.database();
    let (ours, other) = (ours.file(), other.file());
    let (ours, other) = (ours.display(), other.display());

    for parameters in [
        "sslmode=require".to_owned(),
        format!("sslmode=require&sslrootcert={ours}"),
        format!("sslmode=verify-ca&sslrootcert={ours}"),
        "sslmode=prefer".to_owned(),
        "sslmode=allow".to_owned(),
        "sslmode=disable".to_owned(),
    ] {
        run(&Backend::at(&format!("{url}?{parameters}")), &["migrate"]);
    }
    for parameters in [
        format!("sslmode=require&sslrootcert={other}"),
        format!("sslmode=verify-ca&sslrootcert={other}"),
        // The name differs.
        format!("sslmode=verify-full&sslrootcert={ours}"),
        "sslmode=verify-full".to_owned(),
        "sslmode=verify-full&sslrootcert=system".to_owned(),
    ] {
        let said = failure(&Backend::at(&format!("{url}?{parameters}")), &["migrate"]);
        assert!(said.contains("certificate"), "{parameters}: {said}");
    }
}

#[test]
fn a_certificate_for_the_host_passes_the_whole_check() {
    let authority = Authority::new();
    let server = Postgres::start();
    let certificate = authority.sign("DNS:localhost,IP:127.0.0.1,IP:::1");
    server.private_file("data/server.crt", &certificate.chain);
    server.private_file("data/server.key", &certificate.key);
    server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let database = server.database();
    let name = super::name_of(&database);
    let file = authority.file();

    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let url = format!(
            "postgres://postgres@{host}:{}/{name}?sslmode=verify-full&sslrootcert={}",
            server.port(),
            file.display()
        );
        run(&Backend::at(&url), &["migrate"]);
    }
}

#[test]
fn a_server_that_takes_only_encrypted_connections_is_reached_by_default() {
    let authority = Authority::new();
    let server = server(&authority);
    let url = server.database();
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
    server.private_file("data/pg_hba.conf", rules.as_bytes());
    server.sql("postgres", "SELECT pg_reload_conf()");

    for parameters in ["", "?sslmode=allow", "?sslmode=prefer", "?sslmode=require"] {
        run(&Backend::at(&format!("{url}{parameters}")), &["migrate"]);
    }
    let said = failure(
        &Backend::at(&format!("{url}?sslmode=disable")),
        &["migrate"],
    );
    assert!(said.contains("no encryption"), "{said}");
}

#[test]
fn a_server_that_takes_only_plain_connections_is_reached_by_default() {
    let authority = Authority::new();
    let server = server(&authority);
    let url = server.database();
    let rules = "local all all trust\nhostnossl all all 127.0.0.1/32 trust\n";
    server.private_file("data/pg_hba.conf", rules.as_bytes());
    server.sql("postgres", "SELECT pg_reload_conf()");

    for parameters in ["", "?sslmode=allow", "?sslmode=prefer", "?sslmode=disable"] {
        run(&Backend::at(&format!("{url}{parameters}")), &["migrate"]);
    }
}
