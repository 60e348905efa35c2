//! What the file says of tokens for other parties: `[token_profiles.NAME]` and `[token_services.NAME]`.
//!
//! Tables stand in the file only: a profile has no flag and no variable. The keys that they name are
//! read from files of their own, so that no secret stands in what is printed, logged or checked in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::ConfigError;
use super::values::duration;
use crate::keys::{Algorithm, KeyError, SigningKey, check_secret};
use crate::server::text_file;

mod check;

/// The names of the tables in the file.
pub(super) const TABLES: [&str; 2] = ["token_profiles", "token_services"];

/// Tokens for other parties, and the services that may ask for them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tables {
    /// By the name that stands in `POST /v1/tokens/{profile}`.
    #[serde(rename = "token_profiles")]
    pub profiles: BTreeMap<String, ProfileSettings>,
    /// By the name that a service shows.
    #[serde(rename = "token_services")]
    pub services: BTreeMap<String, ServiceSettings>,
}

/// One sort of token that another party reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSettings {
    /// How it is signed.
    #[serde(deserialize_with = "parsed")]
    pub algorithm: Algorithm,
    /// File with the secret (HS256) or the private key in PEM.
    pub key_file: PathBuf,
    /// How long a token lives.
    #[serde(deserialize_with = "lifetime")]
    pub lifetime: Duration,
    /// What it says beside the times, by claim.
    pub claims: BTreeMap<String, ClaimSource>,
    /// `iss`, where the other party wants one.
    pub issuer: Option<String>,
    /// `aud`, where the other party wants one.
    pub audience: Option<String>,
    /// Which users may ask for one of their own.
    #[serde(default)]
    pub users: Users,
    /// Services that may ask on behalf of any user.
    #[serde(default)]
    pub services: Vec<String>,
}

/// A service that asks on behalf of users.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// File with its secret.
    pub secret_file: PathBuf,
}

/// What a claim is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimSource {
    /// Something of the user.
    User(Attribute),
    /// The same in every token.
    Constant(Constant),
}

/// What an account has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attribute {
    /// The id, which is `sub` in Latchet's own tokens and never changes.
    Id,
    /// The user name as it was given: the e-mail address where people log in by that.
    Username,
    /// The names of the roles, as a list.
    Roles,
}

/// A value that is the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Which users may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// None: tokens are for services to ask for.
    #[default]
    None,
    /// Whoever is signed in.
    Any,
    /// Who has this role now.
    Role(String),
}

/// Why a key or a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unread {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It holds no key that may be used.
    #[error("{}: {source}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: KeyError,
    },
    /// It holds what seals every key of this server.
    #[error(
        "{}: this is the root secret, which others must not know; make another with `latchet secret`",
        path.display()
    )]
    RootSecret {
        /// Which.
        path: PathBuf,
    },
    /// It holds a key for something else.
    #[error("{}: this key is for {found}, not for {wanted}", path.display())]
    OtherAlgorithm {
        /// Which.
        path: PathBuf,
        /// What it is for.
        found: Algorithm,
        /// What the profile says.
        wanted: Algorithm,
    },
}

impl Tables {
    /// Reads the tables that the settings file was relieved of; `shown` names it.
    pub(super) fn read(
        tables: toml::Table,
        shown: &impl fmt::Display,
    ) -> Result<Self, ConfigError> {
        toml::Value::Table(tables).try_into().map_err(|error| {
            // It names the key on a line of its own.
            let error = error.to_string();
            let text = error.trim().replace('\n', " ");
            ConfigError::refused(format!("{shown}: {text}"))
        })
    }

    /// Returns the files that hold secrets.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let keys = self.profiles.values().map(|profile| &profile.key_file);
        let secrets = self.services.values().map(|service| &service.secret_file);
        keys.chain(secrets).map(PathBuf::as_path)
    }
}

impl ProfileSettings {
    /// Reads the key.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no key of the algorithm, or a weak one.
    pub fn key(&self) -> Result<SigningKey, FileError> {
        let text = text(&self.key_file)?;
        let text = text.expose_secret();
        let key = match self.algorithm {
            Algorithm::Hs256 => SigningKey::from_private_bytes(Algorithm::Hs256, text.as_bytes()),
            _ => SigningKey::from_pem(text),
        };
        let path = || self.key_file.clone();
        let key = key.map_err(|source| FileError::Key {
            path: path(),
            source,
        })?;
        if key.algorithm() != self.algorithm {
            return Err(FileError::OtherAlgorithm {
                path: path(),
                found: key.algorithm(),
                wanted: self.algorithm,
            });
        }
        Ok(key)
    }
}

impl ServiceSettings {
    /// Reads the secret.
    ///
    /// # Errors
    /// When the file cannot be read, or the secret could be guessed.
    pub fn secret(&self) -> Result<SecretString, FileError> {
        let secret = text(&self.secret_file)?;
        check_secret(secret.expose_secret().as_bytes()).map_err(|source| FileError::Key {
            path: self.secret_file.clone(),
            source,
        })?;
        Ok(secret)
    }
}

/// Editors and `echo` end files with a line break, which is no part of a secret.
fn text(path: &Path) -> Result<SecretString, FileError> {
    let text = text_file::read(path).map_err(|source| FileError::Unread {
        path: path.to_owned(),
        source,
    })?;
    Ok(text_file::without_line_end(&text).into())
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
