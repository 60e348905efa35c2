//! Readiness of a server: everything that requests depend on.

use super::App;
use super::clock_check::ClockState;
use super::denylist::DenylistHealth;
use super::serve::Lifecycle;

/// Readiness of the server, and of each dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    /// The database responds and accepts writes.
    pub(super) database: bool,
    /// The clock agrees with that of the database. While the database does not respond, there is nothing to
    /// compare the clock with, and this is true.
    pub(super) clock: bool,
    /// Source of the results of checks.
    pub(super) denylist: DenylistHealth,
    /// The process is not about to stop.
    pub(super) serving: bool,
}

impl Readiness {
    /// Checks every dependency.
    pub(super) async fn check(app: &App, lifecycle: &Lifecycle) -> Self {
        let clock = app.clock_check.state().await;
        let database = clock.is_ok() && app.database_check.can_serve().await;
        Self {
            database,
            clock: !matches!(clock, Ok(ClockState::Deviates(_))),
            denylist: app.revocations.denylist.health(),
            serving: !lifecycle.is_draining(),
        }
    }

    /// Returns whether requests can be served.
    pub(super) fn is_ready(&self) -> bool {
        self.database && self.clock && self.denylist != DenylistHealth::Unavailable && self.serving
    }
}
