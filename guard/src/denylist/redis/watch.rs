//! Background task that keeps the connection, the inspection of its server and the epoch marker current.

use std::time::{Duration, Instant};

use super::trust::{Distrust, EpochAuthority, MarkerRenewal};
use super::{InspectedConnection, RedisHandle, RedisHandleError};
use crate::backoff::Backoff;

/// Often enough that a lease is renewed although one inspection fails.
const INSPECT_EVERY: Duration = Duration::from_millis(250);
/// The same for a copy that no check asks for: still within a lease, so that the first check finds it trusted.
pub const IDLE_INTERVAL: Duration = Duration::from_millis(700);
/// Interval of renewals of the epoch marker; much shorter than its lifetime.
const RENEW_MARKER_EVERY: Duration = Duration::from_secs(5);
/// Pause between two attempts to connect: the first and the longest.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Event for the log.
#[derive(Clone, Copy, Debug)]
pub enum TrustEvent<'a> {
    /// Redis is distrusted for another reason than before, or is trusted again (`None`).
    Changed(Option<&'a Distrust>),
    /// An attempt to connect has failed.
    ConnectionFailed(&'a RedisHandleError),
}

impl<A: EpochAuthority> RedisHandle<A> {
    /// Keeps the connection and the inspection of its server current, without end, and reports each
    /// event.
    pub async fn keep_current(&self, mut report: impl FnMut(TrustEvent<'_>) + Send) {
        let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
        let mut renewed_at = None;
        let mut reported = None;
        loop {
            let pause = match self.current() {
                // A failure drops the connection, which causes distrust.
                Some(inspected) => {
                    if let Ok(inspected) = self.reinspect(&inspected).await {
                        self.renew_marker_if_due(&inspected, &mut renewed_at).await;
                    }
                    INSPECT_EVERY
                }
                None => match self.connect().await {
                    Ok(inspected) => {
                        backoff.reset();
                        self.renew_marker_if_due(&inspected, &mut renewed_at).await;
                        INSPECT_EVERY
                    }
                    Err(error) => {
                        report(TrustEvent::ConnectionFailed(&error));
                        backoff.wait()
                    }
                },
            };
            let distrust = self.distrust();
            if distrust != reported {
                report(TrustEvent::Changed(distrust.as_ref()));
                reported = distrust;
            }
            tokio::select! {
                () = self.demand().wait(pause, pause.max(IDLE_INTERVAL)) => {}
                () = self.connection_dropped() => {}
            }
        }
    }

    async fn renew_marker_if_due(
        &self,
        inspected: &InspectedConnection,
        renewed_at: &mut Option<Instant>,
    ) {
        if A::MARKER_RENEWAL == MarkerRenewal::ByOthers
            || !is_renewal_due(*renewed_at, Instant::now(), self.distrust().as_ref())
        {
            return;
        }
        match inspected.connection.renew_marker().await {
            Ok(()) => *renewed_at = Some(Instant::now()),
            Err(_) => self.drop_connection(inspected),
        }
    }
}

/// The marker of a distrusted copy is never renewed: readers without SQL would trust the copy.
fn is_renewal_due(renewed_at: Option<Instant>, now: Instant, distrust: Option<&Distrust>) -> bool {
    let is_due = renewed_at.is_none_or(|then| now.duration_since(then) >= RENEW_MARKER_EVERY);
    is_due && distrust.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_renewed_regularly_while_redis_is_trusted() {
        let then = Instant::now();
        let after = |time: Duration, distrust| is_renewal_due(Some(then), then + time, distrust);

        assert!(is_renewal_due(None, then, None));
        assert!(after(RENEW_MARKER_EVERY, None));
        assert!(!after(Duration::from_millis(4_999), None));
        assert!(!after(RENEW_MARKER_EVERY, Some(&Distrust::NotBackfilled)));
        assert!(!is_renewal_due(None, then, Some(&Distrust::OtherServer)));
    }
}
