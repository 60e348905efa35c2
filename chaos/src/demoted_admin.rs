//! Users who are administrators now and then, and who makes them so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos::history::Action;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::client::{Client, ClientResponse, TokenGrant};
use crate::device::{Device, password};
use crate::request_spec::RequestSpec;
use crate::workload::{EndedSession, EndedSessions};

/// The sets of roles that deputies have in turn.
const ROLES: [&[&str]; 4] = [&["admin"], &[], &["admin", "reader"], &["reader"]];

/// Time that a change that was not acknowledged may be under way: until then no other follows it.
const UNDER_WAY: Duration = Duration::from_secs(16);

/// A user whose roles change.
#[derive(Debug)]
pub(crate) struct DemotedAdmin {
    name: String,
    id: String,
    /// The tokens in use.
    grant: Mutex<Option<TokenGrant>>,
}

impl DemotedAdmin {
    pub(crate) fn new(name: String, id: String) -> Self {
        Self {
            name,
            id,
            grant: Mutex::default(),
        }
    }

    fn grant(&self) -> Option<TokenGrant> {
        self.grant.lock().expect("no holder panics").clone()
    }

    fn keep(&self, grant: Option<TokenGrant>) {
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
                let login = RequestSpec::login(&self.name, 0, &password(&self.name, 0));
                let answer = client.ask(login, replica).await;
                self.keep(answer.grant());
                if !answer.is_ok() {
                    sleep(Duration::from_millis(random.u64(300..900))).await;
                }
                continue;
            };
            let action = match random.u32(..10) {
                0..4 => Action::Govern,
                4..7 => Action::Verify,
                7..9 => Action::Check,
                _ => Action::Refresh,
            };
            if action == Action::Refresh {
                self.refresh(&client, &grant, &mut random).await;
            } else {
                let answer = client
                    .ask(RequestSpec::of(&self.name, &grant, action), replica)
                    .await;
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

    async fn refresh(&self, client: &Client, grant: &TokenGrant, random: &mut fastrand::Rng) {
        let answer = client.refresh(&self.name, grant, random).await;
        self.keep(answer.as_ref().and_then(ClientResponse::grant));
    }
}

/// The administrator who decides on the roles of deputies.
#[derive(Debug)]
pub(crate) struct RoleChanger {
    admin: Admin,
    prober: Client,
    demoted_admins: Vec<(Arc<DemotedAdmin>, Instant)>,
    ended_sessions: Arc<EndedSessions>,
}

impl RoleChanger {
    pub(crate) fn new(
        admin: Admin,
        prober: Client,
        demoted_admins: Vec<Arc<DemotedAdmin>>,
        ended_sessions: Arc<EndedSessions>,
    ) -> Self {
        let now = Instant::now();
        let demoted_admins = demoted_admins
            .into_iter()
            .map(|demoted_admin| (demoted_admin, now));
        Self {
            admin,
            prober,
            demoted_admins: demoted_admins.collect(),
            ended_sessions,
        }
    }

    /// Changes roles, and each time presents the access token of before to every replica.
    pub(crate) async fn work(mut self, end: Instant) -> Option<Device> {
        for count in 0.. {
            sleep(Duration::from_millis(300)).await;
            if Instant::now() >= end {
                break;
            }
            let place = count % self.demoted_admins.len();
            let (demoted_admin, from) = &self.demoted_admins[place];
            if *from > Instant::now() {
                continue;
            }
            let demoted_admin = Arc::clone(demoted_admin);
            let roles = ROLES[count / self.demoted_admins.len() % ROLES.len()];
            let old = demoted_admin.grant();
            let was_lost = self.set_roles(&demoted_admin, roles).await;
            if was_lost {
                self.demoted_admins[place].1 = Instant::now() + UNDER_WAY;
            }
            if let Some(old) = old {
                self.probe(&demoted_admin, &old).await;
            }
        }
        None
    }

    /// Replaces the roles; returns whether a request for that was not answered.
    async fn set_roles(&mut self, demoted_admin: &DemotedAdmin, roles: &[&str]) -> bool {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let path = format!("/v1/users/{}/roles", demoted_admin.id);
        let action = Action::SetRoles { roles };
        let end = Instant::now() + Duration::from_secs(30);
        let ask = || RequestSpec::admin(&demoted_admin.name, action.clone(), &path);
        self.admin.ask(ask, end).await;
        self.admin.was_lost
    }

    async fn probe(&self, demoted_admin: &DemotedAdmin, old: &TokenGrant) {
        for replica in 0..self.prober.replicas() {
            for action in [Action::Govern, Action::Verify] {
                let ask = RequestSpec::of(&demoted_admin.name, old, action);
                self.prober.ask(ask, replica).await;
            }
            let ask =
                RequestSpec::own_roles(&demoted_admin.name, &demoted_admin.id, old, &["admin"]);
            self.prober.ask(ask, replica).await;
        }
        let ended_session = EndedSession::of_outdated(&demoted_admin.name, old.clone());
        self.ended_sessions
            .lock()
            .expect("no holder panics")
            .push(ended_session);
    }
}
