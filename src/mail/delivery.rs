//! Delivery of the mails that wait in the outbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::smtp::LONGEST_CONVERSATION;
use super::transport::{FailureReach, MOST_CONNECTIONS};
use super::{Mail, MailContent, MailSender};
use crate::derived_keys::DerivedKeys;
use crate::error::error_chain;
use crate::store::{Channel, ClaimedDelivery, Store, StoreError};
use latchet_guard::clock::{Clock, Time};

/// Most mails that are claimed at once.
const BATCH_SIZE: u32 = 32;

/// Time for which a mail is claimed. No attempt begins that could end after it: another server may then send the mail.
const CLAIM_TIME: Duration = Duration::from_mins(1);

/// Longest time from the beginning of an attempt until its outcome is recorded.
const LONGEST_ATTEMPT: Duration =
    Duration::from_secs(LONGEST_CONVERSATION.as_secs() + crate::store::QUERY_DEADLINE.as_secs());

/// Longest time between two looks at the outbox, in which mails of servers that have ended wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Shortest pause without a signal. Another server may be claiming what is due.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Pause after a fault of the database or of the mail server. After the latter, one mail at a time is tried.
const FAULT_PAUSE: Duration = Duration::from_secs(10);

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

/// Delivers mails until their sender stops.
#[derive(Debug)]
pub(crate) struct MailDelivery {
    pub(crate) sender: Arc<MailSender>,
    pub(crate) store: Store,
    pub(crate) derived: Arc<DerivedKeys>,
    pub(crate) clock: Clock,
}

/// Outcome of one look at the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// There was something to do, and perhaps there is more.
    Worked,
    /// Other mails would fail as well.
    Failing,
    /// Nothing is due before this time.
    Idle(Option<Time>),
}

/// A failed attempt.
struct FailedAttempt {
    cause: String,
    reach: FailureReach,
}

impl MailDelivery {
    /// Delivers mails until [`MailSender::stop`] is called, or the future is dropped.
    pub(crate) async fn run(&self) {
        let mut is_failing = false;
        while !self.sender.is_stopping() {
            // A mail server that is down gets one mail at a time: the others keep their short pauses.
            let limit = if is_failing { 1 } else { BATCH_SIZE };
            match self.deliver_due(limit).await {
                Ok(Round::Worked) => is_failing = false,
                Ok(Round::Failing) => {
                    is_failing = true;
                    self.pause(FAULT_PAUSE).await;
                }
                Ok(Round::Idle(next)) => {
                    self.sender.close_idle_connections().await;
                    self.wait_for_mail(next).await;
                }
                Err(error) => {
                    let error = error_chain(&error).join(": ");
                    tracing::warn!(error, "cannot read the mails that wait; retrying");
                    self.pause(FAULT_PAUSE).await;
                }
            }
        }
    }

    /// Sends mails whose time has come, at most `limit`.
    async fn deliver_due(&self, limit: u32) -> Result<Round, StoreError> {
        let _sending = self.sender.sending().await;
        if self.sender.is_stopping() {
            return Ok(Round::Idle(None));
        }
        let now = self.clock.now();
        // A claim is a write, also when there is nothing to claim.
        let next = self.store.next_delivery_at(Channel::Mail).await?;
        if next.is_none_or(|next| next > now) {
            return Ok(Round::Idle(next));
        }
        let claimed = self
            .store
            .claim_deliveries(Channel::Mail, limit, now, CLAIM_TIME)
            .await?;
        if claimed.is_empty() {
            return Ok(Round::Idle(next));
        }
        let is_failing = AtomicBool::new(false);
        let is_failing = &is_failing;
        stream::iter(claimed)
            .for_each_concurrent(MOST_CONNECTIONS, |delivery| async move {
                if let Err(error) = self.deliver(&delivery, is_failing).await {
                    let error = error_chain(&error).join(": ");
                    // The mail is sent again when the claim has ended.
                    tracing::warn!(mail.id = %delivery.id, error, "cannot record a delivery");
                }
            })
            .await;
        Ok(if is_failing.load(Ordering::Relaxed) {
            Round::Failing
        } else {
            Round::Worked
        })
    }

    async fn deliver(
        &self,
        delivery: &ClaimedDelivery,
        is_failing: &AtomicBool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        if now.since(delivery.created_at) > LONGEST_WAIT {
            return self
                .give_up(delivery, "it waited for longer than a day", now)
                .await;
        }
        let has_time = delivery.claimed_until.since(now) >= LONGEST_ATTEMPT;
        if is_failing.load(Ordering::Relaxed) || self.sender.is_stopping() || !has_time {
            return self.store.return_delivery(delivery, now).await;
        }
        match self.attempt(delivery).await {
            Ok(()) => self.store.delete_delivery(delivery).await,
            Err(failed) => {
                if failed.reach == FailureReach::AllMails {
                    is_failing.store(true, Ordering::Relaxed);
                }
                self.record_failure(delivery, failed).await
            }
        }
    }

    /// Sends a mail, unless it is a decoy.
    async fn attempt(&self, delivery: &ClaimedDelivery) -> Result<(), FailedAttempt> {
        let mail = Mail::open(delivery, &self.derived).map_err(|error| FailedAttempt {
            cause: error_chain(&error).join(": "),
            // Perhaps a server with the other secret, or of the other version, can read it.
            reach: FailureReach::ThisMail,
        })?;
        if matches!(mail.content, MailContent::Decoy) {
            return Ok(());
        }
        let sent = self.sender.send(&delivery.id, &mail).await;
        sent.map_err(|error| FailedAttempt {
            cause: error.cause,
            reach: error.reach,
        })?;
        self.sender.counters().sent.inc();
        tracing::debug!(mail.id = %delivery.id, kind = ?mail.content, "mail sent");
        Ok(())
    }

    async fn record_failure(
        &self,
        delivery: &ClaimedDelivery,
        FailedAttempt { cause, reach }: FailedAttempt,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let Some(next) = next_try(delivery, reach, now) else {
            return self.give_up(delivery, &cause, now).await;
        };
        self.sender.counters().postponed.inc();
        tracing::warn!(mail.id = %delivery.id, tries = delivery.tries, cause, "a mail was not sent; retrying later");
        self.store.postpone_delivery(delivery, next).await
    }

    async fn give_up(
        &self,
        delivery: &ClaimedDelivery,
        cause: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        self.sender.counters().given_up.inc();
        tracing::error!(mail.id = %delivery.id, tries = delivery.tries, cause, "a mail is given up");
        self.store.fail_delivery(delivery, now).await
    }

    /// Waits until `next`, or until this process has written a mail.
    async fn wait_for_mail(&self, next: Option<Time>) {
        let wait = next.map(|next| next.since(self.clock.now()));
        let wait = wait.unwrap_or(LONGEST_PAUSE);
        let pause = self.pause(wait.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        tokio::select! {
            () = self.store.outbox_signal().notified() => {}
            () = pause => {}
        }
    }

    /// Waits, but not longer than for the stop.
    async fn pause(&self, time: Duration) {
        // The result says which of them it was.
        let _ = tokio::time::timeout(time, self.sender.stopping()).await;
    }
}

/// Returns the time of the next attempt; `None` if the mail is given up.
fn next_try(delivery: &ClaimedDelivery, reach: FailureReach, now: Time) -> Option<Time> {
    if reach == FailureReach::ThisMailForGood && delivery.tries >= MOST_REFUSALS {
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
        let mut pauses = Vec::new();
        let mut tries = 1;
        while let Some(next) = next_try(&delivery(tries), FailureReach::AllMails, now) {
            pauses.push(next.since(now));
            now = next;
            tries += 1;
        }

        assert_eq!(pauses[..7], PAUSES);
        assert!(
            pauses[7..].iter().all(|pause| *pause == PAUSES[6]),
            "{pauses:?}"
        );
        let waited = now.since(Time::from_secs(0));
        assert!(
            waited <= LONGEST_WAIT && waited + PAUSES[6] > LONGEST_WAIT,
            "{waited:?}"
        );
    }

    #[test]
    fn a_mail_that_the_server_refuses_for_good_is_given_up_after_three_attempts() {
        let now = Time::from_secs(0);
        let next = |tries, reach| next_try(&delivery(tries), reach, now);

        assert!(next(2, FailureReach::ThisMailForGood).is_some());
        assert_eq!(next(3, FailureReach::ThisMailForGood), None);
        for reach in [FailureReach::ThisMail, FailureReach::AllMails] {
            assert!(next(3, reach).is_some(), "{reach:?}");
        }
    }

    #[test]
    fn a_claim_has_time_for_an_attempt() {
        assert!(CLAIM_TIME > LONGEST_ATTEMPT);
    }
}
