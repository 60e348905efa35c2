//! Verifier whose keys follow those that its issuer publishes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fetch::{FetchedKeys, fetch_keys};
use super::{FetchError, IssuerClient, PlaintextPolicy, SetupError, parse_address};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::token::{KeyRefreshSignal, Verifier, VerifierSettings};

/// Allowed lead of an issuer's clock over a service's.
const CLOCK_AHEAD: Duration = Duration::from_secs(5);
/// Lifetime of keys if the issuer does not send one; the same as Latchet sends.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(5);
/// Pause between two attempts while the issuer does not respond: the first and the longest.
const MIN_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(15);

/// Issuer whose keys are fetched, and limits for fetching and using them.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Settings of the verifier. The first of `issuers` is the URL whose metadata is fetched, and must
    /// be written exactly as the issuer writes it.
    pub verifier: VerifierSettings,
    /// Addresses for which `http://` is allowed.
    pub plaintext: PlaintextPolicy,
    /// Deadline of a request.
    pub deadline: Duration,
    /// Shortest time between two fetches, even with a shorter `max-age` and many tokens that name
    /// unknown keys.
    pub min_fetch_interval: Duration,
    /// Longest time between two fetches, even with a longer `max-age`: a key that the issuer withdraws
    /// is refused here at most this much later.
    pub max_fetch_interval: Duration,
    /// Time for which the last keys are used while the issuer does not respond. Afterwards every request
    /// with a token receives 503 until it does.
    pub max_outage: Duration,
    /// Clock for the age of keys.
    pub clock: Clock,
}

impl RemoteSettings {
    /// Returns the settings for tokens of `issuer` for `audience`: a deadline of 5 s per request, keys
    /// fetched again every 5 s to 15 min, and 24 h of outage. They differ from the strict
    /// [`VerifierSettings`] in one point: issuer and service are two machines, whose clocks may differ
    /// by 5 s.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            verifier: VerifierSettings {
                clock_ahead: CLOCK_AHEAD,
                ..VerifierSettings::new(issuer, audience)
            },
            plaintext: PlaintextPolicy::default(),
            deadline: Duration::from_secs(5),
            min_fetch_interval: Duration::from_secs(5),
            max_fetch_interval: Duration::from_mins(15),
            max_outage: Duration::from_hours(24),
            clock: Clock::system(),
        }
    }
}

/// Fetches an issuer's keys for a [`Verifier`] until it is dropped.
///
/// ```no_run
/// use latchet_guard::clock::Clock;
/// use latchet_guard::denylist::memory::MemoryDenylist;
/// use latchet_guard::Guards;
/// use latchet_guard::token::Verifier;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Verifier::from_issuer("https://auth.example", ["https://notes.example"])?;
/// keys.ready().await?;
/// let guards = Guards::new(keys.verifier(), std::sync::Arc::new(MemoryDenylist::new()), Clock::system());
/// // … serve; and when that has ended:
/// drop(keys);
/// # Ok(())
/// # }
/// ```
#[must_use = "keys are fetched until this is dropped"]
pub struct RemoteKeys {
    verifier: Arc<Verifier>,
    key_refresh: Arc<KeyRefreshSignal>,
    outcome: watch::Receiver<FetchOutcome>,
    _task: JoinSet<()>,
}

/// Outcome of the last attempt, if there is one.
#[derive(Clone, Debug)]
enum FetchOutcome {
    None,
    Fetched,
    Failed(Arc<FetchError>),
}

impl RemoteKeys {
    /// Starts fetching the keys, and returns immediately: until they are fetched, requests with a token
    /// receive 503, and requests without a token are handled as usual.
    ///
    /// # Errors
    /// [`SetupError`] when the address of the issuer is not allowed.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(settings: RemoteSettings) -> Result<Self, SetupError> {
        let url = parse_address(first_issuer(&settings.verifier), settings.plaintext)?;
        let http = IssuerClient::new(&url, settings.deadline)?;
        let key_refresh = Arc::new(KeyRefreshSignal::new(settings.min_fetch_interval));
        let verifier =
            Verifier::with_remote_keys(settings.verifier.clone(), Arc::clone(&key_refresh));
        let verifier = Arc::new(verifier);
        let (sender, outcome) = watch::channel(FetchOutcome::None);
        let fetcher = KeyFetcher {
            http,
            url,
            settings,
            verifier: Arc::clone(&verifier),
            key_refresh: Arc::clone(&key_refresh),
            outcome: sender,
        };
        let mut task = JoinSet::new();
        task.spawn(fetcher.run());
        Ok(Self {
            verifier,
            key_refresh,
            outcome,
            _task: task,
        })
    }

    /// Returns the verifier whose keys are kept current. It may outlive this handle, with its last keys,
    /// for as long as the settings allow in an outage.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// Waits until the first attempt to fetch the keys has ended. Fetching continues in any case: the
    /// caller decides whether a failure ends the program.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn ready(&self) -> Result<(), Arc<FetchError>> {
        let mut outcome = self.outcome.clone();
        let ended = outcome.wait_for(|outcome| !matches!(outcome, FetchOutcome::None));
        match ended.await.as_deref() {
            Ok(FetchOutcome::Failed(error)) => Err(Arc::clone(error)),
            // The task runs as long as this handle exists, so there is always an outcome.
            _ => Ok(()),
        }
    }

    /// Returns the error of the last attempt, if it failed: the keys of an earlier one may still be in
    /// use.
    pub fn failure(&self) -> Option<Arc<FetchError>> {
        match &*self.outcome.borrow() {
            FetchOutcome::Failed(error) => Some(Arc::clone(error)),
            FetchOutcome::None | FetchOutcome::Fetched => None,
        }
    }
}

impl Verifier {
    /// Verifies tokens of the issuer at `url` for one of `audience`, with the keys that it publishes.
    /// [`RemoteKeys::start`] takes more settings.
    ///
    /// # Errors
    /// [`SetupError`] when `url` is not allowed.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn from_issuer(
        url: &str,
        audience: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<RemoteKeys, SetupError> {
        RemoteKeys::start(RemoteSettings::new(url, audience))
    }
}

/// A token with an unknown key must not wait for a task that has ended.
impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.key_refresh.close();
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("verifier", &self.verifier)
            .field("outcome", &*self.outcome.borrow())
            .finish_non_exhaustive()
    }
}

/// The task behind [`RemoteKeys`]. There is one, so no two fetches run at once.
struct KeyFetcher {
    http: IssuerClient,
    url: Url,
    settings: RemoteSettings,
    verifier: Arc<Verifier>,
    key_refresh: Arc<KeyRefreshSignal>,
    outcome: watch::Sender<FetchOutcome>,
}

impl KeyFetcher {
    async fn run(self) {
        let RemoteSettings {
            verifier,
            plaintext,
            min_fetch_interval,
            ..
        } = &self.settings;
        let mut backoff = Backoff::new(MIN_WAIT, MAX_WAIT);
        loop {
            self.key_refresh.set_fetching();
            match fetch_keys(&self.http, &self.url, first_issuer(verifier), *plaintext).await {
                Ok(fetched) => {
                    backoff.reset();
                    let lifetime = self.apply(fetched);
                    tokio::time::sleep(*min_fetch_interval).await;
                    tokio::select! {
                        () = tokio::time::sleep(lifetime.saturating_sub(*min_fetch_interval)) => {}
                        () = self.key_refresh.refresh_requested() => {}
                    }
                }
                Err(error) => {
                    self.record_failure(error);
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Trusts the keys, and returns the time until the next fetch.
    fn apply(&self, fetched: FetchedKeys) -> Duration {
        let RemoteSettings {
            clock,
            max_outage,
            min_fetch_interval,
            max_fetch_interval,
            ..
        } = &self.settings;
        self.verifier
            .trust_keys_until(fetched.keys, clock.now() + *max_outage);
        self.key_refresh.set_fetched();
        let before = self.outcome.send_replace(FetchOutcome::Fetched);
        if !matches!(before, FetchOutcome::Fetched) {
            tracing::info!(
                issuer = first_issuer(&self.settings.verifier),
                "fetched the issuer's keys"
            );
        }
        let lifetime = fetched.lifetime.unwrap_or(DEFAULT_LIFETIME);
        lifetime.min(*max_fetch_interval).max(*min_fetch_interval)
    }

    /// Logs once that the issuer does not respond, and stores the last error for callers.
    fn record_failure(&self, error: FetchError) {
        self.key_refresh.set_failed();
        let error = Arc::new(error);
        let before = self
            .outcome
            .send_replace(FetchOutcome::Failed(Arc::clone(&error)));
        if !matches!(before, FetchOutcome::Failed(_)) {
            tracing::warn!(
                issuer = first_issuer(&self.settings.verifier),
                error = &*error as &dyn std::error::Error,
                "failed to fetch the issuer's keys; the last ones remain in use"
            );
        }
    }
}

/// Issuer whose metadata is fetched; without one the address is empty, which is refused.
fn first_issuer(verifier: &VerifierSettings) -> &str {
    verifier.issuers.first().map_or("", String::as_str)
}
