//! Reader of the copy in Redis, for a service without SQL.
//!
//! A denial that is found is true, even if other entries were lost. A missing denial counts only if the
//! copy is marked as complete, its epoch names this server, and a Latchet server has recently renewed
//! the epoch marker. A reader cannot see that SQL no longer trusts the copy; it notices when the marker
//! is not renewed. `docs/explanation/redis-trust.md` explains why this is sufficient.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::{
    BACKFILL_PREFIX, DualInstant, Lookup, RedisHandle, RedisUrl, ServerFault, ServerStatus,
    backfilled_server,
};
use crate::backoff::Backoff;
use crate::clock::{Clock, Time};
use crate::denylist::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};
use crate::token::Claims;

/// Twice the interval of renewals: a single late renewal is no reason for distrust.
const MAX_MARKER_AGE: Duration = Duration::from_secs(10);
/// Often enough that a lease is renewed although one inspection fails.
const INSPECT_EVERY: Duration = Duration::from_millis(250);
/// Pause between two attempts to connect: the first and the longest.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A [`Denylist`] that reads the entries of Latchet's servers in Redis, and writes nothing.
///
/// Commands it needs: `MGET GET PTTL INFO TIME`, on keys `latchet:{deny}:*`; with Sentinel also
/// `SENTINEL`, with Cluster also `CLUSTER`.
#[derive(Debug)]
pub struct RedisReader {
    handle: Arc<RedisHandle>,
    /// Denylist to use while Redis cannot be trusted.
    fallback: Option<Arc<dyn Denylist>>,
    /// Ends when the reader is dropped.
    _task: JoinSet<()>,
}

/// Reason why a missing denial does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ReaderDistrust {
    NotConnected,
    NotInspected,
    ServerFault(ServerFault),
    NotBackfilled,
    OtherServer,
    MarkerNotRenewed,
}

impl RedisReader {
    /// Returns a reader of the copy at `url`. It connects in the background: earlier checks fail with
    /// [`DenylistUnavailable`], or use the fallback.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(url: RedisUrl, clock: Clock) -> Self {
        let handle = Arc::new(RedisHandle::new(url, clock));
        let mut task = JoinSet::new();
        task.spawn(keep_connection_current(Arc::clone(&handle)));
        Self {
            handle,
            fallback: None,
            _task: task,
        }
    }

    /// Uses `fallback` for each check while Redis cannot be trusted: introspection, for example, for
    /// which Latchet uses SQL.
    #[must_use]
    pub fn with_fallback(self, fallback: Arc<dyn Denylist>) -> Self {
        Self {
            fallback: Some(fallback),
            ..self
        }
    }

    /// Returns why Redis is not trusted now, if so: for a readiness check.
    pub fn distrust(&self) -> Option<String> {
        distrust(&self.handle).map(|distrust| distrust.to_string())
    }

    /// Returns the status of a token in Redis, if it is trusted.
    async fn read(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, ReaderDistrust> {
        let began = DualInstant {
            instant: Instant::now(),
            time: now,
        };
        let inspected = self.handle.current().ok_or(ReaderDistrust::NotConnected)?;
        let trusted = trusted_epoch(&inspected.server_status, began);
        let epoch = trusted.as_ref().copied().unwrap_or_default();
        match (inspected.connection.lookup(ids, epoch).await, trusted) {
            (Ok(Lookup::Revoked), _) => Ok(TokenStatus::Revoked),
            (Ok(Lookup::Outdated), _) => Ok(TokenStatus::Outdated),
            (_, Err(distrust)) => Err(distrust),
            (Ok(Lookup::NotDenied), Ok(_)) => Ok(TokenStatus::NotDenied),
            (Ok(Lookup::Incomplete), Ok(_)) => Err(ReaderDistrust::NotBackfilled),
            (Err(_), Ok(_)) => {
                self.handle.drop_connection(&inspected);
                Err(ReaderDistrust::NotConnected)
            }
        }
    }
}

#[async_trait]
impl Denylist for RedisReader {
    async fn check(
        &self,
        ids: TokenIds<'_>,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        match (self.read(ids, now).await, &self.fallback) {
            (Ok(status), _) => Ok(status),
            (Err(_), Some(fallback)) => fallback.check(ids, now).await,
            (Err(distrust), None) => Err(unavailable(&distrust)),
        }
    }

    async fn check_token(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        match (self.read(claims.into(), now).await, &self.fallback) {
            (Ok(status), _) => Ok(status),
            (Err(_), Some(fallback)) => fallback.check_token(token, claims, now).await,
            (Err(distrust), None) => Err(unavailable(&distrust)),
        }
    }

    /// Fails: tokens are revoked at the server that issued them.
    async fn deny(&self, _: &[Denial], _: Time) -> Result<(), DenylistUnavailable> {
        Err(DenylistUnavailable(Some(
            "this service only reads the denylist".into(),
        )))
    }
}

fn unavailable(distrust: &ReaderDistrust) -> DenylistUnavailable {
    DenylistUnavailable(Some(format!("Redis is not trusted: {distrust}").into()))
}

/// Returns the epoch for which a missing denial counts, or the reason why it does not count.
fn trusted_epoch(server_status: &ServerStatus, now: DualInstant) -> Result<&str, ReaderDistrust> {
    if let Some(fault) = server_status.fault() {
        return Err(ReaderDistrust::ServerFault(fault));
    }
    if !server_status.is_current(now) {
        return Err(ReaderDistrust::NotInspected);
    }
    let server_info = &server_status.server_info;
    let epoch_marker = server_info.epoch_marker.as_deref();
    let epoch = epoch_marker.filter(|epoch_marker| !epoch_marker.starts_with(BACKFILL_PREFIX));
    let epoch = epoch.ok_or(ReaderDistrust::NotBackfilled)?;
    if backfilled_server(epoch) != Some(&*server_info.identity) {
        return Err(ReaderDistrust::OtherServer);
    }
    let since_request = now
        .instant
        .saturating_duration_since(server_status.requested_at.instant);
    let marker_age = server_info.marker_age.map(|ago| ago + since_request);
    if marker_age.is_none_or(|ago| ago > MAX_MARKER_AGE) {
        return Err(ReaderDistrust::MarkerNotRenewed);
    }
    Ok(epoch)
}

fn distrust(handle: &RedisHandle) -> Option<ReaderDistrust> {
    match handle.current() {
        None => Some(ReaderDistrust::NotConnected),
        Some(inspected) => trusted_epoch(&inspected.server_status, handle.now()).err(),
    }
}

/// Keeps the connection and the inspection of its server current, without end.
async fn keep_connection_current(handle: Arc<RedisHandle>) {
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    let mut last_logged = None;
    loop {
        let pause = match handle.current() {
            // A failure drops the connection, which causes distrust.
            Some(inspected) => {
                let _inspected = handle.reinspect(&inspected).await;
                INSPECT_EVERY
            }
            None => match handle.connect().await {
                Ok(_) => {
                    backoff.reset();
                    INSPECT_EVERY
                }
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "Redis connection failed"
                    );
                    backoff.wait()
                }
            },
        };
        let current_distrust = distrust(&handle);
        if current_distrust != last_logged {
            log_trust(current_distrust.as_ref());
            last_logged = current_distrust;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = handle.connection_dropped() => {}
        }
    }
}

/// Logs why Redis is not trusted, or that it is trusted.
fn log_trust(current_distrust: Option<&ReaderDistrust>) {
    match current_distrust {
        None => tracing::info!("the denylist in Redis is trusted"),
        Some(distrust) => {
            tracing::warn!(reason = %distrust, "the denylist in Redis is not trusted");
        }
    }
}

impl fmt::Display for ReaderDistrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "it is not connected",
            Self::NotInspected => "it has not answered for a second",
            Self::ServerFault(fault) => return fault.fmt(f),
            Self::NotBackfilled => {
                "no Latchet server has backfilled it, or a backfill is in progress"
            }
            Self::OtherServer => {
                "it is not the server that was backfilled, or it may have lost data since"
            }
            Self::MarkerNotRenewed => "no Latchet server has renewed its epoch marker recently",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denylist::redis::{LEASE, ServerInfo, UnsuitableRedis, new_epoch};

    struct TrustScene {
        server_status: ServerStatus,
        now: DualInstant,
    }

    fn trusted_scene() -> TrustScene {
        let now = DualInstant {
            instant: Instant::now(),
            time: Time::from_secs(1_000),
        };
        let server_info = ServerInfo {
            identity: "run.replid.0".into(),
            unsuitable: None,
            time: now.time,
            epoch_marker: Some(new_epoch("run.replid.0")),
            marker_age: Some(Duration::from_secs(5)),
        };
        TrustScene {
            server_status: ServerStatus {
                server_info,
                requested_at: now,
            },
            now,
        }
    }

    #[test]
    fn a_complete_copy_on_the_backfilled_server_is_trusted() {
        let scene = trusted_scene();

        let epoch = trusted_epoch(&scene.server_status, scene.now);

        assert_eq!(
            epoch.ok(),
            scene.server_status.server_info.epoch_marker.as_deref()
        );
    }

    #[test]
    fn each_violated_condition_causes_distrust() {
        type Violation = fn(&mut TrustScene);
        let violate: [(Violation, ReaderDistrust); 8] = [
            (
                |scene| scene.server_status.server_info.unsuitable = Some(UnsuitableRedis::Replica),
                ReaderDistrust::ServerFault(ServerFault::Unsuitable(UnsuitableRedis::Replica)),
            ),
            (
                |scene| {
                    scene.server_status.server_info.time =
                        scene.now.time + Duration::from_millis(30_001);
                },
                ReaderDistrust::ServerFault(ServerFault::ClockAhead),
            ),
            (
                |scene| scene.now.instant += LEASE + Duration::from_millis(1),
                ReaderDistrust::NotInspected,
            ),
            (
                |scene| scene.server_status.server_info.epoch_marker = None,
                ReaderDistrust::NotBackfilled,
            ),
            (
                |scene| {
                    scene.server_status.server_info.epoch_marker =
                        Some(format!("{BACKFILL_PREFIX}{}", new_epoch("run.replid.0")));
                },
                ReaderDistrust::NotBackfilled,
            ),
            (
                |scene| scene.server_status.server_info.identity = "restarted.replid.0".into(),
                ReaderDistrust::OtherServer,
            ),
            (
                |scene| scene.server_status.server_info.marker_age = Some(MAX_MARKER_AGE + LEASE),
                ReaderDistrust::MarkerNotRenewed,
            ),
            (
                |scene| scene.server_status.server_info.marker_age = None,
                ReaderDistrust::MarkerNotRenewed,
            ),
        ];

        for (violate, expected) in violate {
            let mut scene = trusted_scene();
            violate(&mut scene);
            assert_eq!(
                trusted_epoch(&scene.server_status, scene.now),
                Err(expected)
            );
        }
    }

    #[test]
    fn the_marker_ages_between_inspections() {
        let mut scene = trusted_scene();
        scene.server_status.server_info.marker_age = Some(MAX_MARKER_AGE);

        assert!(trusted_epoch(&scene.server_status, scene.now).is_ok());
        scene.now.instant += Duration::from_millis(1);
        assert_eq!(
            trusted_epoch(&scene.server_status, scene.now),
            Err(ReaderDistrust::MarkerNotRenewed)
        );
    }
}
