//! `latchet backup` and `latchet restored`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::signals::Interruption;
use super::{CliError, Config, open};
use crate::OpenError;
use crate::backup::DraftFile;
use crate::config::{DatabaseKind, DatabaseUrl};
use crate::denylist::PROPAGATION_DELAY;
use crate::store::{
    BackupContent, BackupFault, CheckedBackup, OpenMode, ServerLock, StoreError, check_backup,
    sqlite_file, write_copy,
};
use latchet_guard::clock::{Clock, Time};

const ROOT_SECRET_NOTE: &str = "\
The root secret is not in this file. Without it the file cannot be restored: keep a copy of it, and never
beside the backups.
";

/// Consequences of a restore, and the work that it leaves to the operator.
pub(super) const AFTER_RESTORE: &str = "\
Everybody has to sign in again, and all links that set a password are void. Accounts are as they were at the
time of the backup: an account that was disabled or a password that was changed since then, because it leaked,
has to be disabled or changed again, and a service that was revoked since then has to be revoked again.
";

/// Reason for which no backup was written.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has a program of its own.
    #[error(
        "PostgreSQL has a program of its own for backups: run  pg_dump --format=custom --file={file} {database}"
    )]
    Postgres {
        /// The file, quoted for a shell.
        file: String,
        /// URL without a password, quoted for a shell.
        database: String,
    },
    /// A file has that name.
    #[error("{} exists: name a new file, a backup replaces none", .0.display())]
    Exists(PathBuf),
    /// The new file cannot be created.
    #[error("cannot write the backup {}; nothing was left behind", file.display())]
    File {
        /// The new file.
        file: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be copied.
    #[error(
        "cannot copy the database to {}; nothing was left behind: see that the disk has space for it",
        file.display()
    )]
    Copy {
        /// The new file.
        file: PathBuf,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// The copy has a fault, as the database probably has.
    #[error("the copy cannot be used, and was removed: the database is probably damaged too")]
    Unusable(#[source] BackupFault),
}

pub(super) async fn backup(config: &Config, file: &Path) -> Result<String, CliError> {
    let url = &config.database_url;
    if url.kind() == DatabaseKind::Postgres {
        let file = quoted(&file.display().to_string());
        let database = quoted(&url.redacted());
        return Err(BackupError::Postgres { file, database }.into());
    }
    let mut interruption = Interruption::listen()?;
    let checked = interruption.stops(write(url, file)).await?;
    let mut text = format!("backup {} is complete and was checked\n", file.display());
    match checked {
        CheckedBackup::Current(content) => {
            text.push_str(&describe(&content, Clock::system().now()));
        }
        CheckedBackup::Older { step } => {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "  schema         {step}, of an older version of Latchet: restore it with that version"
            );
        }
    }
    Ok(text + ROOT_SECRET_NOTE)
}

/// Writes the file, which exists as a whole or not at all.
async fn write(url: &DatabaseUrl, file: &Path) -> Result<CheckedBackup, CliError> {
    if std::fs::symlink_metadata(file).is_ok() {
        return Err(BackupError::Exists(file.to_owned()).into());
    }
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => BackupError::File {
            file: file.to_owned(),
            source,
        },
    };
    let draft = DraftFile::create(file).map_err(failed)?;
    match write_copy(url, draft.path()).await {
        Err(source @ StoreError::NoInstallation) => return Err(source.into()),
        Err(source) => {
            let file = file.to_owned();
            return Err(BackupError::Copy { file, source }.into());
        }
        Ok(()) => {}
    }
    let checked = check_backup(draft.path(), Clock::system().now()).await;
    let checked = checked.map_err(BackupError::Unusable)?;
    draft.persist_new().map_err(failed)?;
    Ok(checked)
}

/// Returns lines about what a backup contains.
pub(super) fn describe(content: &BackupContent, now: Time) -> String {
    let latest = match content.latest_change {
        Some(time) => format!("{time} ({})", age(time, now)),
        None => "none".to_owned(),
    };
    format!(
        "  users          {}\n  live sessions  {}\n  latest change  {latest}\n",
        content.users, content.live_sessions
    )
}

/// Returns how long ago a time was, in the largest unit that fits.
pub(super) fn age(time: Time, now: Time) -> String {
    let seconds = now.since(time).as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit} ago")
}

pub(super) async fn restored(config: Config) -> Result<String, CliError> {
    let kind = config.database_url.kind();
    let _lock = match kind {
        DatabaseKind::Sqlite => {
            let path = sqlite_file(config.database_url.expose())?;
            if !path.exists() {
                return Err(StoreError::NoInstallation.into());
            }
            Some(ServerLock::take(&config.database_url).map_err(OpenError::from)?)
        }
        DatabaseKind::Postgres => None,
    };
    let installation = open(config, OpenMode::ExistingOnly).await?;
    let users = installation.end_restored().await?;
    wait_for_running_servers(kind).await;
    Ok(format!(
        "The sessions of {users} users have ended, and a new signing key has replaced all others.\n{AFTER_RESTORE}"
    ))
}

/// Waits until every server that runs although it should not has noticed the new epoch. With SQLite, the lock
/// shows that none runs.
pub(super) async fn wait_for_running_servers(kind: DatabaseKind) {
    if kind == DatabaseKind::Postgres {
        tokio::time::sleep(PROPAGATION_DELAY).await;
    }
}

/// Returns the text as one word of a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:@,".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
