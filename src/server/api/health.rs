//! Whether this process lives, and whether it can serve.

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};

use super::Tag;
use crate::server::App;
use crate::server::clock_check::ClockState;
use crate::server::denylist;
use crate::server::serve::Lifecycle;

/// Probes.
pub(super) struct HealthApi {
    pub(super) app: App,
    pub(super) lifecycle: Lifecycle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Health {
    /// As it should be.
    Ok,
    /// It works, with less than was configured.
    Degraded,
    /// It does not work.
    Failing,
}

/// The process lives.
#[derive(Debug, Object)]
struct LiveAnswer {
    /// Always `ok`.
    status: Health,
}

/// Whether requests can be served, and what stands in the way.
#[derive(Debug, Object)]
struct ReadyAnswer {
    /// `failing` if anything below is.
    status: Health,
    /// The database answers and takes writes.
    database: Health,
    /// Revocations are looked up; `degraded` while the database is asked instead of Redis.
    denylist: Health,
    /// The clock of this process agrees with that of the database; `failing` while they are further
    /// apart than allowed, since tokens would bear wrong times.
    clock: Health,
    /// This process is not about to stop.
    serving: Health,
}

#[derive(Debug, ApiResponse)]
enum ReadyResponse {
    /// Requests can be served.
    #[oai(status = 200)]
    Ready(Json<ReadyAnswer>),
    /// Requests should go to another replica.
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
    /// Nothing is known against the clock while the database does not answer.
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
    /// Does the process live?
    ///
    /// Touches nothing: a database that is away is no reason to restart this process.
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

    /// Can it serve?
    ///
    /// Asks everything that requests depend on, and names what fails.
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
