//! Liveness and readiness probes.

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::spec::OperationSpec;
use crate::App;
use crate::denylist;
use crate::readiness::Readiness;
use crate::serve::Lifecycle;

/// The probes.
pub(super) struct HealthApi {
    pub(super) app: App,
    pub(super) lifecycle: Lifecycle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
#[oai(rename = "Health")]
enum HealthStatus {
    /// Works as configured.
    Ok,
    /// Works with a fallback.
    Degraded,
    /// Does not work.
    Failing,
}

/// Liveness of the process.
#[derive(Debug, Object)]
#[oai(rename = "LiveAnswer")]
struct LivenessReport {
    /// Always `ok`.
    status: HealthStatus,
}

/// Readiness of the server, and of each dependency.
#[derive(Debug, Object)]
#[oai(rename = "ReadyAnswer")]
struct ReadinessReport {
    /// `failing` if any dependency is failing.
    status: HealthStatus,
    /// The database: `ok` if it responds and accepts writes.
    database: HealthStatus,
    /// The denylist: `degraded` while the database is queried instead of Redis.
    denylist: HealthStatus,
    /// The clock of this process: `failing` while it differs from the clock of the database by more than
    /// is allowed, since tokens would carry wrong times.
    clock: HealthStatus,
    /// This process: `failing` once it is about to stop.
    serving: HealthStatus,
}

#[derive(Debug, ApiResponse)]
enum ReadinessResponse {
    /// Requests can be served.
    #[oai(status = 200)]
    Ready(Json<ReadinessReport>),
    /// Requests should be sent to another replica.
    #[oai(status = 503)]
    NotReady(Json<ReadinessReport>),
}

impl From<denylist::DenylistHealth> for HealthStatus {
    fn from(health: denylist::DenylistHealth) -> Self {
        match health {
            denylist::DenylistHealth::Healthy => Self::Ok,
            denylist::DenylistHealth::UsingSql(_) => Self::Degraded,
            denylist::DenylistHealth::Unavailable => Self::Failing,
        }
    }
}

impl From<bool> for HealthStatus {
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
    async fn live(&self) -> Json<LivenessReport> {
        Json(LivenessReport {
            status: HealthStatus::Ok,
        })
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
    async fn ready(&self) -> ReadinessResponse {
        let readiness = Readiness::check(&self.app, &self.lifecycle).await;
        let is_ready = readiness.is_ready();
        let report = Json(ReadinessReport {
            status: is_ready.into(),
            database: readiness.database.into(),
            denylist: readiness.denylist.into(),
            clock: readiness.clock.into(),
            serving: readiness.serving.into(),
        });
        if is_ready {
            ReadinessResponse::Ready(report)
        } else {
            ReadinessResponse::NotReady(report)
        }
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    vec![
        OperationSpec::new("livez").response("200", json!({ "status": "ok" })),
        OperationSpec::new("readyz")
            .response(
                "200",
                json!({
                    "status": "ok", "database": "ok", "denylist": "ok", "clock": "ok",
                    "serving": "ok",
                }),
            )
            .response(
                "503",
                json!({
                    "status": "failing", "database": "failing", "denylist": "ok", "clock": "ok",
                    "serving": "ok",
                }),
            ),
    ]
}
