//! The root secret: the one secret of a server, kept outside its database. Keys derived from it seal the
//! signing keys in the database and sign refresh tokens.

use std::io::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::{Config, DatabaseKind};
use crate::text_file;
use latchet_guard::keys::random_id;

const MIN_LENGTH: usize = 32;

/// The secret from which all other keys are derived.
#[derive(Clone, Debug)]
pub struct RootSecret(SecretString);

/// Reason for a missing root secret.
#[derive(Debug, thiserror::Error)]
pub enum RootSecretError {
    /// The secret is weak.
    #[error("the root secret {0}; create one with `latchet secret`")]
    Weak(&'static str),
    /// None is configured, and replicas cannot share a file that each of them creates.
    #[error(
        "PostgreSQL is shared by replicas, so the root secret must be too: set LATCHET_ROOT_SECRET (or LATCHET_ROOT_SECRET_FILE) to the same value on each; create one with `latchet secret`"
    )]
    Missing,
    /// The file is missing, and a new secret could not open the keys in the database.
    #[error(
        "the root secret is lost: {} is missing, and the database has keys that were sealed under it; restore the file from a backup, or set LATCHET_ROOT_SECRET",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read or created.
    #[error("cannot {attempt} the root secret in {}", path.display())]
    File {
        /// `read` or `write`.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The system provides no random bytes.
    #[error("the system provides no random bytes")]
    NoRandomness,
}

impl RootSecret {
    /// Returns the configured secret, or the one in the data folder, which is created if it is
    /// missing and the database is a SQLite file.
    ///
    /// # Errors
    /// When the secret is weak, missing, or its file fails.
    pub fn load(config: &Config) -> Result<Self, RootSecretError> {
        match Self::find(config)? {
            Some(secret) => Ok(secret),
            None => Self::create(&Self::path(config)),
        }
    }

    /// Returns the configured secret, or the one in the data folder. Creates nothing: `None` if a SQLite
    /// file has no secret yet, or lost it.
    ///
    /// # Errors
    /// As [`RootSecret::load`].
    pub fn find(config: &Config) -> Result<Option<Self>, RootSecretError> {
        if let Some(secret) = &config.root_secret {
            return Self::checked(secret).map(Some);
        }
        if config.database_url.kind() == DatabaseKind::Postgres {
            return Err(RootSecretError::Missing);
        }
        let path = Self::path(config);
        match text_file::read(&path) {
            Ok(text) => Self::checked(&text.into()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RootSecretError::File {
                attempt: "read",
                path,
                source,
            }),
        }
    }

    /// Returns the file of a secret that is not configured.
    pub fn path(config: &Config) -> PathBuf {
        config.data_dir.join("root-secret")
    }

    /// Creates a secret of 256 random bits.
    ///
    /// # Errors
    /// When the system provides no random bytes.
    pub fn generate() -> Result<Self, RootSecretError> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| RootSecretError::NoRandomness)?;
        Ok(Self(SecretString::from(URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Returns the text of the secret, as in the configuration.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Checks a secret from a variable or a file. Spaces around it are removed.
    fn checked(secret: &SecretString) -> Result<Self, RootSecretError> {
        let secret = SecretString::from(secret.expose_secret().trim());
        check_secret_strength(secret.expose_secret()).map_err(RootSecretError::Weak)?;
        Ok(Self(secret))
    }

    /// Creates the file, unless another process that starts at the same time is faster: then its
    /// secret is used.
    fn create(path: &Path) -> Result<Self, RootSecretError> {
        let failed = |attempt: &'static str| {
            move |source| RootSecretError::File {
                attempt,
                path: path.to_owned(),
                source,
            }
        };
        write_private(path, Self::generate()?.expose()).map_err(failed("write"))?;
        let text = text_file::read(path).map_err(failed("read"))?;
        Self::checked(&text.into())
    }
}

/// Refuses secrets that are short, repetitive or copied from an example.
///
/// # Errors
/// The fault, to be read after "the secret".
pub fn check_secret_strength(secret: &str) -> Result<(), &'static str> {
    if secret.len() < MIN_LENGTH {
        return Err("is shorter than 32 characters");
    }
    let lower = secret.to_ascii_lowercase();
    let placeholders = [
        "changeme",
        "change-me",
        "change_me",
        "secret",
        "example",
        "password",
    ];
    if placeholders.iter().any(|word| lower.contains(word)) {
        return Err("looks like a placeholder");
    }
    let mut seen = [false; 256];
    secret
        .bytes()
        .for_each(|byte| seen[usize::from(byte)] = true);
    if seen.iter().filter(|seen| **seen).count() < 10 {
        return Err("repeats the same few characters");
    }
    Ok(())
}

/// Creates the folder (0700) and the file (0600) if they are missing. The file is written under another
/// name and then linked, so that no process reads half of it or replaces the file of another one.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    #[cfg(unix)]
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    {
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent() {
        folder.create(parent)?;
    }
    let draft = path.with_extension(random_id());
    let mut file = file.open(&draft)?;
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    std::fs::remove_file(&draft).and(linked)
}
