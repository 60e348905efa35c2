//! Two administrators who take each other's power at the same moment.

use std::sync::Arc;

use chaos::history::{Action, Operation, RequestOutcome, Sender};
use futures_util::future::join;
use tokio::time::{Duration, Instant, sleep};

use crate::admin::Admin;
use crate::client::{Client, TokenGrant};
use crate::cluster::{ADMIN, Cluster};
use crate::device::password;
use crate::recorder::Recorder;
use crate::request_spec::RequestSpec;

const RIVALS: [&str; 2] = ["rival-0", "rival-1"];

/// Time that it may take to restore what a round changed.
const CHANGE_DEADLINE: Duration = Duration::from_secs(30);

/// One of the two, with a fresh access token.
#[derive(Debug)]
struct RivalAdmin {
    name: &'static str,
    id: String,
    client: Client,
    /// Absent when the account is disabled or no administrator's any more.
    grant: Option<TokenGrant>,
}

impl RivalAdmin {
    /// Logs in, and looks whether that makes an administrator.
    async fn return_if_admin(&mut self, replica: usize) {
        self.grant = None;
        for _ in 0..5 {
            let login = RequestSpec::login(self.name, 0, &password(self.name, 0));
            let login = self.client.ask(login, replica).await;
            if login.is_unknown() {
                sleep(Duration::from_millis(300)).await;
                continue;
            }
            let Some(grant) = login.grant() else { return };
            let govern = RequestSpec::of(self.name, &grant, Action::Govern);
            if self.client.ask(govern, replica).await.is_ok() {
                self.grant = Some(grant);
            }
            return;
        }
    }

    /// Takes the power of the other; returns when there is a response.
    async fn attack(&self, other: &Self, action: Action, replica: usize) {
        let Some(grant) = &self.grant else { return };
        let path = path(&other.id, &action);
        let ask = RequestSpec::admin(other.name, action, &path).by(grant);
        self.client.ask(ask, replica).await;
    }
}

fn path(id: &str, action: &Action) -> String {
    let what = match action {
        Action::Disable => "disable",
        Action::Enable => "enable",
        _ => "roles",
    };
    format!("/v1/users/{id}/{what}")
}

fn roles(roles: &[&str]) -> Action {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Action::SetRoles { roles }
}

/// Lets two administrators, while there is no third, disable or demote each other for some rounds. The
/// other administrator is one again afterwards.
pub(crate) async fn run(
    cluster: &Arc<Cluster>,
    recorder: &Arc<Recorder>,
    admin: &mut Admin,
    rounds: u64,
) {
    let farthest = cluster.replicas.len() - 1;
    let mut rivals = Vec::new();
    for name in RIVALS {
        let id = admin.sign_up(name).await;
        admin.change(name, &id, &roles(&["admin"])).await;
        let client = Client::new(cluster, recorder, Sender::Honest);
        let grant = None;
        rivals.push(RivalAdmin {
            name,
            id,
            client,
            grant,
        });
    }
    let Some(chief) = admin.id() else { return };
    for round in 0..rounds {
        for rival in &mut rivals {
            rival.return_if_admin(0).await;
        }
        if round == 0 {
            restore(&rivals, ADMIN.0, &chief, &Action::Disable).await;
        }
        let arms = [Action::Disable, roles(&[])];
        let arm = |place: u64| arms[usize::from(place % 2 == 1)].clone();
        join(
            rivals[0].attack(&rivals[1], arm(round), 0),
            rivals[1].attack(&rivals[0], arm(round / 2), farthest),
        )
        .await;
        for rival in &mut rivals {
            rival.return_if_admin(farthest).await;
        }
        if rivals.iter().all(|rival| rival.grant.is_none()) {
            by_operator(cluster, recorder, &rivals);
            continue;
        }
        let beaten = rivals.iter().filter(|rival| rival.grant.is_none());
        for (name, id) in beaten.map(|rival| (rival.name, rival.id.clone())) {
            restore(&rivals, name, &id, &Action::Enable).await;
            restore(&rivals, name, &id, &roles(&["admin"])).await;
        }
    }
    for rival in &mut rivals {
        rival.return_if_admin(0).await;
    }
    restore(&rivals, ADMIN.0, &chief, &Action::Enable).await;
    for rival in &rivals {
        admin.change(rival.name, &rival.id, &roles(&[])).await;
    }
}

/// The administrator who is left changes an account.
async fn restore(rivals: &[RivalAdmin], name: &str, id: &str, action: &Action) {
    let end = Instant::now() + CHANGE_DEADLINE;
    let path = path(id, action);
    for rival in rivals {
        let Some(grant) = &rival.grant else { continue };
        while Instant::now() < end {
            let ask = RequestSpec::admin(name, action.clone(), &path).by(grant);
            let answer = rival.client.ask(ask, 0).await;
            if answer.is_ok() {
                return;
            }
            if !answer.is_unknown() {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// With no administrator left, only the command line helps.
fn by_operator(cluster: &Cluster, recorder: &Recorder, rivals: &[RivalAdmin]) {
    for rival in rivals {
        for action in [Action::Enable, roles(&["admin"])] {
            let arguments = match action {
                Action::Enable => vec!["user", "enable", rival.name],
                _ => vec!["user", "roles", rival.name, "admin"],
            };
            let start = recorder.begin();
            let code = "command_failed".to_owned();
            let outcome = if cluster.run(0, &arguments) {
                RequestOutcome::Ok
            } else {
                RequestOutcome::Unknown { code }
            };
            recorder.op(Operation {
                sender: Sender::Honest,
                user: rival.name.to_owned(),
                action,
                session: None,
                presented: None,
                key: None,
                given: None,
                expires: None,
                issued: None,
                roles: None,
                listed: None,
                known_device: false,
                replica: 0,
                start,
                end: recorder.now(),
                outcome,
            });
        }
    }
}
