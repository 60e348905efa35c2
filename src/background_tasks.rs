//! The background tasks of a server.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::app::App;
use super::clock_check::ClockState;
use super::error::error_chain;
use super::mail::delivery::MailDelivery;
use super::password::PasswordHasher;
use super::store::{Store, StoreError};

/// Time between two reads of the costs of all stored passwords.
const COSTS_READ_INTERVAL: Duration = Duration::from_hours(1);

impl App {
    /// Starts the background tasks: they update the denylist, follow key changes of other replicas and
    /// delete obsolete rows, until the returned set is dropped. The lock of a SQLite file belongs to the set.
    pub fn spawn_background_tasks(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.revocations.denylist.maintain(&mut tasks);
        let keyring = self.signing_keys.keyring.clone();
        tasks.spawn(keyring.reload_periodically(Arc::clone(&self.verifier), self.clock.clone()));
        tasks.spawn(read_password_costs_periodically(
            self.store.clone(),
            self.accounts.passwords.clone(),
        ));
        let token_lifetimes = self.revocations.token_lifetimes.clone();
        tasks.spawn(async move { token_lifetimes.renew_periodically().await });
        let lock = self.server_lock.lock();
        let lock = lock.unwrap_or_else(PoisonError::into_inner).take();
        tasks.spawn(async move {
            let _held_until_dropped = lock;
            std::future::pending::<()>().await;
        });
        if let Some(sender) = &self.mail_sender {
            let delivery = MailDelivery {
                sender: Arc::clone(sender),
                store: self.store.clone(),
                derived: Arc::clone(&self.derived),
                clock: self.clock.clone(),
            };
            tasks.spawn(async move { delivery.run().await });
        }
        tasks.spawn(self.clock_check.clone().watch());
        let app = self.clone();
        tasks.spawn(async move { app.delete_expired_rows().await });
        tasks
    }

    /// Waits a short time for the mails that are being sent, and begins no other one.
    pub(super) async fn stop_mails(&self) {
        if let Some(sender) = &self.mail_sender {
            sender.stop().await;
        }
    }

    async fn delete_expired_rows(&self) {
        let every = self.config.collect_every;
        loop {
            match self.delete_obsolete_rows().await {
                Ok(0) => tokio::time::sleep(every).await,
                // There may be more than one chunk: go on, but let others write in between.
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => {
                    tracing::warn!(
                        error = error_chain(&error).join(": "),
                        "cannot delete obsolete rows; retrying later"
                    );
                    tokio::time::sleep(every).await;
                }
            }
        }
    }

    /// Deletes some obsolete rows, and none while the clock cannot be trusted.
    async fn delete_obsolete_rows(&self) -> Result<u64, StoreError> {
        match self.clock_check.state().await? {
            ClockState::Agrees => {
                let now = self.clock.now();
                let rows = self.store.delete_expired_rows(now).await?;
                let retention = self.config.event_retention;
                let events = self.store.delete_old_events(now, retention).await?;
                Ok(rows + events)
            }
            ClockState::Deviates(_) => Ok(0),
        }
    }
}

/// Reads the costs of the stored hashes, at the start and periodically: other servers may have stored hashes
/// with another cost.
async fn read_password_costs_periodically(store: Store, passwords: PasswordHasher) {
    loop {
        match store.password_costs().await {
            Ok(costs) => costs.iter().for_each(|cost| passwords.note_cost(cost)),
            Err(error) => tracing::warn!(%error, "cannot read the costs of stored passwords"),
        }
        tokio::time::sleep(COSTS_READ_INTERVAL).await;
    }
}
