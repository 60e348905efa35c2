//! Delivery of the mails that wait in the outbox.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::transport::MOST_CONNECTIONS;
use super::{Mail, MailContent, MailSender, SendError};
use crate::derived_keys::DerivedKeys;
use crate::error::error_chain;
use crate::store::{Channel, ClaimedDelivery, Store, StoreError};
use latchet_guard::clock::{Clock, Time};

/// Most mails that are claimed at once.
const BATCH_SIZE: u32 = 32;

/// Time for which a mail is claimed. All mails of a batch are sent in a shorter time, or their attempts have failed.
const CLAIM_TIME: Duration = Duration::from_mins(2);

/// Longest time between two looks at the outbox, in which mails of servers that have ended wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pause after a fault of the database.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

/// Times from one attempt to the next. After the last one each attempt waits that long.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(6),
];

/// Age at which a mail is given up.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Attempts after which a mail is given up that the server refuses for good.
const MOST_REFUSALS: u32 = 3;

/// Delivers mails until it is dropped.
#[derive(Debug)]
pub(crate) struct MailDelivery {
    pub(crate) sender: Arc<MailSender>,
    pub(crate) store: Store,
    pub(crate) derived: Arc<DerivedKeys>,
    pub(crate) clock: Clock,
}

impl MailDelivery {
    /// Delivers mails without end.
    pub(crate) async fn run(&self) {
        let mut is_failing = false;
        loop {
            let pause = match self.deliver_batch().await {
                Ok(0) => self.pause().await,
                Ok(_) => Ok(Duration::ZERO),
                Err(error) => Err(error),
            };
            let pause = match pause {
                Ok(pause) => {
                    is_failing = false;
                    pause
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        let error = error_chain(&error).join(": ");
                        tracing::warn!(error, "cannot read the mails that wait; retrying");
                    }
                    FAULT_PAUSE
                }
            };
            if !pause.is_zero() {
                // Either the time of the next mail comes, or this process writes another one.
                let written = self.store.outbox_signal().notified();
                let _ = tokio::time::timeout(pause, written).await;
            }
        }
    }

    /// Sends the mails whose time has come, as many as one claim takes. Returns their number.
    async fn deliver_batch(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let claimed = self
            .store
            .claim_deliveries(Channel::Mail, BATCH_SIZE, now, CLAIM_TIME)
            .await?;
        let count = claimed.len();
        stream::iter(claimed)
            .for_each_concurrent(MOST_CONNECTIONS as usize, |delivery| async move {
                if let Err(error) = self.deliver(&delivery).await {
                    let error = error_chain(&error).join(": ");
                    // The mail is sent again when the claim has ended.
                    tracing::warn!(mail.id = %delivery.id, error, "cannot record a delivery");
                }
            })
            .await;
        Ok(count)
    }

    async fn deliver(&self, delivery: &ClaimedDelivery) -> Result<(), StoreError> {
        let mail = match Mail::open(delivery, &self.derived) {
            Ok(mail) => mail,
            Err(error) => {
                let error = error_chain(&error).join(": ");
                return self.record_failure(delivery, &error, false).await;
            }
        };
        if matches!(mail.content, MailContent::Decoy) {
            return self.store.delete_delivery(delivery).await;
        }
        match self.sender.send(&delivery.id, &mail).await {
            Ok(()) => {
                tracing::debug!(mail.id = %delivery.id, kind = ?mail.content, "mail sent");
                self.store.delete_delivery(delivery).await
            }
            Err(SendError {
                cause,
                is_permanent,
            }) => self.record_failure(delivery, &cause, is_permanent).await,
        }
    }

    async fn record_failure(
        &self,
        delivery: &ClaimedDelivery,
        cause: &str,
        is_permanent: bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let Some(next) = next_try(delivery, is_permanent, now) else {
            tracing::error!(mail.id = %delivery.id, tries = delivery.tries, cause, "a mail is given up");
            return self.store.fail_delivery(delivery, now).await;
        };
        tracing::warn!(mail.id = %delivery.id, tries = delivery.tries, cause, "a mail was not sent; retrying later");
        self.store.postpone_delivery(delivery, next).await
    }

    /// Returns the time until the next mail, or the longest pause.
    async fn pause(&self) -> Result<Duration, StoreError> {
        let next = self.store.next_delivery_at(Channel::Mail).await?;
        let wait = next.map(|next| next.since(self.clock.now()));
        // At least a moment: the clock of another server may be ahead.
        let least = Duration::from_millis(100);
        Ok(wait.unwrap_or(LONGEST_PAUSE).clamp(least, LONGEST_PAUSE))
    }
}

/// Returns the time of the next attempt; `None` if the mail is given up.
fn next_try(delivery: &ClaimedDelivery, is_permanent: bool, now: Time) -> Option<Time> {
    if is_permanent && delivery.tries >= MOST_REFUSALS {
        return None;
    }
    let failures = usize::try_from(delivery.tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = PAUSES[failures.min(PAUSES.len() - 1)];
    let next = now + pause;
    (next.since(delivery.created_at) <= LONGEST_WAIT).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(tries: u32) -> ClaimedDelivery {
        ClaimedDelivery {
            id: "a".to_owned(),
            user: None,
            sealed_payload: String::new(),
            tries,
            created_at: Time::from_secs(0),
            claimed_until: Time::from_secs(60),
        }
    }

    #[test]
    fn attempts_become_rarer_for_a_day() {
        let mut now = Time::from_secs(0);
        let mut attempts = 0;
        while let Some(next) = next_try(&delivery(attempts + 1), false, now) {
            assert!(next > now);
            now = next;
            attempts += 1;
        }

        assert_eq!(next_try(&delivery(1), false, Time::from_secs(0)), Some(Time::from_secs(10)));
        assert_eq!(next_try(&delivery(3), false, Time::from_secs(0)), Some(Time::from_secs(300)));
        assert!(now.since(Time::from_secs(0)) > Duration::from_hours(16));
        assert!((7..12).contains(&attempts), "{attempts}");
    }

    #[test]
    fn a_mail_that_the_server_refuses_for_good_is_given_up_after_three_attempts() {
        let now = Time::from_secs(0);

        assert!(next_try(&delivery(2), true, now).is_some());
        assert_eq!(next_try(&delivery(3), true, now), None);
        assert!(next_try(&delivery(3), false, now).is_some());
    }
}
