//! One server: its parts, and their opening.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::accounts::Accounts;
use super::addresses::Addresses;
use super::clock_check::ClockCheck;
use super::config::Config;
use super::database_check::DatabaseCheck;
use super::derived_keys::DerivedKeys;
use super::installation::{Installation, OpenError};
use super::introspection::Introspection;
use super::keyring::SigningKeys;
use super::mail::MailSender;
use super::metrics::Metrics;
use super::password_reset::PasswordResets;
use super::password_verification::PasswordVerification;
use super::refresh_token::RefreshTokenCodec;
use super::registration::Registration;
use super::services::{ServiceRegistry, Services};
use super::sessions::{Revocations, SessionSettings, Sessions, grace_period};
use super::store::{OpenMode, SealedColumn, ServerLock, Store};
use super::third_party_tokens::{ThirdPartyTokens, TokenProfiles};
use super::throttle::Throttle;
use super::token_issuer::TokenIssuer;
use latchet_guard::clock::Clock;
use latchet_guard::token::Verifier;
use latchet_guard::{Guards, Location};

/// One server: its settings and the parts that were opened with them. Clones share it.
#[derive(Clone, Debug)]
pub struct App(Arc<AppParts>);

/// The parts of an [`App`]. None of them knows the others, except for those that it is built on.
#[derive(Debug)]
pub struct AppParts {
    /// The settings.
    pub config: Config,
    /// Login, refresh and the lists of sessions.
    pub sessions: Sessions,
    /// Logout, and every other end of sessions and tokens.
    pub revocations: Revocations,
    /// Introspection and revocation of tokens that clients hold.
    pub introspection: Introspection,
    /// Accounts and their administration.
    pub accounts: Accounts,
    /// Open registration.
    pub registration: Registration,
    /// The e-mail addresses of users.
    pub addresses: Addresses,
    /// New passwords by links and mails.
    pub password_resets: PasswordResets,
    /// The signing keys.
    pub signing_keys: SigningKeys,
    /// Sends mails, unless mail is off.
    pub mail_sender: Option<Arc<MailSender>>,
    /// Tokens for third parties.
    pub third_party_tokens: ThirdPartyTokens,
    /// Programs that authenticate with a secret.
    pub services: Services,
    /// Protects this server's own routes.
    pub guards: Guards,
    /// Checks access tokens.
    pub verifier: Arc<Verifier>,
    /// Signs and reads refresh tokens.
    pub refresh_tokens: Arc<RefreshTokenCodec>,
    /// Keys derived from the root secret.
    pub derived: Arc<DerivedKeys>,
    /// The database.
    pub store: Store,
    /// Checks that the database can serve.
    pub database_check: DatabaseCheck,
    /// The clock of this process.
    pub clock: Clock,
    /// Compares the clock with that of the database.
    pub clock_check: ClockCheck,
    /// Metrics, if they are enabled.
    pub metrics: Option<Metrics>,
    /// Passed to the background tasks, without which the denylist in memory is not up to date.
    pub(super) server_lock: Mutex<Option<ServerLock>>,
}

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

impl App {
    /// Opens everything the settings name: secrets, database, keys, denylist. From now on this is the only
    /// server of a SQLite file.
    ///
    /// # Errors
    /// When a part cannot be opened; the text suggests a fix.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, OpenError> {
        let lock = ServerLock::take(&config.database_url)?;
        let installation = Installation::open(config, clock, OpenMode::CreateIfMissing).await?;
        warn_of_pending_rotation(&installation).await?;
        let app = Self(Arc::new(AppParts::open(installation, lock).await?));
        app.warn_of_new_issuer().await?;
        app.services.reconcile().await?;
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
}

/// Reports values that the previous root secret still has to open.
async fn warn_of_pending_rotation(installation: &Installation) -> Result<(), OpenError> {
    if !installation.derived.has_previous() {
        return Ok(());
    }
    let rotation = installation.root_secret_rotation();
    let mut values = 0;
    for column in SealedColumn::ALL {
        values += rotation.counts(column).await?.previous;
    }
    if values > 0 {
        tracing::warn!(
            values,
            "values in the database are sealed under the previous root secret: run `latchet secret rotate` once every server has the new one"
        );
    }
    Ok(())
}

impl AppParts {
    async fn open(installation: Installation, lock: ServerLock) -> Result<Self, OpenError> {
        let config = &installation.config;
        let profiles = TokenProfiles::open(&config.tables, &installation.root)?;
        let revocations =
            installation.revocations(config.metrics_listen.map(|_| Metrics::new()))?;
        let lifetimes = &revocations.token_lifetimes;
        let signing_keys = installation.signing_keys(lifetimes.clone()).await?;
        let accounts = installation.accounts(revocations.clone())?;
        let (store, clock) = (installation.store.clone(), installation.clock.clone());
        let derived = Arc::clone(&installation.derived);
        let throttle = installation.throttle();
        let refresh_tokens = Arc::new(RefreshTokenCodec::new(Arc::clone(&derived), &config.issuer));
        let issuer = Arc::new(TokenIssuer::new(
            config,
            signing_keys.keyring.clone(),
            Arc::clone(&refresh_tokens),
            lifetimes.clone(),
        ));
        let verifier = Arc::clone(&signing_keys.verifier);
        Ok(Self {
            mail_sender: installation.mail_sender()?,
            services: services(&installation, &revocations, &throttle, &issuer)?,
            sessions: sessions(&installation, &accounts, Arc::clone(&throttle), issuer),
            introspection: introspection(&installation, &revocations, &refresh_tokens, &verifier),
            addresses: Addresses {
                accounts: accounts.clone(),
                throttle: Arc::clone(&throttle),
            },
            password_resets: installation.password_resets(accounts.clone(), Arc::clone(&throttle)),
            registration: Registration {
                accounts: accounts.clone(),
                throttle,
            },
            third_party_tokens: ThirdPartyTokens {
                profiles,
                accounts: accounts.clone(),
            },
            guards: guards(config, &verifier, &revocations),
            database_check: DatabaseCheck::new(store.clone()),
            clock_check: ClockCheck::new(store.clone(), clock.clone()),
            server_lock: Mutex::new(Some(lock)),
            metrics: revocations.metrics.clone(),
            revocations,
            accounts,
            signing_keys,
            verifier,
            refresh_tokens,
            derived,
            store,
            clock,
            config: installation.config,
        })
    }
}

fn introspection(
    installation: &Installation,
    revocations: &Revocations,
    refresh_tokens: &Arc<RefreshTokenCodec>,
    verifier: &Arc<Verifier>,
) -> Introspection {
    let config = &installation.config;
    Introspection {
        accepts_foreign_keys: !config.verification_keys.is_empty(),
        store: installation.store.clone(),
        clock: installation.clock.clone(),
        grace: grace_period(config),
        refresh_tokens: Arc::clone(refresh_tokens),
        verifier: Arc::clone(verifier),
        revocations: revocations.clone(),
    }
}

fn services(
    installation: &Installation,
    revocations: &Revocations,
    throttle: &Arc<Throttle>,
    issuer: &Arc<TokenIssuer>,
) -> Result<Services, OpenError> {
    Ok(Services {
        registry: ServiceRegistry::open(&installation.config.tables, &installation.root)?,
        revocations: revocations.clone(),
        throttle: Arc::clone(throttle),
        issuer: Arc::clone(issuer),
    })
}

fn sessions(
    installation: &Installation,
    accounts: &Accounts,
    throttle: Arc<Throttle>,
    issuer: Arc<TokenIssuer>,
) -> Sessions {
    Sessions {
        settings: SessionSettings::new(&installation.config),
        store: installation.store.clone(),
        clock: installation.clock.clone(),
        derived: Arc::clone(&installation.derived),
        password_verification: PasswordVerification {
            store: installation.store.clone(),
            passwords: accounts.passwords.clone(),
            throttle,
        },
        metrics: accounts.revocations.metrics.clone(),
        revocations: accounts.revocations.clone(),
        accounts: accounts.clone(),
        issuer,
    }
}

fn guards(config: &Config, verifier: &Arc<Verifier>, revocations: &Revocations) -> Guards {
    let (denylist, clock) = (revocations.denylist.list(), revocations.clock.clone());
    Guards::new(Arc::clone(verifier), denylist, clock)
        .with_locations(config.schemes().iter().copied().map(Location::scheme))
}
