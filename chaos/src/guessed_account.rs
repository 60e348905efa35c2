//! Accounts whose passwords a stranger guesses, and the owner of one, who has a known device.

use std::time::Duration;

use chaos::history::Action;
use futures_util::future::{join, join_all};
use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientResponse};
use crate::device::{Device, password};
use crate::request_spec::RequestSpec;

/// An account that nobody uses.
pub(crate) const GUESSED: &str = "guessed";

/// An account whose owner logs in all the while.
pub(crate) const GUESSED_ACCOUNT: &str = "besieged";

/// The owner of the account that strangers guess at.
#[derive(Debug)]
pub(crate) struct AccountOwner {
    client: Client,
    random: fastrand::Rng,
    /// True when a login has succeeded.
    is_known: bool,
    /// Lets the next login pass as that of a known device.
    token: Option<String>,
}

impl AccountOwner {
    pub(crate) fn new(client: Client, random: fastrand::Rng) -> Self {
        Self {
            client,
            random,
            is_known: false,
            token: None,
        }
    }

    /// Logs in once before the first guess, and again and again while the guesser is at it.
    pub(crate) async fn work(mut self, guesser: Client, end: Instant) -> Option<Device> {
        self.log_in().await;
        let random = self.random.fork();
        let visits = async {
            while Instant::now() < end {
                sleep(Duration::from_millis(self.random.u64(800..2500))).await;
                self.log_in().await;
            }
        };
        join(visits, guess(guesser, random, end)).await;
        None
    }

    /// Logs in and out, so that sessions do not pile up.
    async fn log_in(&mut self) {
        let replica = self.random.usize(..self.client.replicas());
        let login = RequestSpec::login(GUESSED_ACCOUNT, 0, &password(GUESSED_ACCOUNT, 0));
        let mut login = login.on_device(self.token.as_deref());
        if self.is_known {
            login = login.on_known_device();
        }
        let answer = self.client.ask(login, replica).await;
        let Some(grant) = answer.grant() else { return };
        self.is_known = true;
        self.token = grant.device.clone().or(self.token.take());
        let logout = RequestSpec::of(GUESSED_ACCOUNT, &grant, Action::LogOut);
        self.client.ask(logout, replica).await;
    }
}

/// Guesses as fast as the servers let it, and then now and then.
async fn guess(client: Client, mut random: fastrand::Rng, end: Instant) {
    while Instant::now() < end {
        let replicas = client.replicas();
        let guesses = [GUESSED, GUESSED, GUESSED, GUESSED_ACCOUNT].map(|name| {
            let number = random.u32(1000..);
            let wrong = format!("a wrong guess, number {number}");
            let replica = random.usize(..replicas);
            let client = &client;
            async move {
                client
                    .ask(RequestSpec::login(name, number, &wrong), replica)
                    .await
            }
        });
        if join_all(guesses)
            .await
            .iter()
            .any(ClientResponse::is_unknown)
        {
            sleep(Duration::from_millis(random.u64(200..800))).await;
        }
    }
}
