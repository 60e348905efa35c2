//! Users who are administrators now and then, and who makes them so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos::history::Act;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::client::{Answer, Client, Grant};
use crate::device::{Device, password};
use crate::people::{Grave, Graves};
use crate::request::Ask;

/// The sets of roles that deputies have in turn.
const ROLES: [&[&str]; 4] = [&["admin"], &[], &["admin", "reader"], &["reader"]];

/// Time that a change that was not acknowledged may be under way: until then no other follows it.
const UNDER_WAY: Duration = Duration::from_secs(16);

/// A user whose roles change.
#[derive(Debug)]
pub(crate) struct Deputy {
    name: String,
    id: String,
    /// The tokens in use.
    grant: Mutex<Option<Grant>>,
}

impl Deputy {
    pub(crate) fn new(name: String, id: String) -> Self {
        Self {
            name,
            id,
            grant: Mutex::default(),
        }
    }

    fn grant(&self) -> Option<Grant> {
        self.grant.lock().expect("no holder panics").clone()
    }

    fn keep(&self, grant: Option<Grant>) {
        *self.grant.lock().expect("no holder panics") = grant;
    }

    /// Does what the current roles allow, and tries the rest.
    pub(crate) async fn work(
        self: Arc<Self>,
        client: Client,
        mut random: fastrand::Rng,
        end: Instant,
    ) -> Option<Device> {
        while Instant::now() < end {
            let replica = random.usize(..client.replicas());
            let Some(grant) = self.grant() else {
                let login = Ask::login(&self.name, 0, &password(&self.name, 0));
                let answer = client.ask(login, replica).await;
                self.keep(answer.grant());
                if !answer.is_ok() {
                    sleep(Duration::from_millis(random.u64(300..900))).await;
                }
                continue;
            };
            let act = match random.u32(..10) {
                0..4 => Act::Govern,
                4..7 => Act::Verify,
                7..9 => Act::Check,
                _ => Act::Refresh,
            };
            if act == Act::Refresh {
                self.refresh(&client, &grant, &mut random).await;
            } else {
                let answer = client.ask(Ask::of(&self.name, &grant, act), replica).await;
                if answer.needs_refresh() {
                    self.refresh(&client, &grant, &mut random).await;
                } else if answer.is_over() {
                    self.keep(None);
                }
            }
            sleep(Duration::from_millis(random.u64(20..120))).await;
        }
        None
    }

    async fn refresh(&self, client: &Client, grant: &Grant, random: &mut fastrand::Rng) {
        let answer = client.refresh(&self.name, grant, random).await;
        self.keep(answer.as_ref().and_then(Answer::grant));
    }
}

/// The administrator who decides on the roles of deputies.
#[derive(Debug)]
pub(crate) struct Chief {
    admin: Admin,
    prober: Client,
    deputies: Vec<(Arc<Deputy>, Instant)>,
    graves: Arc<Graves>,
}

impl Chief {
    pub(crate) fn new(
        admin: Admin,
        prober: Client,
        deputies: Vec<Arc<Deputy>>,
        graves: Arc<Graves>,
    ) -> Self {
        let now = Instant::now();
        let deputies = deputies.into_iter().map(|deputy| (deputy, now));
        Self {
            admin,
            prober,
            deputies: deputies.collect(),
            graves,
        }
    }

    /// Changes roles, and each time presents the access token of before to every replica.
    pub(crate) async fn work(mut self, end: Instant) -> Option<Device> {
        for count in 0.. {
            sleep(Duration::from_millis(300)).await;
            if Instant::now() >= end {
                break;
            }
            let place = count % self.deputies.len();
            let (deputy, from) = &self.deputies[place];
            if *from > Instant::now() {
                continue;
            }
            let deputy = Arc::clone(deputy);
            let roles = ROLES[count / self.deputies.len() % ROLES.len()];
            let old = deputy.grant();
            let was_lost = self.set_roles(&deputy, roles).await;
            if was_lost {
                self.deputies[place].1 = Instant::now() + UNDER_WAY;
            }
            if let Some(old) = old {
                self.probe(&deputy, &old).await;
            }
        }
        None
    }

    /// Replaces the roles; returns whether a request for that was not answered.
    async fn set_roles(&mut self, deputy: &Deputy, roles: &[&str]) -> bool {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let path = format!("/v1/users/{}/roles", deputy.id);
        let act = Act::SetRoles { roles };
        let end = Instant::now() + Duration::from_secs(30);
        let ask = || Ask::admin(&deputy.name, act.clone(), &path);
        self.admin.ask(ask, end).await;
        self.admin.was_lost
    }

    async fn probe(&self, deputy: &Deputy, old: &Grant) {
        for replica in 0..self.prober.replicas() {
            for act in [Act::Govern, Act::Verify] {
                let ask = Ask::of(&deputy.name, old, act);
                self.prober.ask(ask, replica).await;
            }
            let ask = Ask::own_roles(&deputy.name, &deputy.id, old, &["admin"]);
            self.prober.ask(ask, replica).await;
        }
        let grave = Grave::of_outdated(&deputy.name, old.clone());
        self.graves.lock().expect("no holder panics").push(grave);
    }
}
