//! Variables of libpq beside a URL.

use super::*;

fn completed(rest: &str, env: &[(&str, &str)]) -> Result<PostgresUrl, String> {
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    let env: Vec<(OsString, OsString)> = env.collect();
    let url = PostgresUrl::complete(&format!("postgres://{rest}"), &env)?;
    PostgresUrl::parse(&url)
}

#[test]
fn variables_of_libpq_say_what_a_url_leaves_out() {
    let env = [
        ("PGHOST", "/run/postgresql"),
        ("PGPORT", "5433"),
        ("PGDATABASE", "my db"),
        ("PGUSER", "u@x"),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", "/etc/ca+1.pem"),
        ("PGSSLCERT", "c.pem"),
        ("PGSSLKEY", "k.pem"),
        ("PGTARGETSESSIONATTRS", "primary"),
        ("PGLOADBALANCEHOSTS", "random"),
        ("PGCONNECT_TIMEOUT", "7"),
        ("PGAPPNAME", "auth & co"),
        ("PGCHANNELBINDING", "prefer"),
        ("PGGSSENCMODE", "disable"),
    ];

    let url = completed("", &env).unwrap();

    assert_eq!(hosts(&url), [(Some("/run/postgresql"), Some(5433))]);
    assert_eq!(url.database.as_deref(), Some("my db"));
    assert_eq!(url.user.as_deref(), Some("u@x"));
    assert_eq!(url.tls, Some(TlsMode::VerifyCa));
    let root = Some(PathBuf::from("/etc/ca+1.pem"));
    assert_eq!(url.root_certificate, root);
    assert_eq!(url.client_certificate.unwrap().key, PathBuf::from("k.pem"));
    assert_eq!(url.target, TargetSessionAttributes::Writable);
    assert!(url.is_shuffled);
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(url.application_name.as_deref(), Some("auth & co"));
}

#[test]
fn what_a_url_says_counts_more_than_a_variable() {
    let env = [
        ("PGHOST", "elsewhere"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGDATABASE", "other"),
        ("PGUSER", "other"),
        ("PGSSLMODE", "disable"),
        ("PGCHANNELBINDING", "require"),
        ("PGAPPNAME", "other"),
        ("PGTZ", "Europe/Vienna"),
        ("PGCLIENTENCODING", "LATIN1"),
        ("PGSERVICEFILE", "/x"),
        ("PGREQUIREAUTH", ""),
    ];
    let said = "sslmode=require&channel_binding=prefer&application_name=auth";

    let url = completed(&format!("u@h:5433/d?{said}"), &env).unwrap();

    assert_eq!(hosts(&url), [(Some("h"), Some(5433))]);
    assert_eq!(url.redacted(), "postgres://u@h:5433/d");
    assert_eq!(url.tls, Some(TlsMode::Require));
    assert_eq!(url.application_name.as_deref(), Some("auth"));
    let jdbc = completed("u@h:5433/d?ssl=true&channel_binding=prefer", &env).unwrap();
    assert_eq!(jdbc.tls, Some(TlsMode::Require));
}

#[test]
fn a_variable_that_cannot_be_obeyed_is_named_with_the_reason() {
    for (variable, value, reason) in [
        (
            "PGCHANNELBINDING",
            "require",
            "write channel_binding=prefer",
        ),
        ("PGREQUIREAUTH", "scram-sha-256", "pg_hba.conf"),
        ("PGSSLMODE", "REQUIRE", "sslmode is one of"),
        ("PGSSLMODE", "verify-ca", "sslrootcert"),
        ("PGREQUIRESSL", "1", "sslmode=require"),
        ("PGSSLNEGOTIATION", "direct", "asks the server before"),
        ("PGSSLCERT", "c.pem", "belong together"),
        ("PGSSLCRL", "/x", "are not read"),
        ("PGGSSENCMODE", "require", "GSSAPI"),
        ("PGSERVICE", "x", "into the URL"),
        ("PGTARGETSESSIONATTRS", "standby", "every login writes"),
        ("PGLOADBALANCEHOSTS", "yes", "disable or random"),
        ("PGCONNECT_TIMEOUT", "soon", "number of seconds"),
        ("PGREQUIREPEER", "postgres", "protect the folder"),
        ("PGPORT", "tcp://10.0.0.1:5432", "1 to 65535"),
        ("PGMINPROTOCOLVERSION", "3.2", "version 3.0"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv1.3", "the server chooses"),
    ] {
        let harmless = ("PGAPPNAME", "auth");

        let why = completed("u@h/d", &[harmless, (variable, value)]).unwrap_err();

        assert!(why.starts_with(&format!("{variable}: ")), "{why}");
        assert!(why.contains(reason), "{variable}={value}: {why}");
    }
}
