//! Somebody who logs in without end and never logs out, so that the limit of sessions is reached.

use std::sync::Arc;
use std::time::Duration;

use chaos::history::Action;
use tokio::time::{Instant, sleep};

use crate::MAX_SESSIONS;
use crate::client::{Client, TokenGrant};
use crate::device::{Device, password};
use crate::request_spec::RequestSpec;
use crate::workload::{EndedSession, EndedSessions};

/// The name of the account.
pub(crate) const SESSION_LIMIT_USER: &str = "hoarder";

/// Logins in a row: more than the limit, and quick enough for the access tokens of the first to be valid
/// when the last is there.
const BURST: usize = MAX_SESSIONS + 3;

/// The user with too many sessions.
#[derive(Debug)]
pub(crate) struct SessionLimitUser {
    client: Client,
    ended_sessions: Arc<EndedSessions>,
    random: fastrand::Rng,
    /// The newest last.
    kept: Vec<TokenGrant>,
}

impl SessionLimitUser {
    pub(crate) fn new(
        client: Client,
        ended_sessions: Arc<EndedSessions>,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            client,
            ended_sessions,
            random,
            kept: Vec::new(),
        }
    }

    /// Reaches the limit again and again.
    pub(crate) async fn work(mut self, end: Instant) -> Option<Device> {
        while Instant::now() < end {
            for _ in 0..BURST {
                if Instant::now() > end {
                    break;
                }
                self.log_in().await;
                if self.random.u32(..3) == 0 && !self.kept.is_empty() {
                    let place = self.random.usize(..self.kept.len());
                    self.refresh(place).await;
                }
            }
            self.check_all().await;
            sleep(Duration::from_millis(self.random.u64(4000..8000))).await;
        }
        None
    }

    fn replica(&mut self) -> usize {
        self.random.usize(..self.client.replicas())
    }

    async fn log_in(&mut self) {
        let replica = self.replica();
        let login = RequestSpec::login(SESSION_LIMIT_USER, 0, &password(SESSION_LIMIT_USER, 0));
        match self.client.ask(login, replica).await.grant() {
            Some(grant) => self.kept.push(grant),
            None => sleep(Duration::from_secs(1)).await,
        }
    }

    /// Uses a session, which so is no longer the one that was least recently used.
    async fn refresh(&mut self, place: usize) {
        let key = self.random.u64(..);
        let give_up = Instant::now() + Duration::from_secs(40);
        while Instant::now() < give_up {
            let replica = self.replica();
            let ask = RequestSpec::refresh(SESSION_LIMIT_USER, &self.kept[place], Some(key));
            let answer = self.client.ask(ask, replica).await;
            if let Some(grant) = answer.grant() {
                self.kept[place] = grant;
                return;
            }
            if !answer.is_unknown() {
                self.record_end(place);
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Checks every session, and keeps those that live.
    async fn check_all(&mut self) {
        for place in (0..self.kept.len()).rev() {
            let replica = self.replica();
            let ask = RequestSpec::of(SESSION_LIMIT_USER, &self.kept[place], Action::Check);
            if self.client.ask(ask, replica).await.is_over() {
                self.record_end(place);
            }
        }
        // One that ended so long ago that its access token has expired says so when it is refreshed.
        for place in (0..self.kept.len().saturating_sub(MAX_SESSIONS)).rev() {
            self.refresh(place).await;
        }
    }

    fn record_end(&mut self, place: usize) {
        let ended_session = EndedSession::of(SESSION_LIMIT_USER, self.kept.remove(place));
        self.ended_sessions
            .lock()
            .expect("no holder panics")
            .push(ended_session);
    }
}
