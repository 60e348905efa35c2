//! The auth service: everything that knows users, sessions and SQL.
//!
//! [`api`] speaks HTTP and calls [`App`], whose decisions stand in [`sessions`] and [`accounts`] and
//! whose every SQL statement stands in [`store`]. Each calls only the next.

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

use crate::clock::Clock;
use crate::denylist::redis::TargetError;
use crate::guard::{Guards, Location};
use crate::keys::VerifyingKey;
use crate::token::{Verifier, VerifierSettings};

use clock_check::{ClockCheck, ClockCheckError, ClockState};
use clock_skew::ClockDeviation;
use config::profiles::FileError;
use config::{Config, RootSecret, SecretError};
use database_check::DatabaseCheck;
use denylist::OpenDenylist;
use envelope::Envelope;
use error::causes;
use keyring::{Keyring, KeyringError, KeyringSettings};
use metrics::Metrics;
use password::{Cost, Passwords, Policy};
use profiles::Profiles;
use refresh_token::RefreshTokens;
use rotation::Grace;
use secret::DerivedKeys;
use serve::Lifecycle;
use store::{DEFAULT_CONNECTIONS, Opening, ServerLock, ServerLockError, Store, StoreError};
use throttle::Throttle;
use token_lifetimes::TokenLifetimes;

pub mod accounts;
pub mod administration;
pub mod api;
pub mod cli;
mod client_address;
pub mod clock_check;
pub mod clock_skew;
pub mod config;
mod credentials;
pub mod database_check;
pub mod denylist;
pub mod envelope;
pub mod error;
pub mod events;
mod header_list;
pub mod keyring;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod password;
pub mod profiles;
pub mod refresh_token;
mod refused_attempts;
mod registration;
pub mod reset;
pub mod rotation;
pub mod secret;
pub mod serve;
pub mod sessions;
pub mod store;
#[cfg(test)]
mod test_app;
mod text_file;
pub mod throttle;
pub mod token_lifetimes;
pub mod tokens;
mod web;

/// One server: its settings and everything they opened. Clones share it.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// Where the time is read.
    pub clock: Clock,
    /// The database.
    pub store: Store,
    /// Compares the clock with that of the database.
    pub clock_check: ClockCheck,
    /// Looks whether the database can serve.
    pub database_check: DatabaseCheck,
    /// What every check asks.
    pub denylist: OpenDenylist,
    /// The signing keys.
    pub keyring: Keyring,
    /// Protects this server's own routes.
    pub guards: Guards,
    /// Checks access tokens.
    pub verifier: Arc<Verifier>,
    /// Signs and reads refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Which passwords may be chosen.
    pub password_policy: Policy,
    /// Keys derived from the root secret.
    pub derived: Arc<DerivedKeys>,
    /// What makes tokens for other parties.
    pub profiles: Profiles,
    /// Lifetimes of access tokens of all servers.
    pub token_lifetimes: TokenLifetimes,
    /// What is counted, where metrics are wanted.
    pub metrics: Option<Metrics>,
    grace: Grace,
    /// Handed to the upkeep, without which the denylist in memory is current no longer.
    server_lock: Mutex<Option<ServerLock>>,
    throttle: Throttle,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Why a server could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no root secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database cannot be used.
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    /// Another server uses the SQLite file.
    #[error(transparent)]
    Lock(#[from] ServerLockError),
    /// The clock of this machine is wrong, or that of the database.
    #[error(transparent)]
    Clock(#[from] ClockDeviation),
    /// Redis is set to something that is none.
    #[error(transparent)]
    Redis(#[from] TargetError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A key of others is not one.
    #[error("cannot take in the verification key {}", path.display())]
    ForeignKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key of another party, or the secret of a service, cannot be used.
    #[error(transparent)]
    Profiles(#[from] FileError),
    /// The system gives no more threads.
    #[error("cannot start the threads that hash passwords")]
    Threads(#[source] std::io::Error),
}

/// Passwords of each class that may wait for a hashing thread, for each of these threads. At 15 ms a hash
/// the last one of a single network waits for four seconds. A flood from fewer networks than this refuses
/// nobody else: those of the longest line make room.
const QUEUED_PER_THREAD: usize = 256;

/// Between two looks at the costs of all stored passwords.
const COSTS_READ_EVERY: Duration = Duration::from_hours(1);

impl App {
    /// Opens everything the settings name: secrets, database, keys, denylist. Of a SQLite file this is
    /// the only server from now on.
    ///
    /// # Errors
    /// What could not be opened, and how to mend it.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, OpenError> {
        let lock = ServerLock::take(&config.database_url)?;
        let app = Self::assemble(config, clock, (Some(lock), Opening::New)).await?;
        app.note_issuer().await?;
        Ok(app)
    }

    /// Warns where the issuer has changed, which most often nobody wanted: it follows the public URL.
    async fn note_issuer(&self) -> Result<(), OpenError> {
        let new = &self.config.issuer;
        if let Some(change) = self.store.note_issuer(new, self.clock.now()).await? {
            tracing::warn!(
                old = change.old,
                new,
                sessions = change.sessions,
                "the issuer has changed, which signs everybody out; set LATCHET_ISSUER to the old one to keep people signed in"
            );
        }
        Ok(())
    }

    /// Opens the same for a command that ends soon, beside the server that may run. It answers no
    /// requests.
    ///
    /// # Errors
    /// As [`App::open`].
    pub(in crate::server) async fn open_beside_server(
        config: Config,
        clock: Clock,
        opening: Opening,
    ) -> Result<Self, OpenError> {
        Self::assemble(config, clock, (None, opening)).await
    }

    async fn assemble(
        config: Config,
        clock: Clock,
        (lock, opening): (Option<ServerLock>, Opening),
    ) -> Result<Self, OpenError> {
        let found = RootSecret::find(&config)?;
        let connections = config.database_connections.unwrap_or(DEFAULT_CONNECTIONS);
        let store = Store::open_with(&config.database_url, connections, opening).await?;
        let root = match found {
            Some(root) => root,
            None => first_secret(&config, &store).await?,
        };
        let derived = Arc::new(DerivedKeys::derive(root.expose()));
        let profiles = Profiles::open(&config.tables, &root)?;
        let clock_check = ClockCheck::new(store.clone(), clock.clone());
        // Before anything is written that bears a time.
        clock_check.require_agreement().await?;
        let token_lifetimes = TokenLifetimes::new(store.clone(), config.access_ttl);
        let keyring = Keyring::open(
            store.clone(),
            Arc::clone(&derived),
            KeyringSettings {
                algorithm: config.algorithm,
                foreign: foreign_keys(&config.verification_keys)?,
                token_lifetimes: token_lifetimes.clone(),
            },
            clock.now(),
        )
        .await?;
        let denylist = OpenDenylist::open(
            config.database_url.kind(),
            config.redis_url.as_ref().map(ExposeSecret::expose_secret),
            store.clone(),
            clock.clone(),
        )?;
        let verifier = Verifier::new(keyring.verifying(clock.now()), verifying(&config));
        let verifier = Arc::new(verifier);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = config.password_threads.unwrap_or(cores);
        Ok(Self(Arc::new(Parts {
            guards: Guards::new(Arc::clone(&verifier), denylist.list(), clock.clone())
                .with_locations(config.schemes().iter().copied().map(Location::scheme)),
            refresh_tokens: RefreshTokens::new(&derived, &config.issuer),
            passwords: Passwords::start(cost(&config), threads, threads * QUEUED_PER_THREAD)
                .map_err(OpenError::Threads)?,
            password_policy: Policy::new(config.min_password)
                .with_service(config.public_url.host()),
            grace: Grace::new(config.grace).unwrap_or(Grace::MAX),
            token_lifetimes,
            throttle: Throttle::new(),
            clock,
            database_check: DatabaseCheck::new(store.clone()),
            store,
            clock_check,
            denylist,
            keyring,
            verifier,
            derived,
            profiles,
            metrics: config.metrics_listen.map(|_| Metrics::new()),
            server_lock: Mutex::new(lock),
            config,
        })))
    }
}

/// Makes the root secret of a new installation. Where there are keys, it has been lost: a new one would open
/// none of them.
async fn first_secret(config: &Config, store: &Store) -> Result<RootSecret, OpenError> {
    if store.keys().await?.is_empty() {
        return Ok(RootSecret::load(config)?);
    }
    // Another process may have made both in between.
    let found = RootSecret::find(config)?;
    let path = RootSecret::path(config);
    Ok(found.ok_or(SecretError::Lost { path })?)
}

/// Returns every route of a server, ready to be served; `lifecycle` tells the end of it.
pub fn routes(app: &App, lifecycle: Lifecycle) -> impl Endpoint + 'static {
    let document = api::spec::document();
    let prefix = &app.config.cookie_prefix;
    let pages = web::mount(Route::new(), &document.json(), &document.yaml(), prefix);
    api::Addresses::new(pages, app, lifecycle.clone())
        .with(api::Methods)
        .with(Envelope::new(&app.config, lifecycle).with_metrics(app.metrics.clone()))
        // Outermost: a page of another origin may read refusals too.
        .with(api::Cors::new(&app.config.allowed_origins))
}

impl App {
    /// Keeps the denylist current, follows key changes of other replicas and deletes what no longer
    /// matters, until the returned set is dropped. The lock of a SQLite file goes with the set.
    pub fn maintain(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.denylist.keep(&mut tasks);
        let keyring = self.keyring.clone();
        tasks.spawn(keyring.follow(Arc::clone(&self.verifier), self.clock.clone()));
        tasks.spawn(note_password_costs(
            self.store.clone(),
            self.passwords.clone(),
        ));
        let token_lifetimes = self.token_lifetimes.clone();
        tasks.spawn(async move { token_lifetimes.keep_known().await });
        let lock = self.server_lock.lock();
        let lock = lock.unwrap_or_else(PoisonError::into_inner).take();
        tasks.spawn(async move {
            let _held_until_dropped = lock;
            std::future::pending::<()>().await;
        });
        tasks.spawn(self.clock_check.clone().watch());
        let app = self.clone();
        tasks.spawn(async move { app.collect_garbage().await });
        tasks
    }

    async fn collect_garbage(&self) {
        let every = self.config.collect_every;
        loop {
            match self.collect_chunk().await {
                Ok(0) => tokio::time::sleep(every).await,
                // There may be more than one chunk: go on, but let others write in between.
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => {
                    tracing::warn!(
                        error = causes(&error).join(": "),
                        "old rows were not deleted"
                    );
                    tokio::time::sleep(every).await;
                }
            }
        }
    }

    /// Deletes some rows that no longer matter, and none while the clock cannot be relied upon.
    async fn collect_chunk(&self) -> Result<u64, StoreError> {
        match self.clock_check.state().await? {
            ClockState::Agrees => self.store.collect_garbage(self.clock.now()).await,
            ClockState::Deviates(_) => Ok(0),
        }
    }
}

/// Finds out how expensive the stored hashes are, at the start and now and then: others may have made
/// some at another cost.
async fn note_password_costs(store: Store, passwords: Passwords) {
    loop {
        match store.password_costs().await {
            Ok(costs) => costs.iter().for_each(|cost| passwords.note_cost(cost)),
            Err(error) => tracing::warn!(%error, "the costs of stored passwords were not read"),
        }
        tokio::time::sleep(COSTS_READ_EVERY).await;
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

fn cost(config: &Config) -> Cost {
    Cost {
        memory_kib: config.argon2_memory_kib,
        passes: config.argon2_passes,
        lanes: config.argon2_lanes,
    }
}

fn verifying(config: &Config) -> VerifierSettings {
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

fn foreign_keys(paths: &[PathBuf]) -> Result<Vec<VerifyingKey>, OpenError> {
    paths.iter().map(|path| foreign_key(path)).collect()
}

fn foreign_key(path: &Path) -> Result<VerifyingKey, OpenError> {
    let refuse = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::ForeignKey {
        path: path.to_owned(),
        source,
    };
    let text = text_file::read(path).map_err(|error| refuse(error.into()))?;
    let key = match serde_json::from_str::<Value>(&text) {
        Ok(jwk) => match shared_secret(&jwk) {
            // Not among public keys elsewhere: here the operator has put it.
            Some(secret) => VerifyingKey::from_secret(secret.expose_secret()),
            None => VerifyingKey::from_jwk(&jwk),
        },
        Err(_) => VerifyingKey::from_pem(&text),
    };
    // Others may not name their keys: without a `kid` the one key of that algorithm is tried.
    key.map(VerifyingKey::for_tokens_without_kid)
        .map_err(|error| refuse(error.into()))
}

/// Returns the secret in a JWK of the kind `oct`, as Flask apps share it by default.
fn shared_secret(jwk: &Value) -> Option<SecretSlice<u8>> {
    if jwk["kty"] != "oct" {
        return None;
    }
    let secret = URL_SAFE_NO_PAD.decode(jwk["k"].as_str()?).ok()?;
    Some(secret.into())
}
