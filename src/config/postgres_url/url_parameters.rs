//! The parameters of the URL, after `?`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::address::{UrlAddress, port};
use super::{
    ClientCertificate, PostgresHost, PostgresUrl, TargetSessionAttributes, TlsMode, decode,
};

mod unused;

/// Parameters that have an effect.
const SUPPORTED: [&str; 17] = [
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

/// Value of `sslrootcert` for the public authorities.
const SYSTEM: &str = "system";

/// Parameters that have an effect, with their values. Values may be secret.
pub(super) type UrlParameters = BTreeMap<&'static str, String>;

/// Reads the parameters, and refuses those that would have no effect.
pub(super) fn read(query: &str) -> Result<UrlParameters, String> {
    let mut parameters = UrlParameters::new();
    for (name, value) in pairs(query)? {
        if let Some(used) = SUPPORTED.iter().find(|used| **used == name) {
            parameters.insert(used, value);
            continue;
        }
        unused::check(&name, &value)?;
    }
    Ok(parameters)
}

/// Returns the names and values of all parameters, in order.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(pair).collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("a parameter after `?` has no `=`; write it like sslmode=require")?;
    let name = decode(name, "the name of a parameter")?;
    Ok((name, decode(value, "a parameter")?))
}

/// Combines the address with the parameters.
pub(super) fn build(
    address: UrlAddress<'_>,
    mut parameters: UrlParameters,
) -> Result<PostgresUrl, String> {
    let root = take(&mut parameters, "sslrootcert");
    // As libpq does: no weaker mode makes sense with the public authorities.
    let usual = (root.as_deref() == Some(SYSTEM)).then_some(TlsMode::VerifyFull);
    let tls = tls_mode(&mut parameters)?.or(usual);
    check_root(tls, root.as_deref())?;
    let hosts = hosts(address.hosts, &mut parameters)?;
    Ok(PostgresUrl {
        target: target(&mut parameters, hosts.len())?,
        hosts,
        is_shuffled: is_shuffled(&mut parameters)?,
        user: take(&mut parameters, "user").or(address.user),
        password: take(&mut parameters, "password")
            .map(SecretString::from)
            .or(address.password),
        database: take(&mut parameters, "dbname").or(address.database),
        tls,
        trusts_system_only: root.as_deref() == Some(SYSTEM),
        root_certificate: root.filter(|root| root != SYSTEM).map(PathBuf::from),
        client_certificate: client_certificate(&mut parameters)?,
        connect_timeout: connect_timeout(&mut parameters)?,
        application_name: take(&mut parameters, "application_name"),
        options: take(&mut parameters, "options"),
        is_pooled: is_pooled(&mut parameters)?,
    })
}

/// Removes a parameter. An empty value means the default.
fn take(parameters: &mut UrlParameters, name: &str) -> Option<String> {
    parameters.remove(name).filter(|value| !value.is_empty())
}

fn tls_mode(parameters: &mut UrlParameters) -> Result<Option<TlsMode>, String> {
    let from_jdbc = match take(parameters, "ssl").as_deref() {
        None => None,
        Some("true") => Some(TlsMode::Require),
        Some(_) => return Err("the parameter ssl takes true only; use sslmode".to_owned()),
    };
    let mode = match take(parameters, "sslmode").as_deref() {
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

/// Refuses `verify-ca` without an authority: with any public one it would accept all certificates.
fn check_root(tls: Option<TlsMode>, root: Option<&str>) -> Result<(), String> {
    match (tls, root) {
        (Some(TlsMode::VerifyCa), None) => Err(
            "sslmode=verify-ca needs sslrootcert, the file of the authority: without it, use sslmode=verify-full"
                .to_owned(),
        ),
        (Some(TlsMode::VerifyFull), _) => Ok(()),
        (_, Some(SYSTEM)) => Err(
            "sslrootcert=system needs sslmode=verify-full: public authorities sign for everybody"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn hosts(
    from_address: Vec<PostgresHost>,
    parameters: &mut UrlParameters,
) -> Result<Vec<PostgresHost>, String> {
    let names = take(parameters, "host");
    let addresses = take(parameters, "hostaddr");
    let ports = take(parameters, "port");
    // `hostaddr` replaces `host` for the connection, and for the comparison with the certificate.
    let mut hosts = match addresses.or(names) {
        Some(names) => {
            let name = |name: &str| PostgresHost {
                name: (!name.is_empty()).then(|| strip_brackets(name).to_owned()),
                port: None,
            };
            let mut hosts: Vec<PostgresHost> = names.split(',').map(name).collect();
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

fn strip_brackets(name: &str) -> &str {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    inner.unwrap_or(name)
}

/// Returns the required ability. Of several servers the one that accepts writes is used by default.
fn target(parameters: &mut UrlParameters, hosts: usize) -> Result<TargetSessionAttributes, String> {
    match take(parameters, "target_session_attrs").as_deref() {
        None if hosts > 1 => Ok(TargetSessionAttributes::Writable),
        None | Some("any") => Ok(TargetSessionAttributes::Any),
        Some("read-write" | "primary") => Ok(TargetSessionAttributes::Writable),
        Some("read-only" | "standby" | "prefer-standby") => Err(
            "target_session_attrs requests a server that accepts no writes, but every login writes; use read-write"
                .to_owned(),
        ),
        Some(_) => Err("target_session_attrs is any, read-write or primary".to_owned()),
    }
}

fn is_shuffled(parameters: &mut UrlParameters) -> Result<bool, String> {
    match take(parameters, "load_balance_hosts").as_deref() {
        None | Some("disable") => Ok(false),
        Some("random") => Ok(true),
        Some(_) => Err("load_balance_hosts is disable or random".to_owned()),
    }
}

fn is_pooled(parameters: &mut UrlParameters) -> Result<bool, String> {
    match take(parameters, "pgbouncer").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err("pgbouncer is true or false".to_owned()),
    }
}

fn client_certificate(parameters: &mut UrlParameters) -> Result<Option<ClientCertificate>, String> {
    match (take(parameters, "sslcert"), take(parameters, "sslkey")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        })),
        _ => Err("sslcert and sslkey belong together: give both or neither".to_owned()),
    }
}

/// Returns the timeout. Zero and negative values are no timeout of their own: libpq would wait without
/// end, but this program has a limit anyway.
fn connect_timeout(parameters: &mut UrlParameters) -> Result<Option<Duration>, String> {
    let Some(text) = take(parameters, "connect_timeout") else {
        return Ok(None);
    };
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| "connect_timeout is a number of seconds".to_owned())?;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}
