//! Latchet, an auth server: sessions whose refresh token has one successor, and a logout that takes effect at
//! the next request.
//!
//! The program `latchet` is this library with a command line ([`cli`]). A program of your own mounts the
//! server beside its routes: [`App::open`] and [`routes`]. Services that only check tokens use the crate
//! [`latchet_guard`].
//!
//! | topic | module |
//! |---|---|
//! | HTTP: requests, responses, the API document | [`api`], [`middleware`], [`serve`] |
//! | decisions | [`sessions`], [`accounts`], [`rotation`] |
//! | SQL | [`store`] |
//! | revocation | [`denylist`] |
//! | signing keys | [`keyring`] |
//! | settings | [`config`] |
//!
//! Each layer calls only the next one: [`api`] calls [`App`], whose decisions are in [`sessions`] and
//! [`accounts`] and whose SQL statements are in [`store`].

use std::num::NonZero;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::{Endpoint, EndpointExt, Route};
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::Value;
use tokio::task::JoinSet;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::redis::RedisUrlError;
use latchet_guard::keys::VerifyingKey;
use latchet_guard::token::{Verifier, VerifierSettings};
use latchet_guard::{Guards, Location};

use clock_check::{ClockCheck, ClockCheckError, ClockState};
use clock_skew::ClockDeviation;
use config::profile_tables::SecretFileError;
use config::{Config, RootSecret, RootSecretError};
use database_check::DatabaseCheck;
use denylist::DenylistBackend;
use derived_keys::DerivedKeys;
use error::error_chain;
use keyring::{Keyring, KeyringError, KeyringSettings};
use metrics::Metrics;
use middleware::RequestLayer;
use password::{HashCost, PasswordHasher, PasswordPolicy};
use password_verification::PasswordVerification;
use refresh_token::RefreshTokenCodec;
use rotation::Grace;
use serve::Lifecycle;
use sessions::{FlaskClaims, Revocations, TokenIssuer};
use store::{DEFAULT_CONNECTIONS, OpenMode, ServerLock, ServerLockError, Store, StoreError};
use third_party_tokens::TokenProfiles;
use throttle::Throttle;
use token_lifetimes::TokenLifetimes;

pub mod accounts;
pub mod api;
pub mod cli;
mod client_address;
pub mod clock_check;
pub mod clock_skew;
pub mod config;
pub mod database_check;
pub mod denylist;
pub mod derived_keys;
pub mod error;
mod header_list;
pub mod introspection;
pub mod keyring;
pub mod logging;
pub mod metrics;
pub mod middleware;
pub mod names;
pub mod password;
pub mod password_reset;
mod password_verification;
pub mod problem_codes;
pub mod refresh_token;
mod refused_attempts;
mod registration;
pub mod rotation;
pub mod security_events;
pub mod serve;
pub mod sessions;
pub mod store;
#[cfg(test)]
mod test_app;
mod text_file;
pub mod third_party_tokens;
pub mod throttle;
pub mod token_lifetimes;
mod web;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/tutorials/protect-a-route.md")]
struct ProtectARoute;

/// One server: its settings and the parts that were opened with them. Clones share it.
#[derive(Clone, Debug)]
pub struct App(Arc<AppParts>);

/// The parts of an [`App`].
#[derive(Debug)]
pub struct AppParts {
    /// The settings.
    pub config: Config,
    /// The clock of this process.
    pub clock: Clock,
    /// The database.
    pub store: Store,
    /// Compares the clock with that of the database.
    pub clock_check: ClockCheck,
    /// Checks that the database can serve.
    pub database_check: DatabaseCheck,
    /// The denylist that every check of a token queries.
    pub denylist: DenylistBackend,
    /// The signing keys.
    pub keyring: Keyring,
    /// Protects this server's own routes.
    pub guards: Guards,
    /// Checks access tokens.
    pub verifier: Arc<Verifier>,
    /// Signs and reads refresh tokens.
    pub refresh_tokens: Arc<RefreshTokenCodec>,
    /// Hashes passwords.
    pub passwords: PasswordHasher,
    /// Rules for new passwords.
    pub password_policy: PasswordPolicy,
    /// Keys derived from the root secret.
    pub derived: Arc<DerivedKeys>,
    /// Profiles of third-party tokens.
    pub profiles: TokenProfiles,
    /// Lifetimes of access tokens of all servers.
    pub token_lifetimes: TokenLifetimes,
    /// Metrics, if they are enabled.
    pub metrics: Option<Metrics>,
    grace: Grace,
    /// Passed to the background tasks, without which the denylist in memory is not up to date.
    server_lock: Mutex<Option<ServerLock>>,
    throttle: Arc<Throttle>,
    password_verification: PasswordVerification,
    issuer: TokenIssuer,
    /// Ends sessions and denies tokens.
    pub revocations: Revocations,
}

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// Failure to open a server.
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
    /// The system provides no more threads.
    #[error("cannot start the threads that hash passwords")]
    Threads(#[source] std::io::Error),
}

/// Number of passwords of each class that may wait, per hashing thread. With 15 ms per hash the last one of
/// a single network waits for four seconds. A flood from fewer networks than this refuses no other client:
/// the longest queue makes room.
const MAX_QUEUED_PER_THREAD: usize = 256;

/// Time between two reads of the costs of all stored passwords.
const COSTS_READ_INTERVAL: Duration = Duration::from_hours(1);

impl App {
    /// Opens everything the settings name: secrets, database, keys, denylist. From now on this is the only
    /// server of a SQLite file.
    ///
    /// # Errors
    /// When a part cannot be opened; the text suggests a fix.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, OpenError> {
        let lock = ServerLock::take(&config.database_url)?;
        let app = Self::assemble(config, clock, (Some(lock), OpenMode::CreateIfMissing)).await?;
        app.warn_of_new_issuer().await?;
        Ok(app)
    }

    /// Warns if the issuer has changed, which is rarely intended: by default it is the public URL.
    async fn warn_of_new_issuer(&self) -> Result<(), OpenError> {
        let new = &self.config.issuer;
        if let Some(change) = self.store.record_issuer(new, self.clock.now()).await? {
            tracing::warn!(
                old = change.old,
                new,
                sessions = change.sessions,
                "the issuer has changed, which signs all users out; set LATCHET_ISSUER to the old one to keep them signed in"
            );
        }
        Ok(())
    }

    /// Opens the same parts for a short command, beside a server that may be running. It serves no
    /// requests.
    ///
    /// # Errors
    /// As [`App::open`].
    pub(crate) async fn open_for_command(
        config: Config,
        clock: Clock,
        mode: OpenMode,
    ) -> Result<Self, OpenError> {
        Self::assemble(config, clock, (None, mode)).await
    }

    async fn assemble(
        config: Config,
        clock: Clock,
        (lock, mode): (Option<ServerLock>, OpenMode),
    ) -> Result<Self, OpenError> {
        let found = RootSecret::find(&config)?;
        let connections = config.database_connections.unwrap_or(DEFAULT_CONNECTIONS);
        let store = Store::open_with(&config.database_url, connections, mode).await?;
        let root = match found {
            Some(root) => root,
            None => create_first_root_secret(&config, &store).await?,
        };
        let derived = Arc::new(DerivedKeys::derive(root.expose()));
        let profiles = TokenProfiles::open(&config.tables, &root)?;
        let clock_check = ClockCheck::new(store.clone(), clock.clone());
        // Before any row with a time is written.
        clock_check.require_agreement().await?;
        let token_lifetimes = TokenLifetimes::new(store.clone(), config.access_ttl);
        let keyring = Keyring::open(
            store.clone(),
            Arc::clone(&derived),
            KeyringSettings {
                algorithm: config.algorithm,
                foreign: load_foreign_keys(&config.verification_keys)?,
                token_lifetimes: token_lifetimes.clone(),
            },
            clock.now(),
        )
        .await?;
        let denylist = DenylistBackend::open(
            config.database_url.kind(),
            config.redis_url.as_ref().map(ExposeSecret::expose_secret),
            store.clone(),
            clock.clone(),
        )?;
        let verifier = Verifier::new(
            keyring.verifying_keys(clock.now()),
            verifier_settings(&config),
        );
        let verifier = Arc::new(verifier);
        let passwords = start_password_hasher(&config).map_err(OpenError::Threads)?;
        let refresh_tokens = Arc::new(RefreshTokenCodec::new(&derived, &config.issuer));
        let throttle = Throttle::new(&config, store.clone(), Arc::clone(&derived));
        let throttle = Arc::new(throttle);
        let metrics = config.metrics_listen.map(|_| Metrics::new());
        Ok(Self(Arc::new(AppParts {
            password_verification: PasswordVerification {
                store: store.clone(),
                passwords: passwords.clone(),
                throttle: Arc::clone(&throttle),
            },
            issuer: TokenIssuer {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                flask: FlaskClaims::new(&config),
                keyring: keyring.clone(),
                refresh_tokens: Arc::clone(&refresh_tokens),
                token_lifetimes: token_lifetimes.clone(),
            },
            revocations: Revocations {
                store: store.clone(),
                clock: clock.clone(),
                denylist: denylist.clone(),
                token_lifetimes: token_lifetimes.clone(),
                metrics: metrics.clone(),
            },
            guards: Guards::new(Arc::clone(&verifier), denylist.list(), clock.clone())
                .with_locations(config.schemes().iter().copied().map(Location::scheme)),
            refresh_tokens,
            passwords,
            password_policy: PasswordPolicy::new(config.min_password)
                .with_service(config.public_url.host()),
            grace: Grace::new(config.grace).unwrap_or(Grace::MAX),
            token_lifetimes,
            throttle,
            clock,
            database_check: DatabaseCheck::new(store.clone()),
            store,
            clock_check,
            denylist,
            keyring,
            verifier,
            derived,
            profiles,
            metrics,
            server_lock: Mutex::new(lock),
            config,
        })))
    }
}

/// Creates the root secret of a new installation. If there are keys already, the secret has been lost: a new
/// one would open none of them.
async fn create_first_root_secret(config: &Config, store: &Store) -> Result<RootSecret, OpenError> {
    if store.keys().await?.is_empty() {
        return Ok(RootSecret::load(config)?);
    }
    // Another process may have created both in between.
    let found = RootSecret::find(config)?;
    let path = RootSecret::path(config);
    Ok(found.ok_or(RootSecretError::Lost { path })?)
}

/// Returns all routes of a server; `lifecycle` announces its end.
pub fn routes(app: &App, lifecycle: Lifecycle) -> impl Endpoint + 'static {
    let document = api::spec::document();
    let prefix = &app.config.cookie_prefix;
    let pages = web::mount(Route::new(), &document.json(), &document.yaml(), prefix);
    api::ApiRouter::new(pages, app, lifecycle.clone())
        .with(api::AllowHeaderLayer)
        .with(RequestLayer::new(&app.config, lifecycle).with_metrics(app.metrics.clone()))
        // Outermost: a page of another origin may read refusals too.
        .with(api::Cors::new(&app.config.allowed_origins))
}

impl App {
    /// Starts the background tasks: they update the denylist, follow key changes of other replicas and
    /// delete obsolete rows, until the returned set is dropped. The lock of a SQLite file belongs to the set.
    pub fn spawn_background_tasks(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.denylist.maintain(&mut tasks);
        let keyring = self.keyring.clone();
        tasks.spawn(keyring.reload_periodically(Arc::clone(&self.verifier), self.clock.clone()));
        tasks.spawn(read_password_costs_periodically(
            self.store.clone(),
            self.passwords.clone(),
        ));
        let token_lifetimes = self.token_lifetimes.clone();
        tasks.spawn(async move { token_lifetimes.renew_periodically().await });
        let lock = self.server_lock.lock();
        let lock = lock.unwrap_or_else(PoisonError::into_inner).take();
        tasks.spawn(async move {
            let _held_until_dropped = lock;
            std::future::pending::<()>().await;
        });
        tasks.spawn(self.clock_check.clone().watch());
        let app = self.clone();
        tasks.spawn(async move { app.delete_expired_rows().await });
        tasks
    }

    async fn delete_expired_rows(&self) {
        let every = self.config.collect_every;
        loop {
            match self.delete_obsolete_rows().await {
                Ok(0) => tokio::time::sleep(every).await,
                // There may be more than one chunk: go on, but let others write in between.
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => {
                    tracing::warn!(
                        error = error_chain(&error).join(": "),
                        "cannot delete obsolete rows; retrying later"
                    );
                    tokio::time::sleep(every).await;
                }
            }
        }
    }

    /// Deletes some obsolete rows, and none while the clock cannot be trusted.
    async fn delete_obsolete_rows(&self) -> Result<u64, StoreError> {
        match self.clock_check.state().await? {
            ClockState::Agrees => self.store.delete_expired_rows(self.clock.now()).await,
            ClockState::Deviates(_) => Ok(0),
        }
    }
}

/// Reads the costs of the stored hashes, at the start and periodically: other servers may have stored hashes
/// with another cost.
async fn read_password_costs_periodically(store: Store, passwords: PasswordHasher) {
    loop {
        match store.password_costs().await {
            Ok(costs) => costs.iter().for_each(|cost| passwords.note_cost(cost)),
            Err(error) => tracing::warn!(%error, "cannot read the costs of stored passwords"),
        }
        tokio::time::sleep(COSTS_READ_INTERVAL).await;
    }
}

impl From<ClockCheckError> for OpenError {
    fn from(error: ClockCheckError) -> Self {
        match error {
            ClockCheckError::Deviates(deviation) => deviation.into(),
            ClockCheckError::Store(error) => error.into(),
        }
    }
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
        clock_ahead: sessions::CLOCK_SKEW,
        max_lifetime: Some(config.access_ttl),
        ..VerifierSettings::new(config.issuer.clone(), config.audience.clone())
    };
    if config.compat_flask_jwt_extended {
        settings.with_flask_jwt_extended()
    } else {
        settings
    }
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
