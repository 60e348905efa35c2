//! Reader of the copy in Redis, for a service without SQL.
//!
//! A denial that is found is true, even if other entries were lost. A missing denial counts only if the
//! copy is marked as complete, its epoch names this server, and a Latchet server has recently renewed
//! the epoch marker. A reader cannot see that SQL no longer trusts the copy; it notices when the marker
//! is not renewed. `docs/explanation/redis-trust.md` explains why this is sufficient.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::{
    BACKFILL_PREFIX, Distrust, DualInstant, EpochAuthority, EpochRecord, InspectedConnection,
    Lookup, MarkerRenewal, RedisHandle, RedisUrl, ServerStatus, TrustEvent, backfilled_server,
};
use crate::clock::{Clock, Time};
use crate::denylist::{Denial, Denylist, DenylistUnavailable, TokenIds, TokenStatus};
use crate::token::Claims;

/// A [`Denylist`] that reads the entries of Latchet's servers in Redis, and writes nothing.
///
/// Commands it needs: `MGET GET PTTL INFO TIME`, on keys `latchet:{deny}:*`; with Sentinel also
/// `SENTINEL`, with Cluster also `CLUSTER`.
#[derive(Debug)]
pub struct RedisReader {
    handle: Arc<RedisHandle<MarkerAuthority>>,
    /// Denylist to use while Redis cannot be trusted.
    fallback: Option<Arc<dyn Denylist>>,
    /// Ends when the reader is dropped.
    _task: JoinSet<()>,
}

/// The epoch marker, as the last inspection found it.
#[derive(Debug)]
struct MarkerAuthority;

impl EpochAuthority for MarkerAuthority {
    const MARKER_RENEWAL: MarkerRenewal = MarkerRenewal::ByOthers;

    /// Returns the epoch of a complete copy. It contains the identity of the server that was backfilled.
    fn epoch_record(&self, server_status: &ServerStatus) -> Option<Arc<EpochRecord>> {
        let epoch_marker = server_status.server_info.epoch_marker.as_deref();
        let epoch = epoch_marker.filter(|epoch| !epoch.starts_with(BACKFILL_PREFIX))?;
        Some(Arc::new(EpochRecord {
            epoch: epoch.to_owned(),
            backfilled_server: backfilled_server(epoch).unwrap_or_default().to_owned(),
            requested_at: server_status.requested_at,
        }))
    }
}

impl RedisReader {
    /// Returns a reader of the copy at `url`. It connects in the background: earlier checks fail with
    /// [`DenylistUnavailable`], or use the fallback.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(url: RedisUrl, clock: Clock) -> Self {
        let handle = Arc::new(RedisHandle::new(url, clock, MarkerAuthority));
        let mut task = JoinSet::new();
        let watched = Arc::clone(&handle);
        task.spawn(async move { watched.keep_current(log).await });
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
        self.handle.distrust().map(|distrust| distrust.to_string())
    }

    /// Returns the status of a token in Redis. Even a distrusted copy is read: a denial that is found
    /// there is true.
    async fn read(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, Distrust> {
        let began = DualInstant::at(now);
        let inspected = self
            .handle
            .current_for_check()
            .ok_or(Distrust::NotConnected)?;
        let trusted = inspected
            .server_status
            .trusted_epoch(self.handle.authority(), began);
        match trusted {
            Ok(epoch_record) => {
                self.handle
                    .look_up(&inspected, ids, &epoch_record.epoch)
                    .await
            }
            Err(distrust) => find_denial(&inspected, ids).await.ok_or(distrust),
        }
    }
}

async fn find_denial(inspected: &InspectedConnection, ids: TokenIds<'_>) -> Option<TokenStatus> {
    match inspected.connection.lookup(ids, "").await {
        Ok(Lookup::Revoked) => Some(TokenStatus::Revoked),
        Ok(Lookup::Outdated) => Some(TokenStatus::Outdated),
        Ok(Lookup::NotDenied | Lookup::Incomplete) | Err(_) => None,
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

fn unavailable(distrust: &Distrust) -> DenylistUnavailable {
    DenylistUnavailable(Some(format!("Redis is not trusted: {distrust}").into()))
}

/// Logs why Redis is not trusted, or that it is trusted.
fn log(event: TrustEvent<'_>) {
    match event {
        TrustEvent::Changed(None) => tracing::info!("the denylist in Redis is trusted"),
        TrustEvent::Changed(Some(distrust)) => {
            tracing::warn!(reason = %distrust, "the denylist in Redis is not trusted");
        }
        TrustEvent::ConnectionFailed(error) => tracing::debug!(
            error = error as &dyn std::error::Error,
            "Redis connection failed"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::denylist::redis::trust::MAX_MARKER_AGE;
    use crate::denylist::redis::{LEASE, ServerFault, ServerInfo, UnsuitableRedis, new_epoch};

    #[tokio::test]
    async fn a_check_puts_the_copy_in_demand() {
        let url = "redis://127.0.0.1:1".parse().unwrap();
        let handle = Arc::new(RedisHandle::idle(url, Clock::system(), MarkerAuthority));
        let reader = RedisReader {
            handle: Arc::clone(&handle),
            fallback: None,
            _task: JoinSet::new(),
        };
        let ids = TokenIds {
            sid: None,
            jti: "a token",
            sub: "a user",
            authority_version: 0,
        };
        assert!(handle.demand().is_idle());

        let checked = reader.check(ids, Time::from_secs(1)).await;

        assert!(checked.is_err(), "{checked:?}");
        assert!(!handle.demand().is_idle());
    }

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

    impl TrustScene {
        fn trusted_epoch(&self) -> Result<Arc<EpochRecord>, Distrust> {
            self.server_status.trusted_epoch(&MarkerAuthority, self.now)
        }
    }

    #[test]
    fn a_complete_copy_on_the_backfilled_server_is_trusted() {
        let scene = trusted_scene();

        let epoch = scene.trusted_epoch().unwrap().epoch.clone();

        assert_eq!(Some(epoch), scene.server_status.server_info.epoch_marker);
    }

    #[test]
    fn each_violated_condition_causes_distrust() {
        type Violation = fn(&mut TrustScene);
        let violate: [(Violation, Distrust); 9] = [
            (
                |scene| scene.server_status.server_info.unsuitable = Some(UnsuitableRedis::Replica),
                Distrust::ServerFault(ServerFault::Unsuitable(UnsuitableRedis::Replica)),
            ),
            (
                |scene| {
                    scene.server_status.server_info.time =
                        scene.now.time + Duration::from_millis(30_001);
                },
                Distrust::ServerFault(ServerFault::ClockAhead),
            ),
            (
                |scene| scene.now.instant += LEASE + Duration::from_millis(1),
                Distrust::NotInspected,
            ),
            (
                |scene| scene.server_status.server_info.epoch_marker = None,
                Distrust::NoEpoch,
            ),
            (
                |scene| {
                    scene.server_status.server_info.epoch_marker =
                        Some(format!("{BACKFILL_PREFIX}{}", new_epoch("run.replid.0")));
                },
                Distrust::NoEpoch,
            ),
            (
                |scene| scene.server_status.server_info.identity = "restarted.replid.0".into(),
                Distrust::OtherServer,
            ),
            (
                |scene| scene.server_status.server_info.epoch_marker = Some("unnamed".into()),
                Distrust::OtherServer,
            ),
            (
                |scene| scene.server_status.server_info.marker_age = Some(MAX_MARKER_AGE + LEASE),
                Distrust::MarkerNotRenewed,
            ),
            (
                |scene| scene.server_status.server_info.marker_age = None,
                Distrust::MarkerNotRenewed,
            ),
        ];

        for (violate, expected) in violate {
            let mut scene = trusted_scene();
            violate(&mut scene);
            assert_eq!(scene.trusted_epoch().unwrap_err(), expected);
        }
    }

    #[test]
    fn the_marker_ages_between_inspections() {
        let mut scene = trusted_scene();
        scene.server_status.server_info.marker_age = Some(MAX_MARKER_AGE);

        assert!(scene.trusted_epoch().is_ok());
        scene.now.instant += Duration::from_millis(1);
        assert_eq!(
            scene.trusted_epoch().unwrap_err(),
            Distrust::MarkerNotRenewed
        );
    }
}
