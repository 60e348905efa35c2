//! Each parameter of libpq by itself.

use super::{parse, refusal};

/// Every parameter that libpq of PostgreSQL 18 documents, with values that it takes: those that are accepted,
/// then those that are refused, with a part of the reason.
#[expect(clippy::type_complexity, reason = "a table")]
const PARAMETERS: [(&str, &[&str], &[(&str, &str)]); 55] = [
    (
        "host",
        &["h", "/run/postgresql", "a,b"],
        &[("@x", "abstract")],
    ),
    ("hostaddr", &["127.0.0.1", "::1"], &[]),
    ("port", &["5433", ""], &[("x", "1 to 65535")]),
    ("dbname", &["d"], &[]),
    ("user", &["u"], &[]),
    ("password", &["p"], &[]),
    ("passfile", &[], &[("/x", "PGPASSFILE")]),
    (
        "require_auth",
        &[],
        &[("scram-sha-256", "pg_hba.conf"), ("none", "pg_hba.conf")],
    ),
    (
        "channel_binding",
        &["prefer", "disable"],
        &[
            ("require", "SCRAM without channel binding"),
            ("require", "write channel_binding=prefer"),
            ("require", "disable or prefer"),
        ],
    ),
    (
        "connect_timeout",
        &["7", "0", "-1"],
        &[("soon", "number of seconds")],
    ),
    (
        "client_encoding",
        &["UTF8", "auto"],
        &[("LATIN1", "text is UTF-8")],
    ),
    ("options", &["-c%20geqo%3Doff"], &[]),
    ("application_name", &["auth"], &[]),
    (
        "fallback_application_name",
        &["latchet"],
        &[("auth", "application_name")],
    ),
    ("keepalives", &["0"], &[("1", "has a deadline")]),
    ("keepalives_idle", &[], &[("30", "has a deadline")]),
    ("keepalives_interval", &[], &[("10", "has a deadline")]),
    ("keepalives_count", &[], &[("3", "has a deadline")]),
    ("tcp_user_timeout", &["0"], &[("1000", "has a deadline")]),
    ("replication", &["off"], &[("database", "copies a server")]),
    (
        "gssencmode",
        &["disable", "prefer"],
        &[("require", "GSSAPI is not supported; encrypt by sslmode")],
    ),
    (
        "sslmode",
        &["disable", "allow", "prefer", "require", "verify-full"],
        &[("verify-ca", "sslrootcert"), ("on", "is one of")],
    ),
    ("ssl", &["true"], &[("1", "use sslmode")]),
    ("requiressl", &["0"], &[("1", "sslmode=require")]),
    (
        "sslnegotiation",
        &["postgres"],
        &[("direct", "asks the server before")],
    ),
    ("sslcompression", &["0"], &[("1", "never compressed")]),
    ("sslcert", &[], &[("c.pem", "belong together")]),
    ("sslkey", &[], &[("k.pem", "belong together")]),
    ("sslkeylogfile", &[], &[("/x", "never written")]),
    ("sslpassword", &[], &[("p", "openssl pkey")]),
    (
        "sslcertmode",
        &["allow"],
        &[("require", "where the server asks")],
    ),
    ("sslrootcert", &["/etc/ca.pem", "system"], &[]),
    ("sslcrl", &[], &[("/x", "are not read")]),
    ("sslcrldir", &[], &[("/x", "are not read")]),
    ("sslsni", &["1"], &[("0", "part of every TLS handshake")]),
    ("requirepeer", &[], &[("postgres", "protect the folder")]),
    (
        "ssl_min_protocol_version",
        &["TLSv1.2"],
        &[("TLSv1.3", "the server chooses")],
    ),
    (
        "ssl_max_protocol_version",
        &["TLSv1.3"],
        &[("TLSv1.2", "the server chooses")],
    ),
    ("min_protocol_version", &["3.0"], &[("3.2", "3.0 of the")]),
    ("max_protocol_version", &["3.0", "3.2", "latest"], &[]),
    ("krbsrvname", &["postgres"], &[("pg", "GSSAPI")]),
    ("gsslib", &[], &[("gssapi", "GSSAPI")]),
    ("gssdelegation", &["0"], &[("1", "GSSAPI")]),
    ("scram_client_key", &[], &[("x", "give the password")]),
    ("scram_server_key", &[], &[("x", "give the password")]),
    ("service", &[], &[("x", "into the URL")]),
    ("servicefile", &[], &[("/x", "into the URL")]),
    (
        "target_session_attrs",
        &["any", "read-write", "primary"],
        &[
            ("read-only", "every login writes"),
            ("standby", "every login writes"),
            ("prefer-standby", "every login writes"),
        ],
    ),
    (
        "load_balance_hosts",
        &["disable", "random"],
        &[("round-robin", "disable or random")],
    ),
    ("oauth_issuer", &[], &[("x", "by a password")]),
    ("oauth_client_id", &[], &[("x", "by a password")]),
    ("oauth_client_secret", &[], &[("x", "by a password")]),
    ("oauth_scope", &[], &[("x", "by a password")]),
    ("pgbouncer", &["true", "false"], &[("yes", "true or false")]),
    ("schema", &[], &[("x", "does not know")]),
];

#[test]
fn every_parameter_of_libpq_works_or_is_refused_with_the_reason() {
    for (name, accepted, refused) in PARAMETERS {
        assert!(!(accepted.is_empty() && refused.is_empty()), "{name}");
        for value in accepted {
            parse(&format!("h/d?{name}={value}"));
        }
        for (value, reason) in refused {
            let why = refusal(&format!("h/d?{name}={value}"));
            assert!(why.contains(reason), "{name}={value}: {why}");
        }
    }
}
