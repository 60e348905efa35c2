//! The root secret: the one secret of a server, kept outside its database. Keys derived from it seal the
//! signing keys in the database and sign refresh tokens.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::{Config, DatabaseKind};
use crate::derived_keys::DerivedKeys;
use crate::text_file;

mod private_file;

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
    /// The previous secret is weak.
    #[error(
        "the previous root secret {0}: set LATCHET_ROOT_SECRET_PREVIOUS to the secret that was in use before, as it was"
    )]
    WeakPrevious(&'static str),
    /// The previous secret is the current one.
    #[error(
        "LATCHET_ROOT_SECRET_PREVIOUS is the same as the root secret: remove it, or set LATCHET_ROOT_SECRET to a new one (`latchet secret`)"
    )]
    SameAsPrevious,
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
        Self::read(Self::path(config))
    }

    /// Reads a file; `None` if it is missing.
    fn read(path: PathBuf) -> Result<Option<Self>, RootSecretError> {
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

    /// Returns the secret that was in use before the current one: the configured one, or the one in the data
    /// folder if the current one is there too. `None` while no rotation is under way.
    ///
    /// # Errors
    /// When it is weak, its file cannot be read, or a configured one is the current one.
    pub fn find_previous(config: &Config) -> Result<Option<Self>, RootSecretError> {
        let weak = |error| match error {
            RootSecretError::Weak(fault) => RootSecretError::WeakPrevious(fault),
            error => error,
        };
        if let Some(secret) = &config.root_secret_previous {
            let previous = Self::checked(secret).map_err(weak)?;
            let current = Self::find(config).ok().flatten();
            if current.is_some_and(|current| current.expose() == previous.expose()) {
                return Err(RootSecretError::SameAsPrevious);
            }
            return Ok(Some(previous));
        }
        if config.root_secret.is_some() || config.database_url.kind() == DatabaseKind::Postgres {
            return Ok(None);
        }
        let previous = Self::read(Self::previous_path(config)).map_err(weak)?;
        // They are equal if the program ended between the two steps of `RootSecret::replace`.
        let current = Self::find(config)?;
        Ok(previous
            .filter(|previous| current.is_none_or(|current| current.expose() != previous.expose())))
    }

    /// Derives the keys of this secret, and of the previous one while a rotation is under way.
    ///
    /// # Errors
    /// As [`RootSecret::find_previous`].
    pub fn derive_keys(&self, config: &Config) -> Result<DerivedKeys, RootSecretError> {
        let derived = DerivedKeys::derive(self.expose());
        Ok(match Self::find_previous(config)? {
            Some(previous) => derived.with_previous(previous.expose()),
            None => derived,
        })
    }

    /// Replaces the secret in the data folder by a new one, and keeps it in the file of the previous secret.
    /// If the program ends in between, the files still contain the secret in use.
    ///
    /// # Errors
    /// When a file cannot be written. The secret in use is not lost.
    pub fn replace(config: &Config) -> Result<(), RootSecretError> {
        let (path, previous) = (Self::path(config), Self::previous_path(config));
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| RootSecretError::File {
                attempt,
                path,
                source,
            }
        };
        let text = text_file::read(&path).map_err(failed("read", &path))?;
        private_file::replace(&previous, text.trim()).map_err(failed("write", &previous))?;
        private_file::replace(&path, Self::generate()?.expose()).map_err(failed("write", &path))
    }

    /// Replaces the secret in the data folder by a new one, and forgets it and the previous one: it leaked.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn discard(config: &Config) -> Result<(), RootSecretError> {
        let failed = |path: PathBuf| {
            move |source| RootSecretError::File {
                attempt: "write",
                path,
                source,
            }
        };
        let (path, previous) = (Self::path(config), Self::previous_path(config));
        private_file::replace(&path, Self::generate()?.expose()).map_err(failed(path))?;
        match std::fs::remove_file(&previous) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed(previous)),
        }
    }

    /// Returns the file of a secret that is not configured.
    pub fn path(config: &Config) -> PathBuf {
        config.data_dir.join("root-secret")
    }

    /// Returns the file of the previous secret, beside that of the current one.
    pub fn previous_path(config: &Config) -> PathBuf {
        config.data_dir.join("root-secret.previous")
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
        private_file::create(path, Self::generate()?.expose()).map_err(failed("write"))?;
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
