//! Types of the values of settings: durations, sizes, rates, addresses.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use poem::http::Uri;
use secrecy::{ExposeSecret, SecretString};

use super::postgres_url::PostgresUrl;
use crate::names::is_scope;

/// Reads `90s`, `15m`, `12h`, `30d`, `250ms`, a sequence such as `1h30m`, or a number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("`{text}` is not a duration; write it like 10s, 15m, 12h or 30d");
    let mut rest = text.trim();
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest.parse().map(Duration::from_secs).map_err(|_| fault());
    }
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(fault)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let millis: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fault()),
        };
        let part = number.checked_mul(millis).ok_or_else(fault)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or_else(fault)?;
        rest = next;
    }
    Ok(total)
}

/// Reads `65536`, `64KiB`, `1MiB`, or decimal `64kB`, `1MB`.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let fault = || format!("`{text}` is not a size; write it like 65536, 64KiB or 1MiB");
    let (number, unit) = split_number(text.trim()).ok_or_else(fault)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "kb" => 1_000,
        "mb" => 1_000_000,
        _ => return Err(fault()),
    };
    number
        .checked_mul(factor)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(fault)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// Reads a network, or one address as the network that holds only it.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(canonical)
        .map_err(|_| format!("`{text}` is not a network; write it like 10.0.0.0/8 or 192.168.1.7"))
}

/// Turns an IPv4-mapped network into IPv4, because addresses of peers are compared in that form:
/// `::ffff:10.0.0.0/104` would match none.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let length = network.prefix_len().checked_sub(MAPPED);
    match (network.addr().to_canonical(), length) {
        (IpAddr::V4(address), Some(length)) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, length).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// Reads yes or no, in the usual notations.
pub(super) fn parse_boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

/// Reads a name that other programs compare byte by byte.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() {
        return Err("a name is empty".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err("a name contains control characters".to_owned());
    }
    Ok(name.to_owned())
}

/// Reads a scope, which requests name in a list that spaces separate (RFC 6749, 3.3).
pub(super) fn parse_scope(text: &str) -> Result<String, String> {
    let scope = parse_name(text)?;
    if is_scope(&scope) {
        Ok(scope)
    } else {
        Err(format!(
            "`{scope}` is no scope: a scope consists of visible ASCII characters without spaces; separate several by commas"
        ))
    }
}

/// Accepts a secret unchecked: an error message here would print it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "clap requires a parser to return a result"
)]
pub(super) fn parse_secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

/// Maximum number of events in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Maximum number of events.
    pub limit: u32,
    /// Length of the period.
    pub window: Duration,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is not a rate; write it like 10/15m");
        let (limit, window) = text.split_once('/').ok_or_else(fault)?;
        let rate = Self {
            limit: limit.trim().parse().map_err(|_| fault())?,
            window: parse_duration(window)?,
        };
        if rate.limit == 0 || rate.window.is_zero() {
            return Err(fault());
        }
        Ok(rate)
    }
}

/// Returns whether a URL of Redis, with one server or several, holds a password.
pub(super) fn redis_url_has_password(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = address.split('/').next().unwrap_or_default();
    let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
    let in_login = login
        .split_once(':')
        .is_some_and(|(_, password)| !password.is_empty());
    let in_query = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        matches!(name, "pass" | "password" | "sentinel_password") && !value.is_empty()
    });
    in_login || in_query
}

/// Bytes of a path that are escaped in URLs.
pub(super) const PATH_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'_')
    .remove(b'-')
    .remove(b'~');

/// Returns the URL of a SQLite file. Characters of the path that have a meaning in URLs are escaped.
pub(super) fn sqlite_url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = percent_encode(path.as_os_str().as_bytes(), PATH_ESCAPES);
    format!("sqlite://{path}")
}

/// Scheme, host and port of a web site, such as `https://auth.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    text: String,
    host: String,
    is_https: bool,
}

impl WebOrigin {
    /// Returns the origin in the form of the header `Origin`: without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the host, without a port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns whether the scheme is https.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the port; without one in the URL, the default port of the scheme.
    pub fn port(&self) -> u16 {
        let written = self.text.rsplit_once(':');
        let written = written.and_then(|(_, port)| port.parse().ok());
        written.unwrap_or(if self.is_https { 443 } else { 80 })
    }

    /// Returns the origin with `port` in place of port 0, with which a server lets the system choose.
    pub(super) fn with_bound_port(&self, port: u16) -> Self {
        let text = match self.text.strip_suffix(":0") {
            Some(site) => format!("{site}:{port}"),
            None => self.text.clone(),
        };
        Self {
            text,
            ..self.clone()
        }
    }

    /// Returns whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Returns whether the host is the unspecified address, which stands for all addresses of a machine.
    pub(super) fn is_unspecified(&self) -> bool {
        self.address()
            .is_some_and(|address| address.is_unspecified())
    }

    fn address(&self) -> Option<IpAddr> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.parse().ok()
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is not an origin; write it like https://auth.example.org");
        let uri: Uri = text.trim().parse().map_err(|_| fault())?;
        let scheme = uri.scheme_str().ok_or_else(fault)?.to_ascii_lowercase();
        let authority = uri.authority().ok_or_else(fault)?;
        let is_https = match scheme.as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(fault()),
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(fault());
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!(
                "`{text}` has a path; cookies and discovery need the root of a host: write it like https://auth.example.org"
            ));
        }
        let host = authority.host().to_ascii_lowercase();
        let default_port = if is_https { 443 } else { 80 };
        let port = match authority.port_u16() {
            Some(port) if port != default_port => format!(":{port}"),
            _ => String::new(),
        };
        Ok(Self {
            text: format!("{scheme}://{host}{port}"),
            host,
            is_https,
        })
    }
}

/// Prefix of the names of cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookiePrefix(String);

impl CookiePrefix {
    /// The default prefix.
    pub const DEFAULT: &'static str = "latchet";
    const MAX_LENGTH: usize = 32;

    /// Returns the prefix, which consists of letters, digits, `-` and `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookiePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        // Names such as `__Host-a` and `__Secure-a` have a meaning for browsers.
        let is_good = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(is_allowed)
            && !text.starts_with("__");
        if is_good {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{}` cannot begin the name of a cookie; use 1 to {} letters, digits, `-` or `_`, such as latchet or shop-staging, without `__` at the beginning",
            text.escape_debug(),
            Self::MAX_LENGTH
        ))
    }
}

/// Database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// One file, one server process.
    Sqlite,
    /// Shared by any number of replicas.
    Postgres,
}

/// URL of the database. Its text may hold a password, so it is never printed.
#[derive(Clone)]
pub struct DatabaseUrl {
    kind: DatabaseKind,
    text: SecretString,
}

impl DatabaseUrl {
    /// Returns the URL of a SQLite file.
    pub(crate) fn of_sqlite_file(file: &Path) -> Self {
        Self {
            kind: DatabaseKind::Sqlite,
            text: sqlite_url(file).into(),
        }
    }

    /// Returns the engine.
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// Returns the whole URL, with its password.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Returns the URL without its password and parameters.
    pub fn redacted(&self) -> String {
        match self.kind {
            DatabaseKind::Sqlite => self.expose().to_owned(),
            DatabaseKind::Postgres => {
                let url = PostgresUrl::parse(self.expose());
                url.map_or_else(|_| "postgres:".to_owned(), |url| url.redacted())
            }
        }
    }

    /// Returns the URL with what it leaves out and variables of libpq say; that of a SQLite file leaves nothing
    /// out.
    ///
    /// # Errors
    /// Why a variable cannot be obeyed.
    pub(super) fn completed(&self, env: &[(OsString, OsString)]) -> Result<Self, String> {
        let text = match self.kind {
            DatabaseKind::Sqlite => return Ok(self.clone()),
            DatabaseKind::Postgres => PostgresUrl::complete(self.expose(), env)?,
        };
        Ok(Self {
            kind: self.kind,
            text: SecretString::from(text),
        })
    }

    /// Returns whether the URL holds a password.
    pub fn has_password(&self) -> bool {
        self.kind == DatabaseKind::Postgres
            && PostgresUrl::parse(self.expose()).is_ok_and(|url| url.password.is_some())
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let kind = match scheme {
            "sqlite" => DatabaseKind::Sqlite,
            "postgres" | "postgresql" => DatabaseKind::Postgres,
            _ => {
                return Err(
                    "this is not a database URL; write it like sqlite://data/latchet.db or postgres://user:password@host/latchet"
                        .to_owned(),
                );
            }
        };
        match kind {
            DatabaseKind::Sqlite => super::sqlite_url::check(text)?,
            DatabaseKind::Postgres => {
                PostgresUrl::parse(text).map_err(|why| format!("the database URL: {why}"))?;
            }
        }
        Ok(Self {
            kind,
            text: SecretString::from(text),
        })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
