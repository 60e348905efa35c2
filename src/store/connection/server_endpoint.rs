//! One server of a connection URL, and the options to connect to it.

use std::path::Path;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sea_orm::sqlx::{ConnectOptions, Error};
use secrecy::ExposeSecret;

use super::super::StoreError;
use crate::config::postgres_url::{PostgresHost, PostgresUrl, TlsMode};

/// One server: the options to connect to it, in the order in which they are tried.
#[derive(Clone)]
pub(super) struct ServerEndpoint(Vec<PgConnectOptions>);

impl ServerEndpoint {
    /// Returns the options for each TLS mode.
    pub(super) fn connect_options(&self) -> &[PgConnectOptions] {
        &self.0
    }

    /// Returns the same server with these start-up options.
    pub(super) fn with_options(&self, options: &[(&str, &str)]) -> Self {
        let modes = self.0.iter().cloned();
        Self(
            modes
                .map(|mode| mode.options(options.iter().copied()))
                .collect(),
        )
    }

    pub(super) fn new(url: &PostgresUrl, host: &PostgresHost) -> Result<Self, StoreError> {
        let options = options(url, host)?;
        let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
        let mode = match url.tls {
            // Like libpq: a local socket needs no encryption.
            _ if is_socket => PgSslMode::Disable,
            Some(mode) => ssl_mode(mode, url.root_certificate.is_some()),
            None => options.get_ssl_mode(),
        };
        let modes: &[PgSslMode] = match mode {
            PgSslMode::Allow => &[PgSslMode::Disable, PgSslMode::Require],
            PgSslMode::Prefer => &[PgSslMode::Prefer, PgSslMode::Disable],
            _ => &[mode],
        };
        let connect_options = modes.iter().map(|mode| options.clone().ssl_mode(*mode));
        Ok(Self(connect_options.collect()))
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let mut failure = Error::PoolTimedOut;
        for options in &self.0 {
            match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if may_succeed_with_another_tls_mode(&error) => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }
}

/// Returns the TLS mode of the driver. As in libpq, `require` with a root certificate works like `verify-ca`.
fn ssl_mode(mode: TlsMode, has_root: bool) -> PgSslMode {
    match mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Allow => PgSslMode::Allow,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require if has_root => PgSslMode::VerifyCa,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    }
}

/// Returns the options of the driver. They are passed as a URL, so that the driver also reads the password file.
fn options(url: &PostgresUrl, host: &PostgresHost) -> Result<PgConnectOptions, StoreError> {
    let start = "postgres:///?".to_owned();
    let length = start.len();
    let mut query = form_urlencoded::Serializer::for_suffix(start, length);
    let port = host.port.map(|port| port.to_string());
    let password = url.password.as_ref().map(ExposeSecret::expose_secret);
    let path = |path: &Path| path.to_str().map(str::to_owned);
    let root = url.root_certificate.as_deref().and_then(path);
    let client = url.client_certificate.as_ref();
    let certificate = client.and_then(|client| path(&client.certificate));
    let key = client.and_then(|client| path(&client.key));
    let application_name = url.application_name.as_deref().unwrap_or("latchet");
    let parameters = [
        ("host", host.name.as_deref()),
        ("port", port.as_deref()),
        ("user", url.user.as_deref()),
        ("password", password),
        ("dbname", url.database.as_deref()),
        ("sslrootcert", root.as_deref()),
        ("sslcert", certificate.as_deref()),
        ("sslkey", key.as_deref()),
        ("options", url.options.as_deref()),
        ("application_name", Some(application_name)),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let options: PgConnectOptions = query.finish().parse().map_err(|_| {
        StoreError::Url("write it like postgres://user:password@host/latchet".to_owned())
    })?;
    let options = if url.trusts_system_only {
        // An authority that a variable names must not count beside the public ones.
        options.ssl_root_cert_from_pem(Vec::new())
    } else {
        options
    };
    // PgBouncer refuses the parameter, and no column is a float.
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

/// Checks that the files in the URL can be read: a missing file is a mistake in the URL, not an unavailable
/// database.
pub(super) fn check_files(url: &PostgresUrl) -> Result<(), StoreError> {
    let client = url.client_certificate.as_ref();
    let files = [
        ("sslrootcert", url.root_certificate.as_deref()),
        ("sslcert", client.map(|client| client.certificate.as_path())),
        ("sslkey", client.map(|client| client.key.as_path())),
    ];
    for (name, path) in files {
        if let Some(path) = path
            && let Err(error) = std::fs::read(path)
        {
            let shown = path.display();
            return Err(StoreError::Url(format!(
                "{name} names {shown}, which cannot be read: {error}"
            )));
        }
    }
    Ok(())
}

/// Returns whether the next TLS mode may succeed after this error: the handshake failed, or the server accepts
/// only encrypted, or only unencrypted, connections of this role.
fn may_succeed_with_another_tls_mode(error: &Error) -> bool {
    match error {
        Error::Tls(_) | Error::Protocol(_) => true,
        Error::Io(error) => matches!(
            error.kind(),
            std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::ConnectionReset
        ),
        Error::Database(error) => error.code().as_deref() == Some("28000"),
        _ => false,
    }
}
