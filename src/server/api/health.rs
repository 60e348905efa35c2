//! Liveness and readiness probes.

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};

use super::Tag;
use crate::server::App;
use crate::server::clock_check::ClockState;
use crate::server::denylist;
use crate::server::serve::Lifecycle;

/// The probes.
pub(super) struct HealthApi {
    pub(super) app: App,
    pub(super) lifecycle: Lifecycle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Health {
    /// Works as configured.
    Ok,
    /// Works with a fallback.
    Degraded,
    /// Does not work.
    Failing,
}

/// Liveness of the process.
#[derive(Debug, Object)]
struct LiveAnswer {
    /// Always `ok`.
    status: Health,
}

/// Readiness of the server, and of each dependency.
#[derive(Debug, Object)]
struct ReadyAnswer {
    /// `failing` if any dependency is failing.
    status: Health,
    /// The database: `ok` if it responds and accepts writes.
    database: Health,
    /// The denylist: `degraded` while the database is queried instead of Redis.
    denylist: Health,
    /// The clock of this process: `failing` while it differs from the clock of the database by more than
    /// is allowed, since tokens would carry wrong times.
    clock: Health,
    /// This process: `failing` once it is about to stop.
    serving: Health,
}

#[derive(Debug, ApiResponse)]
enum ReadyResponse {
    /// Requests can be served.
    #[oai(status = 200)]
    Ready(Json<ReadyAnswer>),
    /// Requests should be sent to another replica.
    #[oai(status = 503)]
    NotReady(Json<ReadyAnswer>),
}

impl From<denylist::Health> for Health {
    fn from(health: denylist::Health) -> Self {
        match health {
            denylist::Health::Good => Self::Ok,
            denylist::Health::AskingSql(_) => Self::Degraded,
            denylist::Health::Down => Self::Failing,
        }
    }
}

impl Health {
    /// Returns the health of a clock. While the database does not respond, there is nothing to compare the
    /// clock with, and it counts as healthy.
    fn of(clock: Option<ClockState>) -> Self {
        match clock {
            Some(ClockState::Deviates(_)) => Self::Failing,
            Some(ClockState::Agrees) | None => Self::Ok,
        }
    }
}

impl From<bool> for Health {
    fn from(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Failing }
    }
}

#[OpenApi]
impl HealthApi {
    /// Liveness probe
    ///
    /// Checks no dependency: an unreachable database is no reason to restart this process.
    #[oai(
        path = "/livez",
        method = "get",
        operation_id = "livez",
        tag = "Tag::Server"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn live(&self) -> Json<LiveAnswer> {
        Json(LiveAnswer { status: Health::Ok })
    }

    /// Readiness probe
    ///
    /// Checks everything that requests depend on, and reports what fails.
    #[oai(
        path = "/readyz",
        method = "get",
        operation_id = "readyz",
        tag = "Tag::Server"
    )]
    async fn ready(&self) -> ReadyResponse {
        let clock = self.app.clock_check.state().await;
        let database = clock.is_ok() && self.app.database_check.is_fit().await;
        let clock = Health::of(clock.ok());
        let denylist = Health::from(self.app.denylist.health());
        let serving = !self.lifecycle.is_draining();
        let all = database && denylist != Health::Failing && clock != Health::Failing && serving;
        let answer = Json(ReadyAnswer {
            status: all.into(),
            database: database.into(),
            denylist,
            clock,
            serving: serving.into(),
        });
        if all {
            ReadyResponse::Ready(answer)
        } else {
            ReadyResponse::NotReady(answer)
        }
    }
}
