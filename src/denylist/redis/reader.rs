//! Reader of the copy in Redis, for a service without SQL.
//!
//! A denial that is found is true, even if other entries were lost. A missing denial counts only if the
//! copy is marked as complete, its epoch names this server, and a Latchet server has recently renewed
//! the epoch marker. A reader cannot see that SQL no longer trusts the copy; it notices when the marker
//! is not renewed. `docs/other-services.md` explains why this is sufficient.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::{Answer, FILLING, Fault, Line, Moment, Standing, Target, filled_server};
use crate::backoff::Backoff;
use crate::clock::{Clock, Time};
use crate::denylist::{Denial, Denylist, TokenIds, TokenStatus, Unavailable};
use crate::token::Claims;

/// Twice the interval of renewals: a single late renewal is no reason for distrust.
const VOUCHED_WITHIN: Duration = Duration::from_secs(10);
/// Often enough that a lease is renewed although one inspection fails.
const EVERY: Duration = Duration::from_millis(250);
/// Pause between two attempts to connect: the first and the longest.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A [`Denylist`] that reads the entries of Latchet's servers in Redis, and writes nothing.
///
/// Commands it needs: `MGET GET PTTL INFO TIME`, on keys `latchet:{deny}:*`; with Sentinel also
/// `SENTINEL`, with Cluster also `CLUSTER`.
#[derive(Debug)]
pub struct RedisReader {
    line: Arc<Line>,
    /// Denylist to use while Redis cannot be trusted.
    fallback: Option<Arc<dyn Denylist>>,
    /// Ends when the reader is dropped.
    _watching: JoinSet<()>,
}

/// Reason why a missing denial does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doubt {
    NotConnected,
    NotInspected,
    Fault(Fault),
    NotComplete,
    OtherServer,
    NotVouched,
}

impl RedisReader {
    /// Returns a reader of the copy at `target`. It connects in the background: earlier checks fail with
    /// [`Unavailable`], or use the fallback.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(target: Target, clock: Clock) -> Self {
        let line = Arc::new(Line::new(target, clock));
        let mut watching = JoinSet::new();
        watching.spawn(watch(Arc::clone(&line)));
        Self {
            line,
            fallback: None,
            _watching: watching,
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
    pub fn doubt(&self) -> Option<String> {
        doubt(&self.line).map(|doubt| doubt.to_string())
    }

    /// Returns the status of a token in Redis, if it is trusted.
    async fn read(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, Doubt> {
        let began = Moment {
            instant: Instant::now(),
            time: now,
        };
        let link = self.line.link().ok_or(Doubt::NotConnected)?;
        let believed = believable(&link.standing, began);
        let epoch = believed.as_ref().copied().unwrap_or_default();
        match (link.connection.ask(ids, epoch).await, believed) {
            (Ok(Answer::Revoked), _) => Ok(TokenStatus::Revoked),
            (Ok(Answer::Outdated), _) => Ok(TokenStatus::Outdated),
            (_, Err(doubt)) => Err(doubt),
            (Ok(Answer::Clear), Ok(_)) => Ok(TokenStatus::NotDenied),
            (Ok(Answer::Doubtful), Ok(_)) => Err(Doubt::NotComplete),
            (Err(_), Ok(_)) => {
                self.line.drop_link(&link);
                Err(Doubt::NotConnected)
            }
        }
    }
}

#[async_trait]
impl Denylist for RedisReader {
    async fn check(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, Unavailable> {
        match (self.read(ids, now).await, &self.fallback) {
            (Ok(status), _) => Ok(status),
            (Err(_), Some(fallback)) => fallback.check(ids, now).await,
            (Err(doubt), None) => Err(unavailable(&doubt)),
        }
    }

    async fn check_token(
        &self,
        token: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<TokenStatus, Unavailable> {
        match (self.read(claims.into(), now).await, &self.fallback) {
            (Ok(status), _) => Ok(status),
            (Err(_), Some(fallback)) => fallback.check_token(token, claims, now).await,
            (Err(doubt), None) => Err(unavailable(&doubt)),
        }
    }

    /// Fails: tokens are revoked at the server that issued them.
    async fn deny(&self, _: &[Denial], _: Time) -> Result<(), Unavailable> {
        Err(Unavailable(Some(
            "this service only reads the denylist".into(),
        )))
    }
}

fn unavailable(doubt: &Doubt) -> Unavailable {
    Unavailable(Some(format!("Redis is not trusted: {doubt}").into()))
}

/// Returns the epoch for which a missing denial counts, or the reason why it does not count.
fn believable(standing: &Standing, now: Moment) -> Result<&str, Doubt> {
    if let Some(fault) = standing.fault() {
        return Err(Doubt::Fault(fault));
    }
    if !standing.is_current(now) {
        return Err(Doubt::NotInspected);
    }
    let inspection = &standing.inspection;
    let mark = inspection.mark.as_deref();
    let epoch = mark.filter(|mark| !mark.starts_with(FILLING));
    let epoch = epoch.ok_or(Doubt::NotComplete)?;
    if filled_server(epoch) != Some(&*inspection.identity) {
        return Err(Doubt::OtherServer);
    }
    let since_asked = now
        .instant
        .saturating_duration_since(standing.asked.instant);
    let vouched = inspection.vouched.map(|ago| ago + since_asked);
    if vouched.is_none_or(|ago| ago > VOUCHED_WITHIN) {
        return Err(Doubt::NotVouched);
    }
    Ok(epoch)
}

fn doubt(line: &Line) -> Option<Doubt> {
    match line.link() {
        None => Some(Doubt::NotConnected),
        Some(open) => believable(&open.standing, line.moment()).err(),
    }
}

/// Keeps the connection and the inspection of its server current, without end.
async fn watch(line: Arc<Line>) {
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    let mut said = None;
    loop {
        let pause = match line.link() {
            // A failure drops the connection, which causes distrust.
            Some(open) => {
                let _inspected = line.inspect_again(&open).await;
                EVERY
            }
            None => match line.connect().await {
                Ok(_) => {
                    backoff.reset();
                    EVERY
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
        let found = doubt(&line);
        if found != said {
            note(found.as_ref());
            said = found;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = line.dropped() => {}
        }
    }
}

/// Logs why Redis is not trusted, or that it is trusted.
fn note(found: Option<&Doubt>) {
    match found {
        None => tracing::info!("the denylist in Redis is trusted"),
        Some(doubt) => tracing::warn!(reason = %doubt, "the denylist in Redis is not trusted"),
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "it is not connected",
            Self::NotInspected => "it has not answered for a second",
            Self::Fault(fault) => return fault.fmt(f),
            Self::NotComplete => {
                "no Latchet server has backfilled it, or a backfill is in progress"
            }
            Self::OtherServer => {
                "it is not the server that was backfilled, or it may have lost data since"
            }
            Self::NotVouched => "no Latchet server has renewed its epoch marker recently",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denylist::redis::{Inspection, LEASE, Unfit, new_epoch};

    struct Scene {
        standing: Standing,
        now: Moment,
    }

    fn good() -> Scene {
        let now = Moment {
            instant: Instant::now(),
            time: Time::from_secs(1_000),
        };
        let inspection = Inspection {
            identity: "run.replid.0".into(),
            unfit: None,
            time: now.time,
            mark: Some(new_epoch("run.replid.0")),
            vouched: Some(Duration::from_secs(5)),
        };
        Scene {
            standing: Standing {
                inspection,
                asked: now,
            },
            now,
        }
    }

    #[test]
    fn a_complete_copy_on_its_own_server_is_believed() {
        let scene = good();

        let epoch = believable(&scene.standing, scene.now);

        assert_eq!(epoch.ok(), scene.standing.inspection.mark.as_deref());
    }

    #[test]
    fn each_condition_alone_is_reason_to_doubt() {
        type Spoil = fn(&mut Scene);
        let spoil: [(Spoil, Doubt); 8] = [
            (
                |scene| scene.standing.inspection.unfit = Some(Unfit::Replica),
                Doubt::Fault(Fault::Unfit(Unfit::Replica)),
            ),
            (
                |scene| {
                    scene.standing.inspection.time = scene.now.time + Duration::from_millis(30_001);
                },
                Doubt::Fault(Fault::ClockAhead),
            ),
            (
                |scene| scene.now.instant += LEASE + Duration::from_millis(1),
                Doubt::NotInspected,
            ),
            (
                |scene| scene.standing.inspection.mark = None,
                Doubt::NotComplete,
            ),
            (
                |scene| {
                    scene.standing.inspection.mark =
                        Some(format!("{FILLING}{}", new_epoch("run.replid.0")));
                },
                Doubt::NotComplete,
            ),
            (
                |scene| scene.standing.inspection.identity = "restarted.replid.0".into(),
                Doubt::OtherServer,
            ),
            (
                |scene| scene.standing.inspection.vouched = Some(VOUCHED_WITHIN + LEASE),
                Doubt::NotVouched,
            ),
            (
                |scene| scene.standing.inspection.vouched = None,
                Doubt::NotVouched,
            ),
        ];

        for (spoil, expected) in spoil {
            let mut scene = good();
            spoil(&mut scene);
            assert_eq!(believable(&scene.standing, scene.now), Err(expected));
        }
    }

    #[test]
    fn a_word_for_the_copy_ages_while_nobody_looks() {
        let mut scene = good();
        scene.standing.inspection.vouched = Some(VOUCHED_WITHIN);

        assert!(believable(&scene.standing, scene.now).is_ok());
        scene.now.instant += Duration::from_millis(1);
        assert_eq!(
            believable(&scene.standing, scene.now),
            Err(Doubt::NotVouched)
        );
    }
}
