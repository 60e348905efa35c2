//! Settings of third-party tokens and of services: the tables `[token_profiles.NAME]` and
//! `[token_services.NAME]` of the file.
//!
//! Tables are in the file only: a profile has no flag and no variable. The keys that they name are
//! read from separate files, so that no secret is printed, logged or checked in; of the secret of a service the
//! file may contain the hash.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use super::ConfigError;
use super::values::parse_duration;
use crate::text_file;
use latchet_guard::keys::{Algorithm, KeyError, SigningKey, check_secret};

mod profile_validation;

/// The names of the tables in the file.
pub(super) const TABLE_NAMES: [&str; 2] = ["token_profiles", "token_services"];

/// Profiles of third-party tokens, and the services that may request such tokens.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenProfileTables {
    /// Profiles by their name in `POST /v1/tokens/{profile}`.
    #[serde(rename = "token_profiles")]
    pub profiles: BTreeMap<String, ProfileSettings>,
    /// Services by the name with which they authenticate.
    #[serde(rename = "token_services")]
    pub services: BTreeMap<String, ServiceSettings>,
}

/// Profile of the tokens for one third party.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSettings {
    /// Algorithm of the signature: `HS256`, `EdDSA`, `ES256` or `RS256`.
    #[serde(deserialize_with = "deserialize_from_str")]
    pub algorithm: Algorithm,
    /// File with the secret for HS256 (at least 32 bytes), or with a private key in PEM for the others,
    /// as `latchet key generate` prints it.
    pub key_file: PathBuf,
    /// Lifetime of a token, `1s` to `365d`.
    #[serde(deserialize_with = "deserialize_duration")]
    pub lifetime: Duration,
    /// Claims beside the times. The value of each is `{ user = "id" }`, `{ user = "username" }`,
    /// `{ user = "roles" }` or `{ constant = … }`; one of them must name the user.
    pub claims: BTreeMap<String, ClaimSource>,
    /// Claim `iss`, if the third party requires one.
    pub issuer: Option<String>,
    /// Claim `aud`, if the third party requires one.
    pub audience: Option<String>,
    /// Users that may request a token for themselves: `"any"`, `{ role = "NAME" }` or `"none"`
    /// (default).
    #[serde(default)]
    pub users: AllowedUsers,
    /// Names of `[token_services.NAME]` that may request a token on behalf of any user.
    #[serde(default)]
    pub services: Vec<String>,
}

/// A service: a program that requests tokens for itself, or on behalf of users.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// File with a secret of the service (at least 32 bytes).
    pub secret_file: Option<PathBuf>,
    /// Hashes of secrets, as `latchet service secret` prints them. There are at most two secrets, with that of
    /// the file, so that one can be replaced without an interruption.
    #[serde(default)]
    pub secret_hashes: Vec<SecretHash>,
    /// Scopes that its own tokens may have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// True if it may introspect tokens.
    #[serde(default)]
    pub introspection: bool,
    /// True if nothing is accepted from it, although it is configured.
    #[serde(default)]
    pub disabled: bool,
}

/// SHA-256 of the secret of a service. Such a secret is too random to need a slow hash.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Returns the hash of a secret.
    pub fn of(secret: &SecretString) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret.expose_secret().as_bytes()).as_ref());
        Self(hash)
    }

    /// Returns whether both are equal, in a time that does not depend on it.
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Prints base64url without padding, as in the settings.
impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({self})")
    }
}

impl TryFrom<String> for SecretHash {
    type Error = InvalidSecretHash;

    fn try_from(text: String) -> Result<Self, InvalidSecretHash> {
        let bytes = URL_SAFE_NO_PAD
            .decode(&text)
            .map_err(|_| InvalidSecretHash)?;
        bytes.try_into().map(Self).map_err(|_| InvalidSecretHash)
    }
}

/// A text is not the hash of a secret.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a secret hash has 43 characters, as `latchet service secret` prints it")]
pub struct InvalidSecretHash;

/// Source of the value of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimSource {
    /// An attribute of the user.
    User(UserAttribute),
    /// The same in every token.
    Constant(ConstantValue),
}

/// Attribute of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserAttribute {
    /// The id, which is `sub` in Latchet's own tokens and never changes.
    Id,
    /// The user name: the e-mail address, if people log in with that.
    Username,
    /// The names of the roles, as a list.
    Roles,
}

/// A value that is the same for all users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConstantValue {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Users that may request tokens of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowedUsers {
    /// No users: only services request these tokens.
    #[default]
    None,
    /// All users that are signed in.
    Any,
    /// Users that have this role now.
    Role(String),
}

/// Refusal of a file with a key or a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// It holds no usable key.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The fault of the key.
        source: KeyError,
    },
    /// It holds the root secret of this server.
    #[error(
        "{}: this is the root secret, which others must not know; create another with `latchet secret`",
        path.display()
    )]
    RootSecret {
        /// The file.
        path: PathBuf,
    },
    /// It holds a key for another algorithm.
    #[error("{}: this key is for {found}, not for {wanted}", path.display())]
    WrongAlgorithm {
        /// The file.
        path: PathBuf,
        /// The algorithm of the key.
        found: Algorithm,
        /// The algorithm of the profile.
        wanted: Algorithm,
    },
}

impl TokenProfileTables {
    /// Reads the tables of the settings file; `shown` is the name of that file.
    pub(super) fn read(
        tables: toml::Table,
        shown: &impl fmt::Display,
    ) -> Result<Self, ConfigError> {
        toml::Value::Table(tables).try_into().map_err(|error| {
            // The error names the key on a separate line.
            let error = error.to_string();
            let text = error.trim().replace('\n', " ");
            ConfigError::refused(format!("{shown}: {text}"))
        })
    }

    /// Returns the files that hold secrets.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let keys = self.profiles.values().map(|profile| &profile.key_file);
        let services = self.services.values();
        let secrets = services.filter_map(|service| service.secret_file.as_ref());
        keys.chain(secrets).map(PathBuf::as_path)
    }
}

impl ProfileSettings {
    /// Reads the key.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no key of the algorithm, or a weak one.
    pub fn read_key(&self) -> Result<SigningKey, SecretFileError> {
        let text = read_secret_file(&self.key_file)?;
        let text = text.expose_secret();
        let key = match self.algorithm {
            Algorithm::Hs256 => SigningKey::from_private_bytes(Algorithm::Hs256, text.as_bytes()),
            _ => SigningKey::from_pem(text),
        };
        let path = || self.key_file.clone();
        let key = key.map_err(|source| SecretFileError::Key {
            path: path(),
            source,
        })?;
        if key.algorithm() != self.algorithm {
            return Err(SecretFileError::WrongAlgorithm {
                path: path(),
                found: key.algorithm(),
                wanted: self.algorithm,
            });
        }
        Ok(key)
    }
}

impl ServiceSettings {
    /// Reads the secret in the file, if one is set.
    ///
    /// # Errors
    /// When the file cannot be read, or the secret is weak.
    pub fn read_secret(&self) -> Result<Option<SecretString>, SecretFileError> {
        let Some(path) = &self.secret_file else {
            return Ok(None);
        };
        let secret = read_secret_file(path)?;
        check_secret(secret.expose_secret().as_bytes()).map_err(|source| SecretFileError::Key {
            path: path.clone(),
            source,
        })?;
        Ok(Some(secret))
    }
}

/// Reads a file without the line break at its end, which editors and `echo` add to a secret.
fn read_secret_file(path: &Path) -> Result<SecretString, SecretFileError> {
    let text = text_file::read(path).map_err(|source| SecretFileError::UnreadableFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(text_file::strip_line_end(&text).into())
}

fn deserialize_from_str<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
