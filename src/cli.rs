//! The command line. Each command opens the parts that it needs and calls them; nothing is decided here.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::config::{
    Config, ConfigError, DatabaseKind, RootSecret, RootSecretError, example, load,
};
use super::error::ApiError;
use super::installation::Installation;
use super::keyring::KeyringError;
use super::names::UserRole;
use super::root_secret_rotation::RotationError;
use super::serve::TlsError;
use super::store::{OpenMode, Store, StoreError, sqlite_file};
use super::{OpenError, api, logging};
use events_command::EventsArguments;
use latchet_guard::clock::Clock;
use latchet_guard::keys::{Algorithm, KeyError};

mod backup_commands;
mod banner;
mod config_command;
mod doctor;
mod event_feed;
mod events_command;
mod health;
mod key_commands;
mod password_prompt;
mod restore;
mod run;
mod secret_commands;
mod service_commands;
mod service_manager;
mod signals;
#[cfg(test)]
mod tests;
mod user_commands;

use restore::RestoreMode;

const EXAMPLES: &str = "\
Every option is also a variable (--access-ttl is LATCHET_ACCESS_TTL, or LATCHET_ACCESS_TTL_FILE with
the name of a file that holds the value) and a key of the TOML file (access_ttl). The file alone has
the tables [token_profiles.NAME], for third-party tokens, and [token_services.NAME], for programs.

Examples:
  latchet                                  serve on 127.0.0.1:8080 with everything in ./data
  latchet user add alice --admin           create an administrator
  latchet doctor                           diagnose problems and suggest fixes
  LATCHET_PUBLIC_URL=https://auth.example.org \\
  LATCHET_ROOT_SECRET_FILE=/run/secrets/latchet \\
  DATABASE_URL=postgres://latchet@db/latchet REDIS_URL=redis://cache latchet
                                           one of several replicas behind a proxy";

/// An auth server with rotating refresh tokens and a logout that takes effect at the next request.
#[derive(Debug, Parser)]
#[command(name = "latchet", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; the default when no command is given
    Serve,
    /// Apply migrations and exit
    Migrate,
    /// Print the API document
    Openapi {
        /// As JSON instead of YAML
        #[arg(long)]
        json: bool,
    },
    /// Print a one-time link, valid for 30 minutes, that creates the first administrator
    SetupLink,
    /// Manage accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Manage signing keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Manage the credentials of services: programs with a table `[token_services.NAME]` in the settings file
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Examine the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List security events, newest last
    Events(EventsArguments),
    /// Print a strong random secret for `LATCHET_ROOT_SECRET`, or rotate the root secret
    Secret {
        #[command(subcommand)]
        command: Option<SecretCommand>,
    },
    /// Diagnose problems and suggest fixes
    Doctor,
    /// Ask the running server whether it is ready; fails if it is not
    Health,
    /// Write a consistent copy of a SQLite database to a new file, also while a server runs; the root secret
    /// is not in it
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Replace a SQLite database by a backup while no server runs; everybody has to sign in again
    Restore {
        /// A file that `latchet backup` wrote
        file: PathBuf,
        /// Check everything and print what would happen; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// End every session and replace the signing keys after a restore by other means, such as `pg_restore`
    Restored,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print each setting with its value and source, and every reason to refuse them; connects to nothing
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a settings file with every setting, its default and its help
    Example,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Create an account; prompts for the password, or reads it from standard input
    Add {
        /// User name
        name: String,
        /// With the role `admin`
        #[arg(long)]
        admin: bool,
        /// With this role; may be repeated
        #[arg(long = "role", value_name = "ROLE", value_parser = role)]
        roles: Vec<UserRole>,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List accounts
    List {
        /// Only names that begin with this
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// At most this many [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Disable an account and end its sessions
    Disable {
        /// User name
        name: String,
    },
    /// Let a disabled account log in again
    Enable {
        /// User name
        name: String,
    },
    /// Print the roles of an account, or replace them
    Roles {
        /// User name
        name: String,
        /// The new roles; without any, the current ones are printed
        #[arg(value_name = "ROLE", value_parser = role)]
        roles: Vec<UserRole>,
        /// Remove all roles
        #[arg(long, conflicts_with = "roles")]
        none: bool,
    },
    /// Set a new password and end all sessions; prompts for it, or reads it from standard input
    Password {
        /// User name
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Print a one-time link, valid for 24 hours, that sets a new password
    ResetLink {
        /// User name
        name: String,
    },
    /// End all sessions of an account
    SessionsEnd {
        /// User name
        name: String,
    },
}

#[derive(Args, Debug)]
struct PasswordSource {
    /// Read the password from this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// List the signing keys with their states
    List,
    /// Create a signing key (of --algorithm) that takes over from the active one
    Rotate {
        /// Take over at once, because the old key leaked: its tokens are refused from now on
        #[arg(long)]
        now: bool,
    },
    /// Print a new private key (of --algorithm) for another program; the database is not touched
    Generate,
    /// Print the public keys as a JWK Set
    ExportJwks,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Print a strong random secret; the default when no command is given
    Generate,
    /// Print which secret opens the values in the database, and when the previous one can be removed
    Status,
    /// Seal every value in the database under the current secret; a secret in the data folder is replaced
    /// first. No one is signed out
    Rotate {
        /// The secret leaked: replace the signing keys and sign everyone out, while no server runs
        #[arg(long)]
        leaked: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// Print a new secret for a service, and its hash for `secret_hashes` of its table; the database is not
    /// touched
    Secret,
    /// List the credentials of services with their last use and state
    List,
    /// Revoke every credential of a service: its secrets and its tokens are refused at the next request, on every
    /// replica, and the same secrets are never accepted again
    Revoke {
        /// Name of the service
        name: String,
    },
}

fn role(text: &str) -> Result<UserRole, String> {
    UserRole::parse(text).map_err(|why| format!("a role {why}"))
}

/// Failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings were refused, or help was requested.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A database, a key or another resource that the settings name could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The command was refused or failed.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The database cannot be used.
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A key cannot be created.
    #[error("cannot create a key")]
    Key(#[from] KeyError),
    /// No backup was written.
    #[error(transparent)]
    Backup(#[from] backup_commands::BackupError),
    /// A backup cannot be restored.
    #[error(transparent)]
    Restore(#[from] restore::RestoreError),
    /// There is no root secret, or it is weak.
    #[error(transparent)]
    Secret(#[from] RootSecretError),
    /// The root secret cannot be rotated.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A call to the operating system failed.
    #[error("cannot {attempt}")]
    System {
        /// The attempted action, to be read after "cannot".
        attempt: String,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// A failure that is in the log already; the program exits with this code.
    #[error("see the log")]
    Logged(u8),
    /// Another failure, described in one sentence.
    #[error("{0}")]
    Other(String),
}

impl CliError {
    /// Returns the exit code of the program.
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Logged(code) => *code,
            _ => 1,
        }
    }

    fn system(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let attempt = attempt.into();
        |source| Self::System { attempt, source }
    }
}

/// Runs the command that `args` (the program's name first) and `env` give.
///
/// # Errors
/// When the settings are refused or the command fails.
pub async fn run(args: Vec<OsString>, env: Vec<(OsString, OsString)>) -> Result<(), CliError> {
    if let Some(format) = config_command::requested_check(&args) {
        return config_command::check(&args, &env, format);
    }
    let (Cli { command, config }, tables) = load(&args, &env)?;
    let config = config.complete(tables, &env)?;
    let output = match command.unwrap_or(Command::Serve) {
        Command::Serve => return run::serve(config).await,
        Command::Config(ConfigCommand::Example) => example(),
        Command::Config(ConfigCommand::Check { .. }) => return Ok(()),
        Command::Secret {
            command: None | Some(SecretCommand::Generate),
        } => RootSecret::generate()?.expose().to_owned() + "\n",
        Command::Openapi { json: true } => api::spec::document().json(),
        Command::Openapi { json: false } => api::spec::document().yaml(),
        Command::Service(ServiceCommand::Secret) => service_commands::new_secret()?,
        Command::Key(KeyCommand::Generate) => key_commands::generate_key(config.algorithm)?,
        Command::Health => health::check(&config).await?,
        Command::Doctor => {
            print_database(&config, OpenMode::ExistingOnly);
            return doctor::diagnose(&config).await;
        }
        command => {
            config.check()?;
            // A command works without a log.
            let _ = logging::start_for_command(&config);
            print_database(&config, open_mode(&command));
            run_with_database(command, config).await?
        }
    };
    print(&output)
}

/// Returns whether a command may create the database.
fn open_mode(command: &Command) -> OpenMode {
    match command {
        // The first account may be created before the first start.
        Command::Migrate | Command::User(UserCommand::Add { .. }) | Command::Restore { .. } => {
            OpenMode::CreateIfMissing
        }
        _ => OpenMode::ExistingOnly,
    }
}

async fn run_with_database(command: Command, config: Config) -> Result<String, CliError> {
    let mode = open_mode(&command);
    match command {
        Command::Migrate => {
            Store::open(&config.database_url).await?;
            Ok("The database is up to date.\n".to_owned())
        }
        Command::Secret {
            command: Some(command),
        } => secret_commands::run(config, command).await,
        Command::SetupLink => setup_link(&open(config, mode).await?).await,
        Command::User(command) => user_commands::run(&open(config, mode).await?, command).await,
        Command::Service(command) => {
            service_commands::run(&open(config, mode).await?, command).await
        }
        Command::Events(arguments) => {
            events_command::run(&open(config, mode).await?, arguments).await?;
            Ok(String::new())
        }
        Command::Key(command) => {
            let installation = open(config, mode).await?;
            let token_lifetimes = installation.token_lifetimes();
            let keys = installation.signing_keys(token_lifetimes).await?;
            key_commands::run(&keys, command).await
        }
        Command::Backup { file } => backup_commands::backup(&config, &file).await,
        Command::Restore { file, dry_run } => {
            let mode = if dry_run {
                RestoreMode::DryRun
            } else {
                RestoreMode::Replace
            };
            restore::restore(config, &file, mode).await
        }
        Command::Restored => backup_commands::restored(config).await,
        _ => Ok(String::new()),
    }
}

async fn setup_link(installation: &Installation) -> Result<String, CliError> {
    let accounts = installation.accounts(installation.revocations(None)?)?;
    match accounts.create_setup_link().await? {
        Some(secret) => Ok(banner::setup_instructions(
            &installation.config.public_url,
            &secret,
        )),
        None => Err(CliError::Other(
            "an administrator exists already: create another one with `latchet user add NAME --admin`"
                .to_owned(),
        )),
    }
}

async fn open(config: Config, mode: OpenMode) -> Result<Installation, CliError> {
    Ok(Installation::open(config, Clock::system(), mode).await?)
}

/// Prints the database that a command uses: it may have been started in another folder than the server.
fn print_database(config: &Config, mode: OpenMode) {
    let url = &config.database_url;
    let text = match url.kind() {
        DatabaseKind::Postgres => format!("database {}", url.redacted()),
        DatabaseKind::Sqlite => match sqlite_file(url.expose()) {
            Ok(file) => {
                let note = match mode {
                    _ if file.exists() => "",
                    OpenMode::CreateIfMissing => " (new)",
                    OpenMode::ExistingOnly => " (does not exist)",
                };
                let file = std::path::absolute(&file).unwrap_or(file);
                format!("database {}{note}", file.display())
            }
            // The error is reported when it is opened.
            Err(_) => return,
        },
    };
    // Standard error may be closed; the command works without.
    let _ = writeln!(std::io::stderr(), "latchet: {text}");
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `latchet user list | head` is not an error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(CliError::system("write the output")),
    }
}

/// Returns the definition of the command line: commands, options and help texts.
pub fn command() -> clap::Command {
    Cli::command()
}
