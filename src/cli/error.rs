//! Failures of commands.

use super::{backup_commands, restore};
use crate::OpenError;
use crate::config::{ConfigError, RootSecretError};
use crate::error::ApiError;
use crate::keyring::KeyringError;
use crate::root_secret_rotation::RotationError;
use crate::serve::TlsError;
use crate::store::StoreError;
use latchet_guard::keys::KeyError;

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

    /// Returns the failure of a call, to be read after "cannot".
    pub(super) fn system(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let attempt = attempt.into();
        |source| Self::System { attempt, source }
    }
}
