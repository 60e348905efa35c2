//! A device of a user, with tabs that share its storage.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos::history::{Action, RequestOutcome};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::GRACE;
use crate::client::{Client, ClientResponse, TokenGrant};
use crate::request_spec::RequestSpec;
use crate::workload::{EndedSession, EndedSessions};

/// Beginning of all passwords, so that they are found where none may be.
pub(crate) const CANARY: &str = "canary-of-the-chaos";

/// After so many microseconds a token has expired by every clock.
const EXPIRED: u64 = 1_500_000;

/// Actions per thousand that end no session.
const CALM_PER_MILLE: u32 = 910;

/// Somebody with an account.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    /// True when nothing but faults happens to the sessions, so that access tokens outlive their time.
    pub(crate) ends_no_sessions: bool,
    /// Held while one is used: a change and a login wait for each other.
    passwords: tokio::sync::Mutex<Passwords>,
    /// The sessions of all devices, by number of the device.
    sessions: Mutex<Vec<Option<String>>>,
}

#[derive(Debug)]
struct Passwords {
    /// Passwords that may be the current one; the most likely first.
    possible: Vec<u32>,
    next: u32,
}

impl Person {
    /// Returns a user with the password that [`password`] derives from 0.
    pub(crate) fn new(name: String, ends_no_sessions: bool, devices: usize) -> Self {
        Self {
            name,
            ends_no_sessions,
            passwords: tokio::sync::Mutex::new(Passwords {
                possible: vec![0],
                next: 1,
            }),
            sessions: Mutex::new(vec![None; devices]),
        }
    }
}

/// Returns a password of a user, by its number.
pub(crate) fn password(name: &str, number: u32) -> String {
    format!("{CANARY}-{name}-{number}")
}

/// One device of a person.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) client: Client,
    pub(crate) thief: Client,
    pub(crate) person: Arc<Person>,
    pub(crate) number: usize,
    pub(crate) ended_sessions: Arc<EndedSessions>,
    pub(crate) random: fastrand::Rng,
    pub(crate) jar: Option<Jar>,
    /// Lets the next login pass as that of a known device.
    pub(crate) token: Option<String>,
    pub(crate) end: Instant,
}

/// State shared by the tabs of a device.
#[derive(Debug)]
pub(crate) struct Jar {
    grant: TokenGrant,
    /// Sent with this token until it is answered.
    key: u64,
    /// Earlier tokens, and since when they may have a successor; the newest last.
    past: Vec<(TokenGrant, Instant)>,
    /// A copied token, and when the thief presents it.
    stolen: Option<(TokenGrant, Instant)>,
}

impl Device {
    /// Uses the device until its end, and returns it.
    pub(crate) async fn work(mut self) -> Option<Self> {
        while Instant::now() < self.end {
            if self.jar.is_none() {
                self.log_in().await;
            }
            let calm = if self.person.ends_no_sessions {
                CALM_PER_MILLE
            } else {
                1000
            };
            match self.random.u32(..calm) {
                0..520 => self.check().await,
                520..910 => {
                    let tabs = self.random.usize(1..4);
                    self.refresh(tabs).await;
                }
                910..925 => self.log_out(Action::LogOut).await,
                925..928 => self.log_out(Action::LogOutEverywhere).await,
                928..935 => self.revoke_another().await,
                935..941 => self.change_password().await,
                941..976 => self.copy_token_for_theft(),
                _ => self.wake_slow_tab().await,
            }
            self.present_stolen_token().await;
            self.present_expired_access_token().await;
            sleep(Duration::from_millis(self.random.u64(5..60))).await;
        }
        Some(self)
    }

    fn replica(&mut self) -> usize {
        self.random.usize(..self.client.replicas())
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.random.u64(50..250))).await;
    }

    fn keep(&mut self, grant: Option<TokenGrant>) {
        let device = grant.as_ref().and_then(|grant| grant.device.clone());
        self.token = device.or(self.token.take());
        let session = grant.as_ref().map(|grant| grant.session.clone());
        self.person.sessions.lock().expect("no holder panics")[self.number] = session;
        self.jar = grant.map(|grant| Jar {
            grant,
            key: self.random.u64(..),
            past: Vec::new(),
            stolen: None,
        });
    }

    /// Records that the session has ended: its tokens are probed again and again.
    fn record_end(&mut self) {
        if let Some(jar) = self.jar.take() {
            let mut ended_sessions = self.ended_sessions.lock().expect("no holder panics");
            ended_sessions.push(EndedSession::of(&self.person.name, jar.grant));
        }
        self.keep(None);
    }

    /// Logs in with the password, or with one that may have replaced it.
    pub(crate) async fn log_in(&mut self) {
        let person = Arc::clone(&self.person);
        let mut passwords = person.passwords.lock().await;
        while Instant::now() < self.end {
            for number in passwords.possible.clone() {
                let replica = self.replica();
                let ask = RequestSpec::login(&person.name, number, &password(&person.name, number));
                let ask = ask.on_device(self.token.as_deref());
                let answer = self.client.ask(ask, replica).await;
                if let Some(grant) = answer.grant() {
                    // Others may still become it: unacknowledged changes may be under way.
                    passwords.possible.sort_by_key(|other| *other != number);
                    self.keep(Some(grant));
                    return;
                }
            }
            // Disabled, or no replica responds: a user waits a moment.
            sleep(Duration::from_millis(self.random.u64(300..900))).await;
        }
    }

    /// Sends a request with the access token.
    pub(crate) async fn check(&mut self) {
        let replica = self.replica();
        let Some(jar) = &self.jar else { return };
        let ask = RequestSpec::of(&self.person.name, &jar.grant, Action::Check);
        let answer = self.client.ask(ask, replica).await;
        self.handle_refusal(&answer).await;
    }

    /// A refused client is signed out, unless a new access token is enough.
    async fn handle_refusal(&mut self, answer: &ClientResponse) {
        if answer.needs_refresh() {
            Box::pin(self.refresh(1)).await;
        } else if let RequestOutcome::Refused { code } = &answer.outcome
            && code != "not_found"
        {
            self.record_end();
        }
    }

    /// Several tabs present the one token at once, and again until a response arrives.
    pub(crate) async fn refresh(&mut self, tabs: usize) {
        let begun = Instant::now();
        while Instant::now() < self.end {
            let asked: Vec<(usize, Duration)> = (0..tabs)
                .map(|_| {
                    let patience = match self.random.u32(..10) {
                        0..2 => Duration::from_millis(self.random.u64(1..15)),
                        _ => Duration::from_secs(3),
                    };
                    (self.replica(), patience)
                })
                .collect();
            let Some(jar) = &mut self.jar else { return };
            let tabs = asked.into_iter().map(|(replica, patience)| {
                let ask = RequestSpec::refresh(&self.person.name, &jar.grant, Some(jar.key));
                self.client.ask(ask.give_up_after(patience), replica)
            });
            let answers = join_all(tabs).await;
            // What comes last is kept.
            let last = answers
                .iter()
                .filter(|answer| answer.is_ok())
                .max_by_key(|answer| answer.end);
            if let Some(grant) = last.and_then(ClientResponse::grant) {
                let past = std::mem::replace(&mut jar.grant, grant);
                jar.past.push((past, begun));
                jar.key = self.random.u64(..);
                return;
            }
            for answer in &answers {
                self.handle_refusal(answer).await;
            }
            if self.random.u32(..3) == 0 {
                // The laptop sleeps, and the lost response is requested again after grace.
                sleep(GRACE + Duration::from_millis(self.random.u64(200..900))).await;
            }
            self.pause().await;
        }
    }

    /// A tab that was busy for a while presents a token of some generations ago, within grace.
    async fn wake_slow_tab(&mut self) {
        let replica = self.replica();
        let Some(jar) = &self.jar else { return };
        let is_young = |since: &Instant| since.elapsed() < GRACE / 4;
        let Some((old, since)) = jar.past.iter().find(|(_, since)| is_young(since)).cloned() else {
            return;
        };
        let ask = RequestSpec::refresh(&self.person.name, &old, None).give_up_after(GRACE / 2);
        let answer = self.client.ask(ask, replica).await;
        // A slow request may have arrived after grace.
        if since.elapsed() < GRACE {
            self.handle_refusal(&answer).await;
        }
    }

    /// Ends the session, or all of the user; retries until that is acknowledged.
    async fn log_out(&mut self, action: Action) {
        while let Some(jar) = &self.jar
            && Instant::now() < self.end
        {
            let grant = jar.grant.clone();
            let replica = self.replica();
            let ask = RequestSpec::of(&self.person.name, &grant, action.clone());
            let answer = self.client.ask(ask, replica).await;
            if answer.needs_refresh() {
                self.refresh(1).await;
            } else if answer.is_unknown() {
                self.pause().await;
            } else {
                return self.record_end();
            }
        }
    }

    /// Ends the session of the person's other device.
    async fn revoke_another(&mut self) {
        let replica = self.replica();
        let Some(jar) = &self.jar else { return };
        let target = {
            let sessions = self.person.sessions.lock().expect("no holder panics");
            let mut others = sessions.iter().flatten();
            others.rfind(|other| **other != jar.grant.session).cloned()
        };
        let Some(target) = target else { return };
        let ask = RequestSpec::of(&self.person.name, &jar.grant, Action::Revoke { target });
        let answer = self.client.ask(ask, replica).await;
        self.handle_refusal(&answer).await;
    }

    /// Sends one request: an unacknowledged change may have been done.
    async fn change_password(&mut self) {
        let replica = self.replica();
        let person = Arc::clone(&self.person);
        let mut passwords = person.passwords.lock().await;
        let Some(jar) = &self.jar else { return };
        let [old] = passwords.possible[..] else {
            return;
        };
        let new = passwords.next;
        passwords.next += 1;
        let ask = RequestSpec::of(
            &person.name,
            &jar.grant,
            Action::ChangePassword { password: new },
        );
        let mut renewed = None;
        let begun = Instant::now();
        let answer = self
            .client
            .ask(
                ask.body(json!({
                    "current_password": password(&person.name, old),
                    "new_password": password(&person.name, new),
                })),
                replica,
            )
            .await;
        if answer.is_ok() {
            passwords.possible = vec![new];
            renewed = answer.grant();
        } else if answer.is_unknown() {
            passwords.possible.push(new);
        }
        drop(passwords);
        // The session continues with new tokens; after a lost response, the old ones return the same.
        if let (Some(grant), Some(jar)) = (renewed, &mut self.jar) {
            let past = std::mem::replace(&mut jar.grant, grant);
            jar.past.push((past, begun));
            jar.key = self.random.u64(..);
        } else if answer.is_unknown() {
            self.refresh(1).await;
        }
        self.handle_refusal(&answer).await;
    }

    /// Copies a token, to present it within grace or after it. One thief at a time: a later thief
    /// would replace one that still waits, and few would ever present a token.
    fn copy_token_for_theft(&mut self) {
        let late = if self.random.bool() {
            GRACE
        } else {
            Duration::ZERO
        };
        let wait = late + Duration::from_millis(self.random.u64(100..900));
        if let Some(jar) = &mut self.jar
            && jar.stolen.is_none()
            && let Some((token, since)) = jar.past.last()
        {
            jar.stolen = Some((token.clone(), *since + wait));
        }
    }

    /// Somebody presents an access token that was found, and has expired by now.
    async fn present_expired_access_token(&mut self) {
        let replica = self.replica();
        let Some(jar) = &mut self.jar else { return };
        let now = self.thief.now();
        let Some(old) = jar
            .past
            .first()
            .filter(|(old, _)| old.expires + EXPIRED < now)
            .cloned()
        else {
            return;
        };
        jar.past.remove(0);
        let ask = RequestSpec::of(&self.person.name, &old.0, Action::Check);
        self.thief.ask(ask, replica).await;
    }

    /// The copied token is presented when its time has come, with a key of the thief or none.
    async fn present_stolen_token(&mut self) {
        let replica = self.replica();
        let key = self.random.bool().then(|| self.random.u64(..));
        let Some(jar) = &mut self.jar else { return };
        let Some((token, _)) = jar.stolen.take_if(|(_, when)| Instant::now() > *when) else {
            return;
        };
        let ask = RequestSpec::refresh(&self.person.name, &token, key);
        self.thief.ask(ask, replica).await;
    }
}
