//! Commands and options of the command line, with their help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::events_command::EventsArguments;
use crate::config::Config;
use crate::names::{EmailAddress, UserRole};

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
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) config: Config,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    /// Try the mail settings
    #[command(subcommand)]
    Mail(MailCommand),
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
    Doctor {
        /// Send a mail to this address, too
        #[arg(long, value_name = "ADDRESS", value_parser = email_address)]
        mail_to: Option<EmailAddress>,
    },
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
pub(super) enum MailCommand {
    /// Send a mail at once, by the mail server or the folder of the settings, and report the outcome
    Test {
        /// Address of the recipient
        #[arg(value_name = "ADDRESS", value_parser = email_address)]
        address: EmailAddress,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
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
pub(super) enum UserCommand {
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
    /// Delete an account with everything that is kept of it, for ever
    Delete {
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
pub(super) struct PasswordSource {
    /// Read the password from this file
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
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
pub(super) enum SecretCommand {
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
pub(super) enum ServiceCommand {
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

fn email_address(text: &str) -> Result<EmailAddress, String> {
    EmailAddress::parse(text).map_err(|fault| format!("the address {fault}"))
}

fn role(text: &str) -> Result<UserRole, String> {
    UserRole::parse(text).map_err(|why| format!("a role {why}"))
}
