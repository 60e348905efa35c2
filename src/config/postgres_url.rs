//! Connection URLs of PostgreSQL, with the syntax and the meaning of libpq.
//!
//! Each parameter that libpq documents is supported, or requests the behaviour that is in effect anyway,
//! or is refused with the reason. An ignored parameter would connect in another way than intended.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

mod address;
#[cfg(test)]
mod tests;
mod url_parameters;
mod variables;

/// A server of the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresHost {
    /// Name, address or folder of the socket; `None` for the default of libpq.
    pub name: Option<String>,
    /// Port; `None` for 5432.
    pub port: Option<u16>,
}

/// Encryption of the connection (`sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server demands it.
    Allow,
    /// If the server offers it.
    Prefer,
    /// Always. The certificate is checked if `sslrootcert` is given.
    Require,
    /// Always, with a certificate of the given authority.
    VerifyCa,
    /// Always, with a certificate for the host.
    VerifyFull,
}

/// Required ability of the server (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSessionAttributes {
    /// Accept connections.
    Any,
    /// Accept writes.
    Writable,
}

/// Certificate and key by which this program authenticates to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `sslcert`.
    pub certificate: PathBuf,
    /// `sslkey`.
    pub key: PathBuf,
}

/// A parsed connection URL.
#[derive(Clone, Debug)]
pub struct PostgresUrl {
    /// Servers, at least one, in the order in which they are tried.
    pub hosts: Vec<PostgresHost>,
    /// True if the order is random for each connection.
    pub is_shuffled: bool,
    /// Role.
    pub user: Option<String>,
    /// Password of the role.
    pub password: Option<SecretString>,
    /// Database; the name of the role by default.
    pub database: Option<String>,
    /// Encryption; `None` for the default.
    pub tls: Option<TlsMode>,
    /// Certificate of the authority that signs the server's certificate.
    pub root_certificate: Option<PathBuf>,
    /// True if only the public authorities may have signed it.
    pub trusts_system_only: bool,
    /// Certificate for a server that requests one.
    pub client_certificate: Option<ClientCertificate>,
    /// Required ability of the server.
    pub target: TargetSessionAttributes,
    /// Longest wait for one host.
    pub connect_timeout: Option<Duration>,
    /// Name of this program in the server's lists.
    pub application_name: Option<String>,
    /// Command-line options for the server.
    pub options: Option<String>,
    /// True if the connection passes through a pooler in transaction mode.
    pub is_pooled: bool,
}

impl PostgresUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The fault, without the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = address::parse(after_scheme(text)?)?;
        let parameters = url_parameters::read(address.query)?;
        url_parameters::build(address, parameters)
    }

    /// Returns the URL completed with the libpq variables for the parts that it leaves out.
    ///
    /// # Errors
    /// The fault, with the name of the variable.
    pub fn complete(text: &str, env: &[(OsString, OsString)]) -> Result<String, String> {
        variables::complete(text, env)
    }

    /// Returns the URL without its password and parameters.
    pub fn redacted(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@"));
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let database = self.database.as_deref().or(self.user.as_deref());
        format!(
            "postgres://{}{}/{}",
            user.unwrap_or_default(),
            hosts.join(","),
            database.unwrap_or_default()
        )
    }
}

impl std::fmt::Display for PostgresHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.as_deref() {
            None => f.write_str("(default host)")?,
            Some(name) if name.contains(':') => write!(f, "[{name}]")?,
            Some(name) => f.write_str(name)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn after_scheme(text: &str) -> Result<&str, String> {
    let mut schemes = ["postgres://", "postgresql://"].iter();
    schemes
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or_else(|| {
            "write it like postgres://user:password@host/latchet, with %-escapes".to_owned()
        })
}

/// Decodes %-escapes. Unlike in HTML forms, `+` is a plus.
fn decode(text: &str, what: &str) -> Result<String, String> {
    let begins_with_byte = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(begins_with_byte) {
        return Err(format!(
            "{what} has a malformed %-escape; write % itself as %25"
        ));
    }
    if text.contains("%00") {
        return Err(format!(
            "{what} has a %00, which PostgreSQL accepts nowhere"
        ));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Cow::into_owned)
        .map_err(|_| format!("{what} is not UTF-8"))
}
