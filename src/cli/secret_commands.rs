//! `latchet secret …`

use std::fmt::Write;
use std::sync::Arc;

use super::backup_commands::wait_for_running_servers;
use super::{CliError, Clock, Config, OpenMode, SecretCommand, open};
use crate::clock_check::ClockCheck;
use crate::config::{DatabaseKind, RootSecret, RootSecretError};
use crate::derived_keys::DerivedKeys;
use crate::end_everything::{KeySource, end_everything};
use crate::installation::{Installation, OpenError};
use crate::store::{DEFAULT_CONNECTIONS, EndCause, SealedColumn, ServerLock, Store};

pub(super) async fn run(config: Config, command: SecretCommand) -> Result<String, CliError> {
    match command {
        SecretCommand::Generate => Ok(RootSecret::generate()?.expose().to_owned() + "\n"),
        SecretCommand::Status => status(&open(config, OpenMode::ExistingOnly).await?).await,
        SecretCommand::Rotate { leaked: false } => rotate(config).await,
        SecretCommand::Rotate { leaked: true } => replace_leaked(config).await,
    }
}

/// Returns whether the secret is the file in the data folder.
fn is_in_data_folder(config: &Config) -> bool {
    config.root_secret.is_none() && config.database_url.kind() == DatabaseKind::Sqlite
}

async fn rotate(config: Config) -> Result<String, CliError> {
    let is_in_folder = is_in_data_folder(&config);
    if RootSecret::find_previous(&config)?.is_some() {
        return reseal(&open(config, OpenMode::ExistingOnly).await?).await;
    }
    if !is_in_folder {
        return Err(CliError::Other(
            "there is no previous secret: set LATCHET_ROOT_SECRET to a new one (`latchet secret`) and LATCHET_ROOT_SECRET_PREVIOUS to the one before, for every server and this command"
                .to_owned(),
        ));
    }
    // A running server would not open the keys that are sealed under the new secret.
    let _lock = ServerLock::take(&config.database_url).map_err(OpenError::from)?;
    // The secret in use must open this database before another one takes its place.
    drop(open(config.clone(), OpenMode::ExistingOnly).await?);
    RootSecret::replace(&config)?;
    reseal(&open(config, OpenMode::ExistingOnly).await?).await
}

async fn reseal(installation: &Installation) -> Result<String, CliError> {
    let values = installation.root_secret_rotation().run().await?;
    let sealed = match values {
        1 => "Sealed 1 value under the new secret.\n".to_owned(),
        values => format!("Sealed {values} values under the new secret.\n"),
    };
    Ok(sealed + &status(installation).await?)
}

async fn status(installation: &Installation) -> Result<String, CliError> {
    let rotation = installation.root_secret_rotation();
    let mut text = String::new();
    let mut is_pending = false;
    for column in SealedColumn::ALL {
        let counts = rotation.counts(column).await?;
        is_pending |= counts.previous > 0;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {} under the current secret, {} under the previous one, {} under neither",
            column.values(),
            counts.current,
            counts.previous,
            counts.neither.len()
        );
        for id in counts.neither {
            let _ = writeln!(text, "  neither secret opens {id}");
        }
    }
    if !installation.derived.has_previous() {
        return Ok(text + "There is no previous secret.\n");
    }
    if is_pending {
        return Ok(
            text + "The previous secret is needed. Run `latchet secret rotate` once every server has the new one.\n"
        );
    }
    let now = installation.clock.now();
    let until = installation.store.previous_secret_needed_until(now).await?;
    let removal = if is_in_data_folder(&installation.config) {
        format!(
            "remove {} and restart the server",
            RootSecret::previous_path(&installation.config).display()
        )
    } else {
        "remove LATCHET_ROOT_SECRET_PREVIOUS and restart the servers".to_owned()
    };
    Ok(text
        + &if until <= now {
            format!("The previous secret is not needed any more: {removal}.\n")
        } else {
            format!(
                "The previous secret is needed until {until}, for sessions that were not refreshed since. After that, {removal}.\n"
            )
        })
}

/// Creates new signing keys under a new secret, and ends every session. The leaked secret is not used.
async fn replace_leaked(config: Config) -> Result<String, CliError> {
    if config.root_secret_previous.is_some() {
        return Err(CliError::Other(
            "the leaked secret must not be accepted any more: remove LATCHET_ROOT_SECRET_PREVIOUS, and set LATCHET_ROOT_SECRET to a new one (`latchet secret`)"
                .to_owned(),
        ));
    }
    let _lock = ServerLock::take(&config.database_url).map_err(OpenError::from)?;
    let connections = config.database_connections.unwrap_or(DEFAULT_CONNECTIONS);
    let url = &config.database_url;
    let store = Store::open_with(url, connections, OpenMode::ExistingOnly).await?;
    let clock = Clock::system();
    let check = ClockCheck::new(store.clone(), clock.clone());
    check.require_agreement().await.map_err(OpenError::from)?;
    if is_in_data_folder(&config) {
        RootSecret::discard(&config)?;
    }
    let root = RootSecret::find(&config)?.ok_or_else(|| RootSecretError::Lost {
        path: RootSecret::path(&config),
    })?;
    let derived = Arc::new(DerivedKeys::derive(root.expose()));
    refuse_the_leaked_secret(&store, &derived).await?;
    let keys = KeySource {
        derived: &derived,
        algorithm: config.algorithm,
    };
    let users = end_everything(&store, keys, EndCause::SecretLeaked, clock.now()).await?;
    wait_for_running_servers(config.database_url.kind()).await;
    Ok(format!(
        "The signing keys are new, and all sessions of {users} users have ended. Start the servers with the new secret alone.\n"
    ))
}

/// The secret that opens the keys of the database is the one that leaked.
async fn refuse_the_leaked_secret(store: &Store, derived: &DerivedKeys) -> Result<(), CliError> {
    let keys = store.keys().await?;
    let opens = |sealed: &str, kid: &str| derived.open(kid, sealed).is_ok();
    if keys.iter().any(|key| opens(&key.sealed_private, &key.kid)) {
        return Err(CliError::Other(
            "the root secret is still the one of this database: set LATCHET_ROOT_SECRET to a new one (`latchet secret`); nothing was changed"
                .to_owned(),
        ));
    }
    Ok(())
}
