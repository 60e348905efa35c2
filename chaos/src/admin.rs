//! An administrator: creates accounts, disables them and enables them again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chaos::history::Action;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientResponse, TokenGrant};
use crate::cluster::ADMIN;
use crate::device::{Device, Person, password};
use crate::request_spec::RequestSpec;

/// Longest time for a change, faults included.
const CHANGE_DEADLINE: Duration = Duration::from_secs(30);

/// An administrator with a session.
#[derive(Debug)]
pub(crate) struct Admin {
    client: Client,
    random: fastrand::Rng,
    grant: Option<TokenGrant>,
    /// Lets the next login pass as that of a known device.
    device: Option<String>,
    ids: BTreeMap<String, String>,
    /// True when some try of the last request got no response.
    pub(crate) was_lost: bool,
}

impl Admin {
    pub(crate) fn new(client: Client, random: fastrand::Rng) -> Self {
        Self {
            client,
            random,
            grant: None,
            device: None,
            ids: BTreeMap::new(),
            was_lost: false,
        }
    }

    fn replica(&mut self) -> usize {
        self.random.usize(..self.client.replicas())
    }

    /// Returns the id of the own account.
    pub(crate) fn id(&self) -> Option<String> {
        self.grant.as_ref().and_then(TokenGrant::subject)
    }

    async fn log_in(&mut self) {
        let replica = self.replica();
        // The number says that it is the first password, which nobody changes.
        let login = RequestSpec::login(ADMIN.0, 0, ADMIN.1).on_device(self.device.as_deref());
        self.grant = self.client.ask(login, replica).await.grant();
        let device = self.grant.as_ref().and_then(|grant| grant.device.clone());
        self.device = device.or(self.device.take());
        if self.grant.is_none() {
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn refresh(&mut self) {
        let Some(grant) = self.grant.take() else {
            return;
        };
        let answer = self.client.refresh(ADMIN.0, &grant, &mut self.random).await;
        self.grant = answer.as_ref().and_then(ClientResponse::grant);
    }

    /// Proves the password again, for requests that need a fresh access token.
    async fn reauthenticate(&mut self) {
        let replica = self.replica();
        let Some(grant) = &self.grant else { return };
        let ask = RequestSpec::of(ADMIN.0, grant, Action::Reauthenticate);
        let ask = ask.body(json!({"password": ADMIN.1}));
        let answer = self.client.ask(ask, replica).await;
        if answer.is_ok() {
            self.grant = answer.renewed(Some(grant));
        } else if answer.needs_refresh() {
            self.refresh().await;
        } else if answer.is_unknown() {
            sleep(Duration::from_millis(200)).await;
        } else {
            self.grant = None;
        }
    }

    /// Retries until there is a response, but not after `end`.
    pub(crate) async fn ask<'a>(
        &mut self,
        ask: impl Fn() -> RequestSpec<'a>,
        end: Instant,
    ) -> Option<ClientResponse> {
        self.was_lost = false;
        while Instant::now() < end {
            let replica = self.replica();
            let Some(grant) = &self.grant else {
                self.log_in().await;
                continue;
            };
            let answer = self.client.ask(ask().by(grant), replica).await;
            if answer.needs_refresh() {
                self.refresh().await;
            } else if answer.refusal() == "fresh_token_required" {
                self.reauthenticate().await;
            } else if answer.is_over() {
                self.grant = None;
            } else if answer.is_unknown() {
                self.was_lost = true;
                sleep(Duration::from_millis(200)).await;
            } else {
                return Some(answer);
            }
        }
        None
    }

    /// Reads the signing keys all the time: the one response that takes nothing from SQL but the fact
    /// that the session is alive.
    pub(crate) async fn oversee(mut self, end: Instant) -> Option<Device> {
        while Instant::now() < end {
            let replica = self.replica();
            if let Some(grant) = &self.grant {
                let answer = self
                    .client
                    .ask(RequestSpec::keys(ADMIN.0, grant), replica)
                    .await;
                if answer.needs_refresh() {
                    self.refresh().await;
                } else if !answer.is_ok() && !answer.is_unknown() {
                    self.grant = None;
                }
            } else {
                self.log_in().await;
            }
            sleep(Duration::from_millis(self.random.u64(50..200))).await;
        }
        None
    }

    /// Creates an account, whose password is the first of its name; returns its id.
    pub(crate) async fn sign_up(&mut self, name: &str) -> String {
        let body = json!({"username": name, "password": password(name, 0)});
        let ask = || {
            RequestSpec::admin(name, Action::SignUp { password: 0 }, "/v1/users").body(body.clone())
        };
        let end = Instant::now() + CHANGE_DEADLINE;
        let answer = self.ask(ask, end).await.expect("accounts can be created");
        let id = answer.body["id"].as_str().unwrap_or_default().to_owned();
        self.ids.insert(name.to_owned(), id.clone());
        id
    }

    /// Creates accounts, and disables those of `persons` now and then for a moment.
    pub(crate) async fn work(mut self, persons: Vec<Arc<Person>>, end: Instant) -> Option<Device> {
        for count in 0.. {
            sleep(Duration::from_millis(self.random.u64(500..2000))).await;
            if Instant::now() >= end {
                break;
            }
            let person = self
                .random
                .choice(&persons)
                .expect("there are persons")
                .clone();
            match self.ids.get(&person.name).cloned() {
                Some(id) if count % 2 == 0 => {
                    self.change(&person.name, &id, &Action::Disable).await;
                    self.change(&person.name, &id, &Action::Enable).await;
                }
                _ => {
                    let name = format!("late-{count}");
                    self.sign_up_when_available(&name, end).await;
                }
            }
        }
        None
    }

    /// Disables an account, enables it, or replaces its roles.
    pub(crate) async fn change(&mut self, name: &str, id: &str, action: &Action) {
        let what = match action {
            Action::Disable => "disable",
            Action::Enable => "enable",
            _ => "roles",
        };
        let path = format!("/v1/users/{id}/{what}");
        let end = Instant::now() + CHANGE_DEADLINE;
        self.ask(|| RequestSpec::admin(name, action.clone(), &path), end)
            .await;
    }

    /// Counts the live sessions of a user.
    pub(crate) async fn list_sessions(&mut self, name: &str, id: &str) {
        let path = format!("/v1/users/{id}/sessions");
        let end = Instant::now() + CHANGE_DEADLINE;
        let ask = || RequestSpec::admin(name, Action::ListSessions, &path);
        self.ask(ask, end).await;
    }

    /// Creates an account while anything may happen, and logs in to it.
    async fn sign_up_when_available(&mut self, name: &str, end: Instant) {
        let body = json!({"username": name, "password": password(name, 0)});
        let ask = || {
            RequestSpec::admin(name, Action::SignUp { password: 0 }, "/v1/users").body(body.clone())
        };
        let Some(answer) = self.ask(ask, end).await else {
            return;
        };
        // A conflict means that the previous try succeeded.
        if answer.is_ok() || answer.refusal() == "conflict" {
            let replica = self.replica();
            let ask = RequestSpec::login(name, 0, &password(name, 0));
            self.client.ask(ask, replica).await;
        }
    }
}
