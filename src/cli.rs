//! The command line. Each command opens the parts that it needs and calls them; nothing is decided here.

use std::ffi::OsString;
use std::io::Write;

use clap::CommandFactory;

use super::config::{Config, DatabaseKind, RootSecret, example, load};
use super::installation::Installation;
use super::store::{OpenMode, Store, sqlite_file};
use super::{api, logging};
use latchet_guard::clock::Clock;

mod backup_commands;
mod banner;
mod commands;
mod config_command;
mod doctor;
mod error;
mod event_feed;
mod events_command;
mod health;
mod key_commands;
mod mail_commands;
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

use commands::{
    Cli, Command, ConfigCommand, KeyCommand, MailCommand, SecretCommand, ServiceCommand,
    UserCommand,
};
pub use error::CliError;
use restore::RestoreMode;

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
        Command::Mail(MailCommand::Test { address }) => {
            config.check()?;
            mail_commands::run(&config, address).await?
        }
        Command::Health => health::check(&config).await?,
        Command::Doctor { mail_to } => {
            print_database(&config, OpenMode::ExistingOnly);
            return doctor::diagnose(&config, mail_to).await;
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
