//! An installation, as the server and the commands open it: its settings, root secret, database and clock,
//! and the parts that both use.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::Value;

use super::accounts::Accounts;
use super::clock_check::{ClockCheck, ClockCheckError};
use super::clock_skew::{CLOCK_SKEW, ClockDeviation};
use super::config::profile_tables::SecretFileError;
use super::config::{Config, RootSecret, RootSecretError};
use super::denylist::DenylistBackend;
use super::derived_keys::DerivedKeys;
use super::end_everything::{KeySource, end_everything};
use super::keyring::{Keyring, KeyringError, KeyringSettings, SigningKeys};
use super::mail::transport::{MailSender, MailSettingsError};
use super::mailer::Mailer;
use super::metrics::Metrics;
use super::password::{HashCost, PasswordHasher, PasswordPolicy};
use super::password_reset::PasswordResets;
use super::root_secret_rotation::{RootSecretRotation, VALUES_PER_TRANSACTION};
use super::sessions::Revocations;
use super::store::{DEFAULT_CONNECTIONS, EndCause, OpenMode, ServerLockError, Store, StoreError};
use super::text_file;
use super::throttle::Throttle;
use super::token_lifetimes::TokenLifetimes;
use latchet_guard::clock::Clock;
use latchet_guard::denylist::redis::RedisUrlError;
use latchet_guard::keys::VerifyingKey;
use latchet_guard::token::{Verifier, VerifierSettings};

/// Failure to open a server, or the part that a command needs.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no root secret.
    #[error(transparent)]
    Secret(#[from] RootSecretError),
    /// The database cannot be used.
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    /// Another server uses the SQLite file.
    #[error(transparent)]
    Lock(#[from] ServerLockError),
    /// The clock of this machine is wrong, or that of the database.
    #[error(transparent)]
    Clock(#[from] ClockDeviation),
    /// The URL of Redis is invalid.
    #[error(transparent)]
    Redis(#[from] RedisUrlError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A file with a key of another issuer is invalid.
    #[error("cannot use the verification key {}", path.display())]
    ForeignKey {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key of a third party, or the secret of a service, cannot be used.
    #[error(transparent)]
    Profiles(#[from] SecretFileError),
    /// The settings of mails cannot be used.
    #[error("cannot send mails")]
    Mail(#[from] MailSettingsError),
    /// The system provides no more threads.
    #[error("cannot start the threads that hash passwords")]
    Threads(#[source] std::io::Error),
}

impl From<ClockCheckError> for OpenError {
    fn from(error: ClockCheckError) -> Self {
        match error {
            ClockCheckError::Deviates(deviation) => deviation.into(),
            ClockCheckError::Store(error) => error.into(),
        }
    }
}

/// Number of passwords of each class that may wait, per hashing thread. With 15 ms per hash the last one of
/// a single network waits for four seconds. A flood from fewer networks than this refuses no other client:
/// the longest queue makes room.
const MAX_QUEUED_PER_THREAD: usize = 256;

/// An opened installation. Its methods open the parts of the server that a program needs.
pub(super) struct Installation {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) root: RootSecret,
    pub(super) derived: Arc<DerivedKeys>,
    pub(super) store: Store,
}

impl Installation {
    /// Opens the database and the root secret, and checks that they belong together and that the clock agrees
    /// with that of the database.
    pub(super) async fn open(
        config: Config,
        clock: Clock,
        mode: OpenMode,
    ) -> Result<Self, OpenError> {
        let found = RootSecret::find(&config)?;
        let connections = config.database_connections.unwrap_or(DEFAULT_CONNECTIONS);
        let store = Store::open_with(&config.database_url, connections, mode).await?;
        let keys = store.keys().await?;
        let root = match found {
            Some(root) => root,
            None => create_first_root_secret(&config, keys.is_empty())?,
        };
        let derived = Arc::new(root.derive_keys(&config)?);
        // Before any row with a time is written.
        let clock_check = ClockCheck::new(store.clone(), clock.clone());
        clock_check.require_agreement().await?;
        if !keys.is_empty() {
            Keyring::check_root_secret(keys, &derived, clock.now())?;
        }
        Ok(Self {
            config,
            clock,
            root,
            derived,
            store,
        })
    }

    /// Returns the rotation of the root secret.
    pub(super) fn root_secret_rotation(&self) -> RootSecretRotation {
        RootSecretRotation {
            store: self.store.clone(),
            derived: Arc::clone(&self.derived),
            clock: self.clock.clone(),
            values_per_transaction: VALUES_PER_TRANSACTION,
        }
    }

    /// Ends what a backup would make valid again: sessions, access tokens, links and signing keys. Returns the
    /// number of users.
    pub(super) async fn end_restored(&self) -> Result<u64, OpenError> {
        let keys = KeySource {
            derived: &self.derived,
            algorithm: self.config.algorithm,
        };
        end_everything(&self.store, keys, EndCause::Restored, self.clock.now()).await
    }

    pub(super) fn token_lifetimes(&self) -> TokenLifetimes {
        TokenLifetimes::new(self.store.clone(), self.config.access_ttl)
    }

    /// Opens the denylist and what revokes in it. Connects to no Redis before something is denied.
    pub(super) fn revocations(&self, metrics: Option<Metrics>) -> Result<Revocations, OpenError> {
        let redis_url = self.config.redis_url.as_ref();
        Ok(Revocations {
            store: self.store.clone(),
            clock: self.clock.clone(),
            denylist: DenylistBackend::open(
                self.config.database_url.kind(),
                redis_url.map(ExposeSecret::expose_secret),
                self.store.clone(),
                self.clock.clone(),
            )?,
            token_lifetimes: self.token_lifetimes(),
            metrics,
        })
    }

    /// Returns the accounts, and starts the threads that hash their passwords.
    pub(super) fn accounts(&self, revocations: Revocations) -> Result<Accounts, OpenError> {
        Ok(Accounts {
            store: self.store.clone(),
            clock: self.clock.clone(),
            revocations,
            passwords: start_password_hasher(&self.config).map_err(OpenError::Threads)?,
            policy: PasswordPolicy::new(self.config.min_password)
                .with_service(self.config.public_url.host()),
            mailer: self.mailer(),
        })
    }

    /// Opens the transport of mails; `None` where mail is off.
    pub(super) fn mail_sender(&self) -> Result<Option<Arc<MailSender>>, OpenError> {
        let sender = MailSender::open(&self.config, &self.clock)?;
        Ok(sender.map(Arc::new))
    }

    /// Returns the writer of mails.
    fn mailer(&self) -> Mailer {
        Mailer {
            mode: self.config.mail_mode(),
            public_url: self.config.public_url.clone(),
            derived: Arc::clone(&self.derived),
            store: self.store.clone(),
        }
    }

    /// Returns the throttle.
    pub(super) fn throttle(&self) -> Arc<Throttle> {
        let derived = Arc::clone(&self.derived);
        Arc::new(Throttle::new(&self.config, self.store.clone(), derived))
    }

    /// Returns the ways to reset a password.
    pub(super) fn password_resets(
        &self,
        accounts: Accounts,
        throttle: Arc<Throttle>,
    ) -> PasswordResets {
        PasswordResets {
            accounts,
            throttle,
            public_url: self.config.public_url.clone(),
        }
    }

    /// Opens the signing keys; an empty database gets its first one.
    pub(super) async fn signing_keys(
        &self,
        token_lifetimes: TokenLifetimes,
    ) -> Result<SigningKeys, OpenError> {
        let algorithm = self.config.algorithm;
        let now = self.clock.now();
        let settings = KeyringSettings {
            algorithm,
            foreign: load_foreign_keys(&self.config.verification_keys)?,
            token_lifetimes,
        };
        let (store, derived) = (self.store.clone(), Arc::clone(&self.derived));
        let keyring = Keyring::open(store, derived, settings, now).await?;
        let verifier = Verifier::new(keyring.verifying_keys(now), verifier_settings(&self.config));
        Ok(SigningKeys {
            keyring,
            verifier: Arc::new(verifier),
            clock: self.clock.clone(),
            algorithm,
        })
    }
}

/// Creates the root secret of a new installation. If there are keys already, the secret has been lost: a new
/// one would open none of them.
fn create_first_root_secret(config: &Config, has_no_keys: bool) -> Result<RootSecret, OpenError> {
    if has_no_keys {
        return Ok(RootSecret::load(config)?);
    }
    // Another process may have created both in between.
    let found = RootSecret::find(config)?;
    let path = RootSecret::path(config);
    Ok(found.ok_or(RootSecretError::Lost { path })?)
}

/// Starts the threads that hash passwords: one for each core, unless a setting gives their number.
fn start_password_hasher(config: &Config) -> std::io::Result<PasswordHasher> {
    let cost = HashCost {
        memory_kib: config.argon2_memory_kib,
        passes: config.argon2_passes,
        lanes: config.argon2_lanes,
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = config.password_threads.unwrap_or(cores);
    PasswordHasher::start(cost, threads, threads * MAX_QUEUED_PER_THREAD)
}

fn verifier_settings(config: &Config) -> VerifierSettings {
    let settings = VerifierSettings {
        leeway: config.leeway,
        clock_ahead: CLOCK_SKEW,
        max_lifetime: Some(config.access_ttl),
        ..VerifierSettings::new(config.issuer.clone(), config.audience.clone())
    };
    if config.compat_flask_jwt_extended {
        settings.with_flask_jwt_extended()
    } else {
        settings
    }
}

/// Returns the faults of the files with keys of other issuers.
pub(super) fn check_verification_keys(config: &Config) -> Vec<OpenError> {
    let keys = config.verification_keys.iter();
    keys.filter_map(|path| load_foreign_key(path).err())
        .collect()
}

fn load_foreign_keys(paths: &[PathBuf]) -> Result<Vec<VerifyingKey>, OpenError> {
    paths.iter().map(|path| load_foreign_key(path)).collect()
}

fn load_foreign_key(path: &Path) -> Result<VerifyingKey, OpenError> {
    let refuse = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::ForeignKey {
        path: path.to_owned(),
        source,
    };
    let text = text_file::read(path).map_err(|error| refuse(error.into()))?;
    let key = match serde_json::from_str::<Value>(&text) {
        Ok(jwk) => match jwk_secret(&jwk) {
            // Other key sets refuse secrets among public keys; here the operator configured it.
            Some(secret) => VerifyingKey::from_secret(secret.expose_secret()),
            None => VerifyingKey::from_jwk(&jwk),
        },
        Err(_) => VerifyingKey::from_pem(&text),
    };
    // Other issuers may send no `kid`: then the only key of that algorithm is tried.
    key.map(VerifyingKey::for_tokens_without_kid)
        .map_err(|error| refuse(error.into()))
}

/// Returns the secret in a JWK of the type `oct`: Flask apps sign with a shared secret by default.
fn jwk_secret(jwk: &Value) -> Option<SecretSlice<u8>> {
    if jwk["kty"] != "oct" {
        return None;
    }
    let secret = URL_SAFE_NO_PAD.decode(jwk["k"].as_str()?).ok()?;
    Some(secret.into())
}
