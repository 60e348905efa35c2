//! The settings of the server, each with its flag, variable, default and help in one place.
//!
//! A field `access_ttl` is the flag `--access-ttl`, the variable `LATCHET_ACCESS_TTL` (or
//! `LATCHET_ACCESS_TTL_FILE`, naming a file that holds the value) and the key `access_ttl` of the
//! TOML file. Earlier wins: flag, variable, file, default. [`load`] merges them, [`Config::check`]
//! refuses unsafe ones. Settings that do not fit into a flag are in tables of the file: [`profile_tables`].

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use ipnet::IpNet;
use secrecy::SecretString;

use latchet_guard::keys::Algorithm;

mod allowed_origin;
mod example;
mod listen_address;
mod load;
mod log_filter;
pub mod postgres_url;
pub mod profile_tables;
mod resolution;
mod root_secret;
mod service_links;
mod smtp_url;
mod sources;
mod sqlite_url;
mod validation;
mod values;

pub use allowed_origin::{AllowedOrigin, AppOrigin};
pub use example::{example, value_kind};
pub use listen_address::ListenAddress;
pub use load::{ConfigError, load, parse_leniently};
pub use log_filter::LogFilter;
pub use resolution::{PrintableValue, Resolution, ResolvedSetting, SettingSource, resolve};
pub use root_secret::{RootSecret, RootSecretError, check_secret_strength};
pub use smtp_url::{SmtpLogin, SmtpSecurity, SmtpUrl};
pub(crate) use values::parse_duration;
pub use values::{CookiePrefix, DatabaseKind, DatabaseUrl, RateLimit, WebOrigin};

use profile_tables::TokenProfileTables;
use values::{parse_boolean, parse_name, parse_network, parse_scope, parse_secret, parse_size};

const DEFAULT_IDLE_TTL: Duration = Duration::from_hours(14 * 24);

const NETWORK: &str = "Network";
const STORAGE: &str = "Storage";
const TOKENS: &str = "Tokens and sessions";
const ACCOUNTS: &str = "Accounts and passwords";
const MAIL: &str = "Mail";
const COMPAT: &str = "Moving over from Flask";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";

/// Permission to create accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RegistrationPolicy {
    /// Anyone, by `POST /v1/register`.
    Open,
    /// Administrators only.
    Closed,
}

/// Way in which mails leave the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MailMode {
    /// Not at all: what needs mails does not exist.
    Off,
    /// To a mail server.
    Smtp,
    /// As files in the data folder, for development.
    Log,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The settings of one server.
#[derive(Clone, Debug, Parser)]
#[command(name = "latchet")]
pub struct Config {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Address and port to listen on, such as 127.0.0.1:8080, localhost:8080 or 8080; `:8080` is that port
    /// of all addresses if --public-url can be reached from other machines. The variable `PORT` is read
    /// too, as the port alone
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", help_heading = NETWORK)]
    pub listen: ListenAddress,
    /// URL at which clients reach this server, such as `https://auth.example.org` [default: http and --listen]
    #[arg(long, value_name = "URL", required = false, help_heading = NETWORK)]
    pub public_url: WebOrigin,
    /// Address and port, such as 127.0.0.1:9464, that serve `/metrics` to Prometheus, in plain http and to
    /// anyone who can reach them [default: none]
    #[arg(long, value_name = "ADDR:PORT", help_heading = NETWORK)]
    pub metrics_listen: Option<ListenAddress>,
    /// Accept http from other machines, although anyone on the network path can read passwords and
    /// tokens: for a test in a private network
    #[arg(long, value_name = "BOOL", default_value = "false", action = ArgAction::Set, value_parser = parse_boolean, help_heading = NETWORK)]
    pub allow_plain_http: bool,
    /// Certificate chain (PEM) for TLS; without it a proxy has to terminate TLS. Reloaded when it changes,
    /// and on SIGHUP
    #[arg(long, value_name = "FILE", help_heading = NETWORK)]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", help_heading = NETWORK)]
    pub tls_key: Option<PathBuf>,
    /// Proxies whose X-Forwarded-For or Forwarded is trusted, such as 10.0.0.0/8
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',', value_parser = parse_network, help_heading = NETWORK)]
    pub trusted_proxies: Vec<IpNet>,
    /// Prefix of the names of this server's cookies; for several servers on one host, because browsers
    /// do not separate cookies by port
    #[arg(long, value_name = "NAME", default_value = "latchet", help_heading = NETWORK)]
    pub cookie_prefix: CookiePrefix,
    /// Other origins whose pages may call this server with cookies, and to which users may be redirected
    /// to sign in; also apps with a custom scheme, such as `capacitor://localhost`
    #[arg(long, value_name = "URL,…", value_delimiter = ',', help_heading = NETWORK)]
    pub allowed_origins: Vec<AllowedOrigin>,

    /// Folder for the database and the root secret, unless these are set
    #[arg(long, value_name = "DIR", default_value = "./data", help_heading = STORAGE)]
    pub data_dir: PathBuf,
    /// sqlite: or postgres: URL, such as `postgres://latchet@localhost/latchet`; the variable `DATABASE_URL` is read too [default: latchet.db in --data-dir]
    #[arg(long, value_name = "URL", required = false, help_heading = STORAGE)]
    pub database_url: DatabaseUrl,
    /// Maximum number of connections to a PostgreSQL database, on each replica; 1 to 1000 [default: 16]
    #[arg(long, value_name = "NUMBER", help_heading = STORAGE)]
    pub database_connections: Option<NonZeroU32>,
    /// redis:, rediss:, sentinel or cluster URL, such as `redis://localhost`; the variable `REDIS_URL` is read too
    #[arg(long, value_name = "URL", value_parser = parse_secret, help_heading = STORAGE)]
    pub redis_url: Option<SecretString>,
    /// Secret that seals the keys and signs refresh tokens, the same on every replica; as a
    /// variable or in a file only. Create one with `latchet secret` [default: in the file root-secret in --data-dir]
    #[arg(long, value_name = "SECRET", value_parser = parse_secret, help_heading = STORAGE)]
    pub root_secret: Option<SecretString>,
    /// The root secret before the current one, while it is rotated: still opens keys and accepts tokens, and
    /// is used for nothing new; as a variable or in a file only [default: in the file root-secret.previous in --data-dir]
    #[arg(long, value_name = "SECRET", value_parser = parse_secret, help_heading = STORAGE)]
    pub root_secret_previous: Option<SecretString>,
    /// Interval at which obsolete rows are deleted; 1s to 1d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration, help_heading = STORAGE)]
    pub collect_every: Duration,
    /// Time for which security events are kept; 1d to 3660d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_duration, help_heading = STORAGE)]
    pub event_retention: Duration,

    /// `iss` of the tokens [default: --public-url]
    #[arg(long, value_name = "NAME", required = false, value_parser = parse_name, help_heading = TOKENS)]
    pub issuer: String,
    /// `aud` of the access tokens [default: --issuer]
    #[arg(long, value_name = "NAME,…", required = false, value_delimiter = ',', value_parser = parse_name, help_heading = TOKENS)]
    pub audience: Vec<String>,
    /// Algorithm of new signing keys: `EdDSA`, ES256, RS256 or HS256
    #[arg(long, value_name = "ALG", default_value = "EdDSA", help_heading = TOKENS)]
    pub algorithm: Algorithm,
    /// Scopes that a login may request, such as profile
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse_scope, help_heading = TOKENS)]
    pub scopes: Vec<String>,
    /// Lifetime of an access token; 10s to 1d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration, help_heading = TOKENS)]
    pub access_ttl: Duration,
    /// Lifetime of a session, never extended; --access-ttl to 732d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_duration, help_heading = TOKENS)]
    pub session_ttl: Duration,
    /// A session that is not refreshed for this long ends; --access-ttl to 732d
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = parse_duration, help_heading = TOKENS)]
    pub idle_ttl: Duration,
    /// Maximum number of sessions of a user; one more login ends the least recently used one; 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value = "200", help_heading = TOKENS)]
    pub max_sessions: NonZeroU32,
    /// Grace period: time in which a rotated refresh token still yields its successor; 0s to 60s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, help_heading = TOKENS)]
    pub grace: Duration,
    /// Tolerated clock difference to other issuers; 0s to 60s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration, help_heading = TOKENS)]
    pub leeway: Duration,
    /// Keys of other issuers whose tokens are accepted too: public keys as PEM or JWK, a secret as JWK
    #[arg(long, value_name = "FILE,…", value_delimiter = ',', help_heading = TOKENS)]
    pub verification_keys: Vec<PathBuf>,

    /// Permission to create accounts
    #[arg(long, value_name = "WHO", default_value = "closed", ignore_case = true, help_heading = ACCOUNTS)]
    pub registration: RegistrationPolicy,
    /// Minimum length of a password, in bytes; 8 to 64
    #[arg(long, value_name = "BYTES", default_value_t = 15, help_heading = ACCOUNTS)]
    pub min_password: usize,
    /// Memory of one password hash; by OWASP's table, at least 47104 with one pass, 19456 with two,
    /// 12288 with three, 9216 with four and 7168 with more; 7168 to 4194304
    #[arg(long, value_name = "KIB", default_value_t = 19_456, help_heading = ACCOUNTS)]
    pub argon2_memory_kib: u32,
    /// Passes over that memory; 1 to 100
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = ACCOUNTS)]
    pub argon2_passes: u32,
    /// Lanes of that memory; 1 to 16
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = ACCOUNTS)]
    pub argon2_lanes: u32,
    /// Threads that hash passwords; 1 to 1024 [default: one per core]
    #[arg(long, value_name = "N", help_heading = ACCOUNTS)]
    pub password_threads: Option<usize>,
    /// Name of an administrator to create when there is none, and no user of that name
    #[arg(long, value_name = "NAME", help_heading = ACCOUNTS)]
    pub bootstrap_admin: Option<String>,
    /// File that holds the password of --bootstrap-admin; read when that account is created
    #[arg(long, value_name = "FILE", help_heading = ACCOUNTS)]
    pub bootstrap_admin_password_file: Option<PathBuf>,

    /// Transport of mails, such as smtp; with `log` they are files in the folder `mails` in --data-dir; with `off`
    /// accounts have no addresses, and nobody can reset a password alone [default: smtp with --smtp-url,
    /// otherwise log if --public-url is on this machine, otherwise off]
    #[arg(long, value_name = "HOW", ignore_case = true, help_heading = MAIL)]
    pub mail: Option<MailMode>,
    /// Mail server, such as `smtps://user:password@mail.example.org`, or `smtp:` for STARTTLS; a private
    /// authority by `?ca=FILE`
    #[arg(long, value_name = "URL", value_parser = parse_secret, help_heading = MAIL)]
    pub smtp_url: Option<SecretString>,
    /// Sender of mails, such as no-reply@example.org or `Example <no-reply@example.org>`
    #[arg(long, value_name = "ADDRESS", help_heading = MAIL)]
    pub mail_from: Option<String>,
    /// Folder with mail templates that replace single ones of Latchet, by names like `en/verify_address.txt`
    #[arg(long, value_name = "DIR", help_heading = MAIL)]
    pub mail_templates: Option<PathBuf>,

    /// Accept tokens of Flask-JWT-Extended, signed with a key in --verification-keys, and put `csrf`
    /// into our own, so that such apps accept them in cookies
    #[arg(long, value_name = "BOOL", default_value = "false", action = ArgAction::Set, value_parser = parse_boolean, help_heading = COMPAT)]
    pub compat_flask_jwt_extended: bool,
    /// Answer `POST /auth`, and accept `Authorization: JWT …`, as Flask-JWT does
    #[arg(long, value_name = "BOOL", default_value = "false", action = ArgAction::Set, value_parser = parse_boolean, help_heading = COMPAT)]
    pub compat_flask_jwt: bool,
    /// With --compat-flask-jwt, the claim that holds the user in addition to `sub`
    #[arg(long, value_name = "NAME", default_value = "identity", help_heading = COMPAT)]
    pub compat_flask_jwt_identity: String,

    /// Maximum size of a request body; 1KiB to 16MiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_size, help_heading = LIMITS)]
    pub body_limit: usize,
    /// Time for a client to send the head of a request; 100ms to 5m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, help_heading = LIMITS)]
    pub header_timeout: Duration,
    /// Time for a client to send a body, and the same time again for the server to respond; 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, help_heading = LIMITS)]
    pub request_timeout: Duration,
    /// Time that an idle connection is kept open; 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = parse_duration, help_heading = LIMITS)]
    pub idle_timeout: Duration,
    /// Maximum number of connections served at once; more wait; 1 to 1000000
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = LIMITS)]
    pub max_connections: usize,
    /// Time between a stop signal and closing the listener, for a proxy to switch to another replica;
    /// 0s to 1h
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration, help_heading = LIMITS)]
    pub drain_delay: Duration,
    /// Time for running requests to finish after that; 0s to 1h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, help_heading = LIMITS)]
    pub drain_timeout: Duration,
    /// Failed logins to one account from all unknown devices, and counted separately from all known
    /// devices; each window after an exhausted one is twice as long, up to four times
    #[arg(long, value_name = "N/TIME", default_value = "30/15m", help_heading = LIMITS)]
    pub throttle_account: RateLimit,
    /// Failed logins to one account from one client address, from one known device, and within one session
    #[arg(long, value_name = "N/TIME", default_value = "10/15m", help_heading = LIMITS)]
    pub throttle_account_ip: RateLimit,
    /// Failed logins from one client address, to all accounts for which the device is unknown
    #[arg(long, value_name = "N/TIME", default_value = "100/15m", help_heading = LIMITS)]
    pub throttle_ip: RateLimit,
    /// Registrations from one client address, including those of names that are taken
    #[arg(long, value_name = "N/TIME", default_value = "20/1h", help_heading = LIMITS)]
    pub throttle_registration: RateLimit,
    /// Mails to one address that people who are not signed in cause, and proofs of one address
    #[arg(long, value_name = "N/TIME", default_value = "5/1h", help_heading = LIMITS)]
    pub throttle_mail: RateLimit,
    /// The same from one client address, to all addresses
    #[arg(long, value_name = "N/TIME", default_value = "20/1h", help_heading = LIMITS)]
    pub throttle_mail_ip: RateLimit,

    /// Format of log lines
    #[arg(long, value_name = "FORMAT", default_value = "auto", ignore_case = true, help_heading = LOGS)]
    pub log_format: LogFormat,
    /// Log level: off, error, warn, info, debug, trace, or per module such as info,latchet=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = LOGS)]
    pub log_level: LogFilter,

    /// Third-party tokens, from tables of the file.
    #[arg(skip)]
    pub tables: TokenProfileTables,
}

impl Config {
    /// Returns the checked settings of a server from `args` (the program's name first) and `env`.
    ///
    /// # Errors
    /// When a setting is unknown, malformed or unsafe.
    pub fn load<A, E, K, V>(args: A, env: E) -> Result<Self, ConfigError>
    where
        A: IntoIterator<Item: Into<OsString>>,
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let env = env.into_iter();
        let env: Vec<(OsString, OsString)> = env
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let (config, tables): (Self, _) = load(&args, &env)?;
        let config = config.complete(tables, &env)?;
        config.check()?;
        Ok(config)
    }

    /// Adds what the options alone do not say.
    ///
    /// # Errors
    /// When a variable of libpq, which completes the URL of a PostgreSQL database, cannot be obeyed.
    pub fn complete(
        self,
        tables: TokenProfileTables,
        env: &[(OsString, OsString)],
    ) -> Result<Self, ConfigError> {
        let database_url = self.database_url.completed(env);
        let database_url = database_url.map_err(ConfigError::refused)?;
        Ok(Self {
            database_url,
            tables,
            ..self
        })
    }

    /// Returns the address to listen on.
    pub fn listen_address(&self) -> SocketAddr {
        self.listen.address(&self.public_url)
    }

    /// Returns the address of the metrics, if they are enabled.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let listen = self.metrics_listen?;
        Some(listen.address(&self.public_url))
    }

    /// Returns the way in which mails leave the server.
    pub fn mail_mode(&self) -> MailMode {
        self.mail.unwrap_or(if self.smtp_url.is_some() {
            MailMode::Smtp
        } else if self.public_url.is_loopback() {
            MailMode::Log
        } else {
            MailMode::Off
        })
    }

    /// Returns the folder of mails that are written as files.
    pub fn mail_folder(&self) -> PathBuf {
        self.data_dir.join("mails")
    }

    /// Returns whether clients on other machines use plain http.
    pub fn exposes_plain_http(&self) -> bool {
        let is_local = self.public_url.is_loopback() && self.listen_address().ip().is_loopback();
        !self.is_https() && !is_local
    }

    /// Returns a text for each setting that is set but has no effect, with the reason.
    pub fn settings_without_effect(&self) -> Vec<&'static str> {
        let mut texts = Vec::new();
        if !self.compat_flask_jwt && self.compat_flask_jwt_identity != "identity" {
            texts.push("compat_flask_jwt_identity has no effect without compat_flask_jwt");
        }
        if self.smtp_url.is_some() && self.mail_mode() != MailMode::Smtp {
            texts.push("smtp_url has no effect: mail is `off` or `log`");
        }
        if self.session_ttl < self.idle_ttl && self.idle_ttl != DEFAULT_IDLE_TTL {
            texts.push("idle_ttl has no effect: session_ttl is shorter");
        }
        texts
    }

    /// Returns the settings of a server that listens on `address`. If port 0 was requested, the URLs for
    /// clients name the port that the system has chosen.
    #[must_use]
    pub fn with_bound_address(self, address: SocketAddr) -> Self {
        let public_url = self.public_url.with_bound_port(address.port());
        let (old, new) = (self.public_url.to_string(), public_url.to_string());
        let renamed = |name: String| if name == old { new.clone() } else { name };
        Self {
            listen: ListenAddress::Fixed(address),
            public_url,
            issuer: renamed(self.issuer),
            audience: self.audience.into_iter().map(renamed).collect(),
            ..self
        }
    }

    /// Returns whether cookies and links use https.
    pub fn is_https(&self) -> bool {
        self.public_url.is_https()
    }

    /// Returns the schemes that may precede a token in `Authorization`.
    pub fn schemes(&self) -> &'static [&'static str] {
        if self.compat_flask_jwt {
            &["Bearer", "JWT"]
        } else {
            &["Bearer"]
        }
    }
}

#[cfg(test)]
mod tests;
