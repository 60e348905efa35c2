//! `latchet restore`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::backup_commands::{AFTER_RESTORE, age, describe, quoted};
use super::signals::Interruption;
use super::{CliError, Config, open};
use crate::OpenError;
use crate::backup::{DraftFile, ReplaceError, RestoreTarget, journals_beside};
use crate::config::{DatabaseKind, DatabaseUrl, RootSecret, RootSecretError};
use crate::keyring::{Keyring, KeyringError};
use crate::store::{
    AccountChange, BackupContent, BackupFault, CheckedBackup, OpenMode, ServerLock,
    account_changes_after, check_backup, sqlite_file,
};
use latchet_guard::clock::{Clock, Time};

/// Effect of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestoreMode {
    /// The database is replaced.
    Replace,
    /// Nothing is changed.
    DryRun,
}

/// Reason for which a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// PostgreSQL has programs of its own.
    #[error(
        "PostgreSQL has a program of its own for this: stop every server, then run  pg_restore --clean --if-exists --single-transaction --dbname={database} {file}  and afterwards  latchet restored"
    )]
    Postgres {
        /// URL without a password, quoted for a shell.
        database: String,
        /// The file, quoted for a shell.
        file: String,
    },
    /// It is a folder or a device, or has no content.
    #[error("{} is not a backup: it is {fault}", file.display())]
    NotAFile {
        /// The file.
        file: PathBuf,
        /// Its nature, to be read after "it is".
        fault: &'static str,
    },
    /// The file is the database itself.
    #[error("{} is the database itself: name a backup of it", .0.display())]
    SameFile(PathBuf),
    /// The file is part of a database in use.
    #[error(
        "{} is not complete: {} belongs to it; it is the file of a database that was in use, so make a backup of that database with `latchet backup`",
        file.display(),
        journal.display()
    )]
    Incomplete {
        /// The file.
        file: PathBuf,
        /// The journal beside it.
        journal: PathBuf,
    },
    /// The content of the file cannot be used.
    #[error("{} cannot be restored", file.display())]
    Fault {
        /// The file.
        file: PathBuf,
        /// Its fault.
        #[source]
        source: BackupFault,
    },
    /// An older version of the program made it.
    #[error(
        "an older version of Latchet wrote {} (its schema is that of step {step}): restore it with that version, then upgrade",
        file.display()
    )]
    OlderSchema {
        /// The file.
        file: PathBuf,
        /// Its newest migration.
        step: String,
    },
    /// Its signing keys were sealed under another root secret.
    #[error(
        "the root secret does not belong to {}: set LATCHET_ROOT_SECRET to the one that was in use at the time of the backup, or put its file back",
        file.display()
    )]
    WrongRootSecret {
        /// The file.
        file: PathBuf,
    },
    /// There is no root secret.
    #[error(
        "there is no root secret, and that of {} is needed: put {} back, or set LATCHET_ROOT_SECRET",
        file.display(),
        secret.display()
    )]
    NoRootSecret {
        /// The backup.
        file: PathBuf,
        /// The file of the secret.
        secret: PathBuf,
    },
    /// The database cannot be replaced.
    #[error(transparent)]
    Replace(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ReplaceError> for CliError {
    fn from(error: ReplaceError) -> Self {
        Self::Restore(RestoreError::Replace(Box::new(error)))
    }
}

pub(super) async fn restore(
    config: Config,
    file: &Path,
    mode: RestoreMode,
) -> Result<String, CliError> {
    let url = &config.database_url;
    if url.kind() == DatabaseKind::Postgres {
        let (database, file) = (url.redacted(), file.display().to_string());
        let (database, file) = (quoted(&database), quoted(&file));
        return Err(RestoreError::Postgres { database, file }.into());
    }
    let attempt = CliError::system("read the folder of the database");
    let target = RestoreTarget::find(&sqlite_file(url.expose())?).map_err(attempt)?;
    require_complete_file(file, &target)?;
    match mode {
        RestoreMode::DryRun => dry_run(&config, file, &target).await,
        RestoreMode::Replace => replace(config, file, &target).await,
    }
}

async fn dry_run(config: &Config, file: &Path, target: &RestoreTarget) -> Result<String, CliError> {
    ServerLock::check_free(target.path()).map_err(OpenError::from)?;
    let now = Clock::system().now();
    let content = check(config, file, file, now).await?;
    let mut text = format!("{} can be restored; nothing was changed\n", file.display());
    text.push_str(&describe(&content, now));
    let path = target.path().display();
    // Writing to a string does not fail.
    let _ = if target.has_database() {
        writeln!(
            text,
            "It would replace {path}, which would be kept under another name."
        )
    } else {
        writeln!(text, "It would create {path}.")
    };
    text.push_str(AFTER_RESTORE);
    if journals_beside(target.path()).is_empty() {
        text.push_str(&describe_changes(target.path(), &content, now).await);
    }
    Ok(text)
}

async fn replace(config: Config, file: &Path, target: &RestoreTarget) -> Result<String, CliError> {
    let mut interruption = Interruption::listen()?;
    let attempt = CliError::system("create the folder of the database");
    target.create_folder().map_err(attempt)?;
    let _lock = ServerLock::take_for(target.path()).map_err(OpenError::from)?;
    let prepared = Box::pin(prepare(config, file, target));
    let (draft, content) = interruption.stops(prepared).await?;
    // From here on no signal ends it: these are a few steps of the file system.
    let now = Clock::system().now();
    let kept = target.replace(draft, now).await?;

    let mut text = format!(
        "restored {} from {}\n",
        target.path().display(),
        file.display()
    );
    text.push_str(&describe(&content, now));
    let mut changes = String::new();
    if let Some(kept) = kept {
        // Writing to a string does not fail.
        let _ = writeln!(text, "The previous database is {}.", kept.path.display());
        changes = describe_changes(&kept.path, &content, now).await;
    }
    Ok(text + AFTER_RESTORE + &changes)
}

/// Makes a copy of the backup beside the database, and marks it as restored.
async fn prepare(
    mut config: Config,
    file: &Path,
    target: &RestoreTarget,
) -> Result<(DraftFile, BackupContent), CliError> {
    let attempt = || {
        format!(
            "copy {} beside {}; the database was not changed",
            file.display(),
            target.path().display()
        )
    };
    let draft = DraftFile::copy(file, target.path()).map_err(CliError::system(attempt()))?;
    let content = check(&config, file, draft.path(), Clock::system().now()).await?;
    config.database_url = DatabaseUrl::of_sqlite_file(draft.path());
    let installation = open(config, OpenMode::ExistingOnly).await?;
    installation.end_restored().await?;
    installation.store.close().await;
    let owned = target.give_owner(&draft);
    owned.map_err(CliError::system(
        "give the restored file the owner of the database: run this as the user that runs the server",
    ))?;
    Ok((draft, content))
}

/// Checks `copy`, which has the content of `file`, with the root secret of this installation.
async fn check(
    config: &Config,
    file: &Path,
    copy: &Path,
    now: Time,
) -> Result<BackupContent, CliError> {
    let file = file.to_owned();
    let content = match check_backup(copy, now).await {
        Ok(CheckedBackup::Current(content)) => content,
        Ok(CheckedBackup::Older { step }) => {
            return Err(RestoreError::OlderSchema { file, step }.into());
        }
        Err(source) => return Err(RestoreError::Fault { file, source }.into()),
    };
    if content.keys.is_empty() {
        return Ok(content);
    }
    let secret = RootSecret::path(config);
    let root = match RootSecret::find(config) {
        Ok(Some(root)) => root,
        Ok(None) | Err(RootSecretError::Missing) => {
            return Err(RestoreError::NoRootSecret { file, secret }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let derived = root.derive_keys(config)?;
    match Keyring::check_root_secret(content.keys.clone(), &derived, now) {
        Ok(()) => Ok(content),
        Err(KeyringError::WrongRootSecret { .. }) => {
            Err(RestoreError::WrongRootSecret { file }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses what is no file with content, and a file that is only a part of a database.
fn require_complete_file(file: &Path, target: &RestoreTarget) -> Result<(), CliError> {
    let attempt = || CliError::system(format!("read the backup {}", file.display()));
    let found = std::fs::metadata(file).map_err(attempt())?;
    let refuse = |fault| RestoreError::NotAFile {
        file: file.to_owned(),
        fault,
    };
    if !found.is_file() {
        return Err(refuse("not a file").into());
    }
    if found.len() == 0 {
        return Err(refuse("empty").into());
    }
    if file.canonicalize().map_err(attempt())? == target.path() {
        return Err(RestoreError::SameFile(file.to_owned()).into());
    }
    if let Some(journal) = journals_beside(file).into_iter().next() {
        let file = file.to_owned();
        return Err(RestoreError::Incomplete { file, journal }.into());
    }
    Ok(())
}

/// Returns lines about what the replaced database recorded after the backup, as far as it can be read.
async fn describe_changes(replaced: &Path, content: &BackupContent, now: Time) -> String {
    let Some(latest) = content.latest_change else {
        return String::new();
    };
    let changes = if replaced.exists() {
        account_changes_after(replaced, latest).await
    } else {
        Ok(Vec::new())
    };
    match changes {
        Ok(changes) if changes.is_empty() => String::new(),
        Ok(changes) => {
            let lines = changes.iter().map(|AccountChange { at, kind, user }| {
                format!("  {at}  {kind}  {user} ({})\n", age(*at, now))
            });
            let lines: String = lines.collect();
            format!(
                "The replaced database recorded changes of accounts that the backup lacks:\n{lines}"
            )
        }
        Err(_) => {
            "The replaced database cannot be read, so changes since the backup are not listed.\n"
                .to_owned()
        }
    }
}
