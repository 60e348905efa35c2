//! Conditions for trusting the copy in Redis. Pure: no I/O, and the time is an argument.
//!
//! `docs/explanation/redis-trust.md` explains why these conditions are sufficient.

use std::fmt;
use std::time::Duration;

use latchet_guard::denylist::redis::{DualInstant, ServerFault, ServerStatus};

/// Time after which every process has noticed a change in SQL, or uses SQL alone.
pub(super) const PROPAGATION_DELAY: Duration = Duration::from_millis(1_050);

/// Record in SQL about the copy in Redis.
#[derive(Clone, Debug)]
pub(super) struct EpochRecord {
    /// The copy is complete if Redis has this epoch marker.
    pub(super) epoch: String,
    /// The server that was backfilled, or is being backfilled, for this epoch; empty for none.
    pub(super) backfilled_server: String,
    /// Time of the request to SQL, not of the response.
    pub(super) requested_at: DualInstant,
}

impl EpochRecord {
    pub(super) fn is_current(&self, now: DualInstant) -> bool {
        self.requested_at.is_within_lease(now)
    }

    /// Returns whether the record names this server with its current data.
    pub(super) fn names_server(&self, server_status: &ServerStatus) -> bool {
        server_status.server_info.identity == self.backfilled_server
    }

    fn is_complete_in(&self, server_status: &ServerStatus) -> bool {
        self.names_server(server_status)
            && server_status.server_info.epoch_marker.as_deref() == Some(&self.epoch)
    }
}

/// Reason why Redis is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    NotConnected,
    ServerFault(ServerFault),
    NotInspected,
    NoEpochRecord,
    OtherServer,
    NotBackfilled,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("it is not connected"),
            Self::ServerFault(fault) => fault.fmt(f),
            Self::NotInspected => f.write_str("it has not answered for a second"),
            Self::NoEpochRecord => f.write_str("the database has not answered for a second"),
            Self::OtherServer => f.write_str(
                "it is not the server that was backfilled, or it may have lost data since",
            ),
            Self::NotBackfilled => f.write_str("it is being backfilled from the database"),
        }
    }
}

/// Returns the record whose epoch marker Redis must have for a lookup to be trusted, or the reason why
/// no lookup can be.
pub(super) fn trusted_epoch<'a>(
    epoch_record: Option<&'a EpochRecord>,
    server_status: Option<&ServerStatus>,
    now: DualInstant,
) -> Result<&'a EpochRecord, Distrust> {
    let server_status = server_status.ok_or(Distrust::NotConnected)?;
    if let Some(fault) = server_status.fault() {
        return Err(Distrust::ServerFault(fault));
    }
    if !server_status.is_current(now) {
        return Err(Distrust::NotInspected);
    }
    let epoch_record = epoch_record
        .filter(|epoch_record| epoch_record.is_current(now))
        .ok_or(Distrust::NoEpochRecord)?;
    if !epoch_record.names_server(server_status) {
        return Err(Distrust::OtherServer);
    }
    Ok(epoch_record)
}

/// Returns whether the connected server could hold the copy but has no complete one.
pub(super) fn needs_backfill(
    epoch_record: Option<&EpochRecord>,
    server_status: Option<&ServerStatus>,
    now: DualInstant,
) -> bool {
    match trusted_epoch(epoch_record, server_status, now) {
        Ok(epoch_record) => {
            server_status.is_some_and(|server_status| !epoch_record.is_complete_in(server_status))
        }
        Err(distrust) => distrust == Distrust::OtherServer,
    }
}

/// Returns the reason why checks do not use Redis now, if any.
pub(super) fn distrust(
    epoch_record: Option<&EpochRecord>,
    server_status: Option<&ServerStatus>,
    now: DualInstant,
) -> Option<Distrust> {
    match trusted_epoch(epoch_record, server_status, now) {
        Err(distrust) => Some(distrust),
        Ok(_) => {
            needs_backfill(epoch_record, server_status, now).then_some(Distrust::NotBackfilled)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use latchet_guard::clock::Time;
    use latchet_guard::denylist::redis::{LEASE, ServerInfo, UnsuitableRedis};

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
        fn distrust(&self) -> Option<Distrust> {
            distrust(
                Some(&self.epoch_record),
                Some(&self.server_status),
                self.now,
            )
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
        assert_eq!(scene.distrust(), Some(Distrust::NoEpochRecord));
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
                Some(Distrust::NoEpochRecord),
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
        assert_eq!(
            distrust(None, None, trusted_scene().now),
            Some(Distrust::NotConnected)
        );
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
            needs_backfill(
                Some(&scene.epoch_record),
                Some(&scene.server_status),
                scene.now,
            )
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
