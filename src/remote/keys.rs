//! Verifier whose keys follow those that its issuer publishes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fetch::{Fetched, keys_of};
use super::{FetchError, Http, Plaintext, SetupError, parse};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::token::{Verifier, VerifierSettings, Wanted};

/// Allowed lead of an issuer's clock over a service's.
const CLOCK_AHEAD: Duration = Duration::from_secs(5);
/// Lifetime of keys if the issuer does not send one; the same as Latchet sends.
const KEPT_FOR: Duration = Duration::from_mins(5);
/// Pause between two attempts while the issuer does not respond: the first and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Issuer whose keys are fetched, and limits for fetching and using them.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Settings of the verifier. The first of `issuers` is the URL whose metadata is fetched, and must
    /// be written exactly as the issuer writes it.
    pub verifier: VerifierSettings,
    /// Addresses for which `http://` is allowed.
    pub plaintext: Plaintext,
    /// Deadline of a request.
    pub deadline: Duration,
    /// Shortest time between two fetches, even with a shorter `max-age` and many tokens that name
    /// unknown keys.
    pub shortest_age: Duration,
    /// Longest time between two fetches, even with a longer `max-age`: a key that the issuer withdraws
    /// is refused here at most this much later.
    pub longest_age: Duration,
    /// Time for which the last keys are used while the issuer does not respond. Afterwards every request
    /// with a token receives 503 until it does.
    pub outage: Duration,
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
            plaintext: Plaintext::default(),
            deadline: Duration::from_secs(5),
            shortest_age: Duration::from_secs(5),
            longest_age: Duration::from_mins(15),
            outage: Duration::from_hours(24),
            clock: Clock::system(),
        }
    }
}

/// Fetches an issuer's keys for a [`Verifier`] until it is dropped.
///
/// ```no_run
/// use latchet::clock::Clock;
/// use latchet::denylist::memory::MemoryDenylist;
/// use latchet::guard::Guards;
/// use latchet::token::Verifier;
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
    wanted: Arc<Wanted>,
    outcome: watch::Receiver<Outcome>,
    _fetching: JoinSet<()>,
}

/// Outcome of the last attempt, if there is one.
#[derive(Clone, Debug)]
enum Outcome {
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
    pub fn follow(settings: RemoteSettings) -> Result<Self, SetupError> {
        let url = parse(first_issuer(&settings.verifier), settings.plaintext)?;
        let http = Http::new(&url, settings.deadline)?;
        let wanted = Arc::new(Wanted::new(settings.shortest_age));
        let verifier = Verifier::following(settings.verifier.clone(), Arc::clone(&wanted));
        let verifier = Arc::new(verifier);
        let (sender, outcome) = watch::channel(Outcome::None);
        let follower = Follower {
            http,
            url,
            settings,
            verifier: Arc::clone(&verifier),
            wanted: Arc::clone(&wanted),
            outcome: sender,
        };
        let mut fetching = JoinSet::new();
        fetching.spawn(follower.follow());
        Ok(Self {
            verifier,
            wanted,
            outcome,
            _fetching: fetching,
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
        let ended = outcome.wait_for(|outcome| !matches!(outcome, Outcome::None));
        match ended.await.as_deref() {
            Ok(Outcome::Failed(error)) => Err(Arc::clone(error)),
            // The task runs as long as this handle exists, so there is always an outcome.
            _ => Ok(()),
        }
    }

    /// Returns the error of the last attempt, if it failed: the keys of an earlier one may still be in
    /// use.
    pub fn failure(&self) -> Option<Arc<FetchError>> {
        match &*self.outcome.borrow() {
            Outcome::Failed(error) => Some(Arc::clone(error)),
            Outcome::None | Outcome::Fetched => None,
        }
    }
}

impl Verifier {
    /// Verifies tokens of the issuer at `url` for one of `audience`, with the keys that it publishes.
    /// [`RemoteKeys::follow`] takes more settings.
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
        RemoteKeys::follow(RemoteSettings::new(url, audience))
    }
}

/// A token with an unknown key must not wait for a task that has ended.
impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.wanted.end();
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
struct Follower {
    http: Http,
    url: Url,
    settings: RemoteSettings,
    verifier: Arc<Verifier>,
    wanted: Arc<Wanted>,
    outcome: watch::Sender<Outcome>,
}

impl Follower {
    async fn follow(self) {
        let RemoteSettings {
            verifier,
            plaintext,
            shortest_age,
            ..
        } = &self.settings;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.wanted.fetching();
            match keys_of(&self.http, &self.url, first_issuer(verifier), *plaintext).await {
                Ok(fetched) => {
                    backoff.reset();
                    let kept_for = self.take(fetched);
                    tokio::time::sleep(*shortest_age).await;
                    tokio::select! {
                        () = tokio::time::sleep(kept_for.saturating_sub(*shortest_age)) => {}
                        () = self.wanted.asked() => {}
                    }
                }
                Err(error) => {
                    self.note_failure(error);
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Trusts the keys, and returns the time until the next fetch.
    fn take(&self, fetched: Fetched) -> Duration {
        let RemoteSettings {
            clock,
            outage,
            shortest_age,
            longest_age,
            ..
        } = &self.settings;
        self.verifier.trust(fetched.keys, clock.now() + *outage);
        self.wanted.fetched();
        let before = self.outcome.send_replace(Outcome::Fetched);
        if !matches!(before, Outcome::Fetched) {
            tracing::info!(
                issuer = first_issuer(&self.settings.verifier),
                "fetched the issuer's keys"
            );
        }
        let kept_for = fetched.kept_for.unwrap_or(KEPT_FOR);
        kept_for.min(*longest_age).max(*shortest_age)
    }

    /// Logs once that the issuer does not respond, and stores the last error for callers.
    fn note_failure(&self, error: FetchError) {
        self.wanted.failed();
        let error = Arc::new(error);
        let before = self
            .outcome
            .send_replace(Outcome::Failed(Arc::clone(&error)));
        if !matches!(before, Outcome::Failed(_)) {
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
