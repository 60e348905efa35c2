//! An administrator: makes accounts, shuts them and opens them again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chaos::history::{Act, Outcome};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Answer, Ask, Client, Grant};
use crate::device::{Device, Person, password};
use crate::world::ADMIN;

/// An administrator, and the session that everything is asked with.
#[derive(Debug)]
pub(crate) struct Admin {
    client: Client,
    random: fastrand::Rng,
    grant: Option<Grant>,
    ids: BTreeMap<String, String>,
}

impl Admin {
    pub(crate) fn new(client: Client, random: fastrand::Rng) -> Self {
        Self {
            client,
            random,
            grant: None,
            ids: BTreeMap::new(),
        }
    }

    fn replica(&mut self) -> usize {
        self.random.usize(..self.client.replicas())
    }

    /// Asks until there is an answer, for as long as `end` is not there.
    async fn ask<'a>(&mut self, ask: impl Fn() -> Ask<'a>, end: Instant) -> Option<Answer> {
        while Instant::now() < end {
            let replica = self.replica();
            let Some(grant) = &self.grant else {
                // The number says that it is the first password, which nobody changes.
                let answer = self
                    .client
                    .ask(Ask::login(ADMIN.0, 0, ADMIN.1), replica)
                    .await;
                self.grant = answer.grant();
                continue;
            };
            let answer = self.client.ask(ask().by(grant), replica).await;
            if answer.is_expired() {
                self.grant = None;
                continue;
            }
            if !answer.is_unknown() {
                return Some(answer);
            }
            sleep(Duration::from_millis(200)).await;
        }
        None
    }

    /// Looks at the signing keys all the time: the one answer that takes nothing from SQL but the word
    /// that the session lives.
    pub(crate) async fn oversee(mut self, end: Instant) -> Option<Device> {
        while Instant::now() < end {
            let replica = self.replica();
            if let Some(grant) = self.grant.take() {
                let answer = self.client.ask(Ask::keys(ADMIN.0, &grant), replica).await;
                // Whoever is refused signs in again.
                self.grant = Some(grant).filter(|_| answer.is_ok() || answer.is_unknown());
            } else {
                let login = Ask::login(ADMIN.0, 0, ADMIN.1);
                self.grant = self.client.ask(login, replica).await.grant();
            }
            sleep(Duration::from_millis(self.random.u64(50..200))).await;
        }
        None
    }

    /// Makes an account, whose password is the first of its name.
    pub(crate) async fn sign_up(&mut self, name: &str) {
        let body = json!({"username": name, "password": password(name, 0)});
        let end = Instant::now() + Duration::from_secs(30);
        let ask = || Ask::admin(name, Act::SignUp { password: 0 }, "/v1/users").body(body.clone());
        let answer = self.ask(ask, end).await.expect("accounts can be made");
        if let Some(id) = answer.body["id"].as_str() {
            self.ids.insert(name.to_owned(), id.to_owned());
        }
    }

    /// Makes accounts, and shuts those of `persons` now and then for a moment.
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
                    self.set(&person.name, &id, "disable", Act::Disable).await;
                    self.set(&person.name, &id, "enable", Act::Enable).await;
                }
                _ => self.sign_up_late(&format!("late-{count}"), end).await,
            }
        }
        None
    }

    async fn set(&mut self, name: &str, id: &str, what: &str, act: Act) {
        let path = format!("/v1/users/{id}/{what}");
        let end = Instant::now() + Duration::from_secs(30);
        self.ask(|| Ask::admin(name, act.clone(), &path), end).await;
    }

    /// Makes an account while anything may happen, and logs in to it.
    async fn sign_up_late(&mut self, name: &str, end: Instant) {
        let body = json!({"username": name, "password": password(name, 0)});
        let ask = || Ask::admin(name, Act::SignUp { password: 0 }, "/v1/users").body(body.clone());
        let Some(answer) = self.ask(ask, end).await else {
            return;
        };
        // A conflict means that the try before was done.
        if answer.is_ok() || matches!(&answer.outcome, Outcome::No { code } if code == "conflict") {
            let replica = self.replica();
            let ask = Ask::login(name, 0, &password(name, 0));
            self.client.ask(ask, replica).await;
        }
    }
}
