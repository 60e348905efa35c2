//! Conditions for trusting the copy in Redis. Pure: no I/O, and the time is an argument.
//!
//! Latchet's servers and readers have the same conditions. They differ in the authority that names the
//! epoch: SQL for servers, the epoch marker for readers. `docs/explanation/redis-trust.md` explains why
//! the conditions are sufficient.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{DualInstant, ServerFault, ServerStatus};

/// Longest time since the last renewal of an epoch marker that others renew. Twice the interval of
/// renewals: a single late renewal is no reason for distrust.
pub(super) const MAX_MARKER_AGE: Duration = Duration::from_secs(10);

/// Source that names the epoch whose copy is trusted.
///
/// It only names; the conditions are the same for all authorities.
pub trait EpochAuthority: fmt::Debug + Send + Sync + 'static {
    /// Processes that renew the epoch marker.
    const MARKER_RENEWAL: MarkerRenewal;

    /// Returns the epoch that the authority named last, if any. It may depend on the inspected server.
    fn epoch_record(&self, server_status: &ServerStatus) -> Option<Arc<EpochRecord>>;
}

/// Processes that renew the epoch marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerRenewal {
    /// This process, while it trusts the copy. Only for an authority that names another epoch when the
    /// copy lacks a denial: each renewal assures readers that it does not.
    ByThisProcess,
    /// Others. The marker is trusted only if one of them has renewed it recently.
    ByOthers,
}

/// Epoch that an authority named.
#[derive(Clone, Debug)]
pub struct EpochRecord {
    /// The copy is complete if Redis has this epoch marker.
    pub epoch: String,
    /// The server that was backfilled, or is being backfilled, for this epoch; empty for none.
    pub backfilled_server: String,
    /// Time of the request to the authority, not of the response.
    pub requested_at: DualInstant,
}

impl EpochRecord {
    /// Returns whether the authority named the epoch within the last lease.
    pub fn is_current(&self, now: DualInstant) -> bool {
        self.requested_at.is_within_lease(now)
    }

    /// Returns whether the record names this server with its current data.
    pub fn names_server(&self, server_status: &ServerStatus) -> bool {
        server_status.server_info.identity == self.backfilled_server
    }

    fn is_complete_in(&self, server_status: &ServerStatus) -> bool {
        self.names_server(server_status)
            && server_status.server_info.epoch_marker.as_deref() == Some(&self.epoch)
    }
}

/// Reason why the absence of a denial in Redis does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// There is no connection.
    NotConnected,
    /// The server cannot hold the copy.
    ServerFault(ServerFault),
    /// The server has not responded to an inspection within the last lease.
    NotInspected,
    /// The authority has named no epoch within the last lease.
    NoEpoch,
    /// The connection does not lead to the server that was backfilled, or its data may have changed.
    OtherServer,
    /// No process has renewed the epoch marker recently.
    MarkerNotRenewed,
    /// The copy does not have the marker of the epoch.
    NotBackfilled,
}

/// Names the reason as a reader sees it, for which the marker is the authority.
impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "it is not connected",
            Self::ServerFault(fault) => return fault.fmt(f),
            Self::NotInspected => "it has not answered for a second",
            Self::OtherServer => {
                "it is not the server that was backfilled, or it may have lost data since"
            }
            Self::MarkerNotRenewed => "no Latchet server has renewed its epoch marker recently",
            Self::NoEpoch | Self::NotBackfilled => {
                "no Latchet server has backfilled it, or a backfill is in progress"
            }
        })
    }
}

impl ServerStatus {
    /// Returns the record whose epoch marker the reply of this server must have for the absence of a
    /// denial to count.
    ///
    /// # Errors
    /// The reason why no reply counts.
    pub fn trusted_epoch<A: EpochAuthority>(
        &self,
        authority: &A,
        now: DualInstant,
    ) -> Result<Arc<EpochRecord>, Distrust> {
        if let Some(fault) = self.fault() {
            return Err(Distrust::ServerFault(fault));
        }
        if !self.is_current(now) {
            return Err(Distrust::NotInspected);
        }
        let epoch_record = authority
            .epoch_record(self)
            .filter(|epoch_record| epoch_record.is_current(now))
            .ok_or(Distrust::NoEpoch)?;
        if !epoch_record.names_server(self) {
            return Err(Distrust::OtherServer);
        }
        if A::MARKER_RENEWAL == MarkerRenewal::ByOthers && !self.has_recent_marker(now) {
            return Err(Distrust::MarkerNotRenewed);
        }
        Ok(epoch_record)
    }

    /// Returns the reason why the absence of a denial does not count now, if any. The last inspection,
    /// instead of the reply to a check, shows whether the copy is complete.
    pub fn distrust<A: EpochAuthority>(&self, authority: &A, now: DualInstant) -> Option<Distrust> {
        match self.trusted_epoch(authority, now) {
            Err(distrust) => Some(distrust),
            Ok(epoch_record) => {
                (!epoch_record.is_complete_in(self)).then_some(Distrust::NotBackfilled)
            }
        }
    }

    /// The marker ages between inspections.
    fn has_recent_marker(&self, now: DualInstant) -> bool {
        let since_request = now
            .instant
            .saturating_duration_since(self.requested_at.instant);
        let marker_age = self.server_info.marker_age.map(|ago| ago + since_request);
        marker_age.is_some_and(|ago| ago <= MAX_MARKER_AGE)
    }
}
