//! The part of the URL before `?`: role, password, hosts and database.

use secrecy::SecretString;

use super::{PostgresHost, decode};

/// The part before `?`, parsed, and the query after it.
#[derive(Debug)]
pub(super) struct UrlAddress<'a> {
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) hosts: Vec<PostgresHost>,
    pub(super) database: Option<String>,
    pub(super) query: &'a str,
}

/// Parses the text after `postgres://`.
pub(super) fn parse(text: &str) -> Result<UrlAddress<'_>, String> {
    let end = text.find(['/', '?']).unwrap_or(text.len());
    let (authority, rest) = text.split_at(end);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => (user_info, hosts),
        None => ("", authority),
    };
    let (user, password) = match user_info.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (user_info, None),
    };
    let password = password
        .filter(|password| !password.is_empty())
        .map(|password| decode(password, "the password"))
        .transpose()?;
    Ok(UrlAddress {
        user: decode_optional(user, "the user")?,
        password: password.map(SecretString::from),
        hosts: parse_hosts(hosts)?,
        database: decode_optional(path.trim_start_matches('/'), "the database")?,
        query,
    })
}

fn decode_optional(text: &str, what: &str) -> Result<Option<String>, String> {
    let text = decode(text, what)?;
    Ok((!text.is_empty()).then_some(text))
}

fn parse_hosts(text: &str) -> Result<Vec<PostgresHost>, String> {
    text.split(',').map(host).collect()
}

fn host(text: &str) -> Result<PostgresHost, String> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, after) = rest
            .split_once(']')
            .ok_or("an IPv6 address is not closed by `]`")?;
        match after.strip_prefix(':') {
            Some(port) => (name, port),
            None if after.is_empty() => (name, ""),
            None => return Err("after `]` only `:` and a port may follow".to_owned()),
        }
    } else {
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        if port.contains(':') {
            return Err("write an IPv6 address in brackets, such as [::1]".to_owned());
        }
        (name, port)
    };
    Ok(PostgresHost {
        name: decode_optional(name, "the host")?,
        port: self::port(&decode(port, "the port")?)?,
    })
}

/// Reads a port; an empty text means the default.
pub(super) fn port(text: &str) -> Result<Option<u16>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let port = text.trim().parse().ok().filter(|port| *port != 0);
    port.map(Some)
        .ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}
