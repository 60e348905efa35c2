//! Parameters that change nothing, and what is said where somebody relies on them.

use crate::config::sources::did_you_mean;

/// A parameter that is accepted with the values that ask for what happens anyway.
struct Fixed {
    name: &'static str,
    values: &'static [&'static str],
    /// Reason why no other value works, or what to do instead.
    reason: &'static str,
}

const fn fixed(name: &'static str, values: &'static [&'static str], reason: &'static str) -> Fixed {
    Fixed {
        name,
        values,
        reason,
    }
}

const NO_GSSAPI: &str = "GSSAPI is not supported";
const NO_KEEPALIVE: &str =
    "every statement has a deadline, and connections that rest are closed after a minute";
const NO_OAUTH: &str = "sign in by a password or a client certificate";
const NO_SERVICE: &str = "write the parameters of the service into the URL";
const PROTOCOL: &str = "version 3.0 of the protocol is spoken";
const TLS_VERSIONS: &str = "TLS 1.2 and 1.3 are offered, and the server chooses";

/// Parameters that are accepted with these values.
const FIXED_VALUES: [Fixed; 18] = [
    fixed(
        "channel_binding",
        &["disable", "prefer"],
        "the driver signs in by SCRAM without channel binding; write channel_binding=prefer, and use sslmode=verify-full to authenticate the server",
    ),
    fixed(
        "client_encoding",
        &["utf8", "utf-8", "unicode", "auto"],
        "text is UTF-8 on every connection; leave it out",
    ),
    fixed(
        "fallback_application_name",
        &["latchet"],
        "set application_name instead",
    ),
    fixed("gssdelegation", &["0"], NO_GSSAPI),
    fixed(
        "gssencmode",
        &["disable", "prefer"],
        "GSSAPI is not supported; encrypt by sslmode",
    ),
    fixed("keepalives", &["0"], NO_KEEPALIVE),
    fixed("krbsrvname", &["postgres"], NO_GSSAPI),
    fixed("max_protocol_version", &["3.0", "3.2", "latest"], PROTOCOL),
    fixed("min_protocol_version", &["3.0"], PROTOCOL),
    fixed(
        "replication",
        &["false", "off", "no", "0"],
        "such a connection copies a server and answers no questions; leave it out",
    ),
    fixed("requiressl", &["0"], "write sslmode=require instead"),
    fixed("ssl_max_protocol_version", &["tlsv1.3", ""], TLS_VERSIONS),
    fixed(
        "ssl_min_protocol_version",
        &["tlsv1", "tlsv1.1", "tlsv1.2", ""],
        TLS_VERSIONS,
    ),
    fixed(
        "sslcertmode",
        &["allow"],
        "the certificate that sslcert names is sent where the server asks for one; leave it out",
    ),
    fixed("sslcompression", &["0"], "TLS is never compressed"),
    fixed(
        "sslnegotiation",
        &["postgres"],
        "the driver asks the server before it begins with TLS; leave it out",
    ),
    fixed(
        "sslsni",
        &["1"],
        "the name of the host is part of every TLS handshake; leave it out",
    ),
    fixed("tcp_user_timeout", &["0"], NO_KEEPALIVE),
];

/// Parameters of libpq that are not supported, and what to do instead.
const UNSUPPORTED: [(&str, &str); 19] = [
    ("gsslib", NO_GSSAPI),
    ("keepalives_count", NO_KEEPALIVE),
    ("keepalives_idle", NO_KEEPALIVE),
    ("keepalives_interval", NO_KEEPALIVE),
    ("oauth_client_id", NO_OAUTH),
    ("oauth_client_secret", NO_OAUTH),
    ("oauth_issuer", NO_OAUTH),
    ("oauth_scope", NO_OAUTH),
    ("passfile", "set the variable PGPASSFILE instead"),
    (
        "require_auth",
        "the driver uses the method that the server requests; choose the method in pg_hba.conf, and use sslmode=verify-full to authenticate the server",
    ),
    ("requirepeer", "protect the folder of the socket instead"),
    ("scram_client_key", "give the password instead"),
    ("scram_server_key", "give the password instead"),
    ("service", NO_SERVICE),
    ("servicefile", NO_SERVICE),
    ("sslcrl", "lists of revoked certificates are not read"),
    ("sslcrldir", "lists of revoked certificates are not read"),
    ("sslkeylogfile", "keys of TLS are never written to a file"),
    (
        "sslpassword",
        "decrypt the key that sslkey names: openssl pkey -in KEY",
    ),
];

/// Refuses a parameter that asks for something else than what happens anyway.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    if let Some(fixed) = FIXED_VALUES.iter().find(|fixed| fixed.name == name) {
        let value = value.to_ascii_lowercase();
        if fixed.values.contains(&value.as_str()) {
            return Ok(());
        }
        let values = fixed.values.iter().copied();
        let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
        return Err(format!(
            "the parameter {name} is supported with {} only: {}",
            values.join(" or "),
            fixed.reason
        ));
    }
    if let Some((_, reason)) = UNSUPPORTED.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("the parameter {name} is not supported: {reason}"));
    }
    let known = super::SUPPORTED
        .into_iter()
        .chain(FIXED_VALUES.iter().map(|fixed| fixed.name));
    // Names alone are shown; after a forgotten `%26` a name may be the rest of a password.
    let hint = did_you_mean(name, known);
    let hint = hint
        .strip_prefix("; did")
        .map(|hint| format!("; did{hint}"));
    Err(format!(
        "the URL has a parameter that PostgreSQL does not know{}",
        hint.unwrap_or_default()
    ))
}
