//! The authority that names the epoch of the copy in Redis: the record in SQL.
//!
//! The conditions for trusting the copy are those of [`ServerStatus::trusted_epoch`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use latchet_guard::denylist::redis::{
    Distrust, DualInstant, EpochAuthority, EpochRecord, MarkerRenewal, ServerStatus,
};

/// Time after which every process has noticed a change in SQL, or uses SQL alone.
pub(crate) const PROPAGATION_DELAY: Duration = Duration::from_millis(1_050);

/// The record in SQL about the copy in Redis, as read last.
#[derive(Debug, Default)]
pub(super) struct SqlAuthority(ArcSwapOption<EpochRecord>);

impl EpochAuthority for SqlAuthority {
    const MARKER_RENEWAL: MarkerRenewal = MarkerRenewal::ByThisProcess;

    fn epoch_record(&self, _: &ServerStatus) -> Option<Arc<EpochRecord>> {
        self.known()
    }
}

impl SqlAuthority {
    pub(super) fn known(&self) -> Option<Arc<EpochRecord>> {
        self.0.load_full()
    }

    /// Of two concurrent reads, the result of the later one is newer.
    pub(super) fn keep_newer(&self, epoch_record: &Arc<EpochRecord>) {
        self.0.rcu(|known| match known {
            Some(known) if known.requested_at.instant > epoch_record.requested_at.instant => {
                Some(Arc::clone(known))
            }
            _ => Some(Arc::clone(epoch_record)),
        });
    }
}

/// Returns whether the connected server could hold the copy but has no complete one.
pub(super) fn needs_backfill(
    authority: &SqlAuthority,
    server_status: &ServerStatus,
    now: DualInstant,
) -> bool {
    matches!(
        server_status.distrust(authority, now),
        Some(Distrust::OtherServer | Distrust::NotBackfilled)
    )
}

/// Reason for distrust as a server reports it, for which SQL is the authority.
#[derive(Clone, Copy, Debug)]
pub(super) struct DistrustReason<'a>(pub(super) &'a Distrust);

impl fmt::Display for DistrustReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Distrust::NoEpoch => f.write_str("the database has not answered for a second"),
            Distrust::NotBackfilled => f.write_str("it is being backfilled from the database"),
            distrust => distrust.fmt(f),
        }
    }
}

#[cfg(test)]
impl From<EpochRecord> for SqlAuthority {
    fn from(epoch_record: EpochRecord) -> Self {
        Self(ArcSwapOption::from_pointee(epoch_record))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use latchet_guard::clock::Time;
    use latchet_guard::denylist::redis::{LEASE, ServerFault, ServerInfo, UnsuitableRedis};

    struct TrustScene {
        epoch_record: EpochRecord,
        server_status: ServerStatus,
        now: DualInstant,
    }

    fn trusted_scene() -> TrustScene {
        let now = DualInstant {
            instant: Instant::now(),
            time: Time::from_secs(1_000),
        };
        TrustScene {
            epoch_record: EpochRecord {
                epoch: "e".into(),
                backfilled_server: "server".into(),
                requested_at: now,
            },
            server_status: ServerStatus {
                server_info: ServerInfo {
                    identity: "server".into(),
                    unsuitable: None,
                    time: now.time,
                    epoch_marker: Some("e".into()),
                    marker_age: None,
                },
                requested_at: now,
            },
            now,
        }
    }

    impl TrustScene {
        fn authority(&self) -> SqlAuthority {
            self.epoch_record.clone().into()
        }

        fn distrust(&self) -> Option<Distrust> {
            self.server_status.distrust(&self.authority(), self.now)
        }
    }

    fn later(moment: DualInstant, by: Duration) -> DualInstant {
        DualInstant {
            instant: moment.instant + by,
            time: moment.time + by,
        }
    }

    #[test]
    fn a_backfilled_server_is_trusted_for_one_lease() {
        let mut scene = trusted_scene();

        scene.now = later(scene.now, LEASE);
        assert_eq!(scene.distrust(), None);
        scene.now = later(scene.now, Duration::from_millis(1));
        assert_eq!(scene.distrust(), Some(Distrust::NotInspected));
        scene.server_status.requested_at = scene.now;
        assert_eq!(scene.distrust(), Some(Distrust::NoEpoch));
    }

    #[test]
    fn either_clock_can_end_the_lease() {
        for (instant, time) in [(1, 1_001), (1_001, 1), (1_001, -500)] {
            let mut scene = trusted_scene();
            scene.now.instant += Duration::from_millis(instant);
            scene.now.time = Time::from_millis(scene.now.time.millis() + time);
            scene.server_status.requested_at = scene.now;

            assert_eq!(
                scene.distrust(),
                Some(Distrust::NoEpoch),
                "{instant} and {time} ms"
            );
        }
    }

    #[test]
    fn each_violated_condition_causes_distrust() {
        type Violation = fn(&mut TrustScene);
        let violate: [(Violation, Distrust); 5] = [
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
                |scene| scene.server_status.server_info.identity = "restarted".into(),
                Distrust::OtherServer,
            ),
            (
                |scene| scene.epoch_record.backfilled_server = String::new(),
                Distrust::OtherServer,
            ),
            (
                |scene| scene.server_status.server_info.epoch_marker = None,
                Distrust::NotBackfilled,
            ),
        ];

        for (violate, expected) in violate {
            let mut scene = trusted_scene();
            violate(&mut scene);
            assert_eq!(scene.distrust(), Some(expected));
        }
        let TrustScene {
            server_status, now, ..
        } = trusted_scene();
        assert_eq!(
            server_status.distrust(&SqlAuthority::default(), now),
            Some(Distrust::NoEpoch)
        );
    }

    #[test]
    fn a_reason_that_concerns_sql_names_the_database() {
        for (distrust, names_database) in [
            (Distrust::NoEpoch, true),
            (Distrust::NotBackfilled, true),
            (Distrust::OtherServer, false),
            (Distrust::ServerFault(ServerFault::ClockAhead), false),
        ] {
            let reason = DistrustReason(&distrust).to_string();

            assert_eq!(reason.contains("database"), names_database, "{reason}");
            assert_eq!(reason != distrust.to_string(), names_database, "{reason}");
        }
    }

    #[test]
    fn a_clock_may_be_ahead_by_half_a_minute() {
        let mut scene = trusted_scene();

        scene.server_status.server_info.time = scene.now.time + Duration::from_secs(30);

        assert_eq!(scene.distrust(), None);
    }

    #[test]
    fn only_a_suitable_server_is_backfilled() {
        let mut scene = trusted_scene();
        let needs = |scene: &TrustScene| {
            needs_backfill(&scene.authority(), &scene.server_status, scene.now)
        };

        assert!(!needs(&scene));
        scene.server_status.server_info.epoch_marker = Some("filling:e".into());
        assert!(needs(&scene));
        scene.server_status.server_info.identity = "restarted".into();
        assert!(needs(&scene));
        scene.server_status.server_info.unsuitable = Some(UnsuitableRedis::Replica);
        assert!(!needs(&scene));
    }
}
