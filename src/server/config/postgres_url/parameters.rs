//! The part after `?`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::address::{Address, port};
use super::{ClientCertificate, Host, PostgresUrl, TargetSession, TlsMode, decode, did_you_mean};

/// Parameters that are used.
const USED: [&str; 17] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "ssl",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "application_name",
    "options",
    "pgbouncer",
];

/// Parameters that are accepted with these values, because that is what happens anyway.
const FIXED: [(&str, &[&str]); 16] = [
    ("channel_binding", &["disable", "prefer"]),
    ("client_encoding", &["utf8", "utf-8", "unicode", "auto"]),
    ("fallback_application_name", &["latchet"]),
    ("gssencmode", &["disable", "prefer"]),
    ("gssdelegation", &["0"]),
    ("keepalives", &["0"]),
    ("replication", &["false", "off", "no", "0"]),
    ("requiressl", &["0"]),
    ("ssl_max_protocol_version", &["tlsv1.3", ""]),
    (
        "ssl_min_protocol_version",
        &["tlsv1", "tlsv1.1", "tlsv1.2", ""],
    ),
    ("sslcertmode", &["allow"]),
    ("sslcompression", &["0"]),
    ("sslnegotiation", &["postgres"]),
    ("sslsni", &["1"]),
    ("tcp_user_timeout", &["0"]),
    ("krbsrvname", &["postgres"]),
];

/// Parameters of libpq that are not supported, and what to do instead.
const REFUSED: [(&str, &str); 14] = [
    ("gsslib", "GSSAPI is not supported"),
    (
        "keepalives_count",
        "set it in the system: net.ipv4.tcp_keepalive_probes",
    ),
    (
        "keepalives_idle",
        "set it in the system: net.ipv4.tcp_keepalive_time",
    ),
    (
        "keepalives_interval",
        "set it in the system: net.ipv4.tcp_keepalive_intvl",
    ),
    ("max_protocol_version", "protocol version 3.0 is spoken"),
    ("min_protocol_version", "protocol version 3.0 is spoken"),
    ("passfile", "set the variable PGPASSFILE instead"),
    ("require_auth", "let pg_hba.conf choose the method"),
    ("requirepeer", "protect the folder of the socket instead"),
    (
        "service",
        "write the parameters of the service into the URL",
    ),
    (
        "servicefile",
        "write the parameters of the service into the URL",
    ),
    ("sslcrl", "lists of revoked certificates are not read"),
    ("sslcrldir", "lists of revoked certificates are not read"),
    (
        "sslpassword",
        "decrypt the key that sslkey names: openssl pkey -in KEY",
    ),
];

/// Used parameters with their values. Values may be secret.
pub(super) type Given = BTreeMap<&'static str, String>;

/// Reads the parameters, and refuses those that would have no effect.
pub(super) fn read(query: &str) -> Result<Given, String> {
    let mut given = Given::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or("a parameter after `?` has no `=`; write it like sslmode=require")?;
        let name = decode(name, "the name of a parameter")?;
        let value = decode(value, "a parameter")?;
        if let Some(used) = USED.iter().find(|used| **used == name) {
            given.insert(used, value);
            continue;
        }
        check_unused(&name, &value)?;
    }
    Ok(given)
}

fn check_unused(name: &str, value: &str) -> Result<(), String> {
    if let Some((_, values)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
        let value = value.to_ascii_lowercase();
        if values.contains(&value.as_str()) {
            return Ok(());
        }
        let values: Vec<&str> = values.iter().copied().filter(|v| !v.is_empty()).collect();
        return Err(format!(
            "the parameter {name} is supported with {} only: leave it out",
            values.join(", ")
        ));
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("the parameter {name} is not supported: {reason}"));
    }
    let known = USED.into_iter().chain(FIXED.iter().map(|(name, _)| *name));
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

/// Completes what the address says.
pub(super) fn build(address: Address<'_>, mut given: Given) -> Result<PostgresUrl, String> {
    let tls = tls_mode(&mut given)?;
    let root = take(&mut given, "sslrootcert");
    check_root(tls, root.as_deref())?;
    let hosts = hosts(address.hosts, &mut given)?;
    Ok(PostgresUrl {
        target: target(&mut given, hosts.len())?,
        hosts,
        is_shuffled: is_shuffled(&mut given)?,
        user: take(&mut given, "user").or(address.user),
        password: take(&mut given, "password")
            .map(SecretString::from)
            .or(address.password),
        database: take(&mut given, "dbname").or(address.database),
        tls,
        root_certificate: root.filter(|root| root != "system").map(PathBuf::from),
        client_certificate: client_certificate(&mut given)?,
        connect_timeout: connect_timeout(&mut given)?,
        application_name: take(&mut given, "application_name"),
        options: take(&mut given, "options"),
        is_pooled: is_pooled(&mut given)?,
    })
}

/// An empty value is the default.
fn take(given: &mut Given, name: &str) -> Option<String> {
    given.remove(name).filter(|value| !value.is_empty())
}

fn tls_mode(given: &mut Given) -> Result<Option<TlsMode>, String> {
    let from_jdbc = match take(given, "ssl").as_deref() {
        None => None,
        Some("true") => Some(TlsMode::Require),
        Some(_) => return Err("the parameter ssl takes true only; use sslmode".to_owned()),
    };
    let mode = match take(given, "sslmode").as_deref() {
        None => return Ok(from_jdbc),
        Some("disable") => TlsMode::Disable,
        Some("allow") => TlsMode::Allow,
        Some("prefer") => TlsMode::Prefer,
        Some("require") => TlsMode::Require,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(_) => {
            return Err(
                "sslmode is one of disable, allow, prefer, require, verify-ca and verify-full"
                    .to_owned(),
            );
        }
    };
    Ok(Some(mode))
}

/// With any public authority, `verify-ca` would accept the certificate of anybody.
fn check_root(tls: Option<TlsMode>, root: Option<&str>) -> Result<(), String> {
    match (tls, root) {
        (Some(TlsMode::VerifyCa), None) => Err(
            "sslmode=verify-ca needs sslrootcert, the file of the authority: without it, use sslmode=verify-full"
                .to_owned(),
        ),
        (Some(TlsMode::VerifyFull), _) => Ok(()),
        (_, Some("system")) => Err(
            "sslrootcert=system needs sslmode=verify-full: public authorities sign for everybody"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn hosts(from_address: Vec<Host>, given: &mut Given) -> Result<Vec<Host>, String> {
    let names = take(given, "host");
    let addresses = take(given, "hostaddr");
    let ports = take(given, "port");
    // An address is what is connected to; a certificate is then compared with it.
    let mut hosts = match addresses.or(names) {
        Some(names) => {
            let name = |name: &str| Host {
                name: (!name.is_empty()).then(|| unbracketed(name).to_owned()),
                port: None,
            };
            let mut hosts: Vec<Host> = names.split(',').map(name).collect();
            if hosts.len() == from_address.len() {
                let known = hosts.iter_mut().zip(&from_address);
                known.for_each(|(host, known)| host.port = known.port);
            }
            hosts
        }
        None => from_address,
    };
    if let Some(ports) = ports {
        let ports: Vec<Option<u16>> = ports.split(',').map(port).collect::<Result<_, _>>()?;
        if ports.len() != 1 && ports.len() != hosts.len() {
            return Err(
                "the parameter port names as many ports as there are hosts, or one".to_owned(),
            );
        }
        let each = ports.iter().cycle();
        hosts
            .iter_mut()
            .zip(each)
            .for_each(|(host, port)| host.port = *port);
    }
    for host in &hosts {
        if host
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with('@'))
        {
            return Err("sockets in the abstract namespace are not supported".to_owned());
        }
    }
    Ok(hosts)
}

fn unbracketed(name: &str) -> &str {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    inner.unwrap_or(name)
}

/// Of several servers the one that takes writes is wanted, also where nothing is said.
fn target(given: &mut Given, hosts: usize) -> Result<TargetSession, String> {
    match take(given, "target_session_attrs").as_deref() {
        None if hosts > 1 => Ok(TargetSession::Writable),
        None | Some("any") => Ok(TargetSession::Any),
        Some("read-write" | "primary") => Ok(TargetSession::Writable),
        Some("read-only" | "standby" | "prefer-standby") => Err(
            "target_session_attrs asks for a server that takes no writes: every login writes; use read-write"
                .to_owned(),
        ),
        Some(_) => Err("target_session_attrs is any, read-write or primary".to_owned()),
    }
}

fn is_shuffled(given: &mut Given) -> Result<bool, String> {
    match take(given, "load_balance_hosts").as_deref() {
        None | Some("disable") => Ok(false),
        Some("random") => Ok(true),
        Some(_) => Err("load_balance_hosts is disable or random".to_owned()),
    }
}

fn is_pooled(given: &mut Given) -> Result<bool, String> {
    match take(given, "pgbouncer").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err("pgbouncer is true or false".to_owned()),
    }
}

fn client_certificate(given: &mut Given) -> Result<Option<ClientCertificate>, String> {
    match (take(given, "sslcert"), take(given, "sslkey")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        })),
        _ => Err("sslcert and sslkey belong together: give both or neither".to_owned()),
    }
}

/// libpq waits without end where it is zero or negative; nothing here does.
fn connect_timeout(given: &mut Given) -> Result<Option<Duration>, String> {
    let Some(text) = take(given, "connect_timeout") else {
        return Ok(None);
    };
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| "connect_timeout is a number of seconds".to_owned())?;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}
