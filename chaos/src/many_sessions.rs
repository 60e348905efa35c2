//! Users with so many sessions that ending them one by one would take long.

use std::sync::Arc;

use chaos::history::{Action, Sender};
use serde_json::json;

use crate::admin::Admin;
use crate::client::{Client, TokenGrant};
use crate::cluster::Cluster;
use crate::device::password;
use crate::recorder::Recorder;
use crate::request_spec::RequestSpec;

/// Sessions of such a user. The limit for logins is lower: these are from before it was set.
const SESSIONS: u32 = 10_000;

/// Creates such users, one after the other.
#[derive(Debug)]
pub(crate) struct ManySessions {
    cluster: Arc<Cluster>,
    admin: Admin,
    user: Client,
    prober: Client,
    count: usize,
}

impl ManySessions {
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        recorder: &Arc<Recorder>,
        random: fastrand::Rng,
    ) -> Self {
        let client = |sender| Client::new(cluster, recorder, sender);
        Self {
            cluster: Arc::clone(cluster),
            admin: Admin::new(client(Sender::Honest), random),
            user: client(Sender::Honest),
            prober: client(Sender::Prober),
            count: 0,
        }
    }

    /// Creates a user with a great number of sessions, and ends them all in one of the ways there are.
    pub(crate) async fn end(&mut self) {
        let name = format!("many_sessions-{}", self.count);
        let id = self.admin.sign_up(&name).await;
        let login = RequestSpec::login(&name, 0, &password(&name, 0));
        let Some(grant) = self.user.ask(login, 0).await.grant() else {
            return;
        };
        self.cluster.copy_session(&grant.session, SESSIONS);
        match self.count % 3 {
            0 => self.admin.change(&name, &id, &Action::Disable).await,
            1 => self.by_user(&name, &grant, Action::LogOutEverywhere).await,
            _ => {
                let new = Action::ChangePassword { password: 1 };
                self.by_user(&name, &grant, new).await;
                self.admin.change(&name, &id, &Action::Disable).await;
            }
        }
        self.admin.list_sessions(&name, &id).await;
        for replica in 0..self.prober.replicas() {
            let check = RequestSpec::of(&name, &grant, Action::Check);
            self.prober.ask(check, replica).await;
        }
        self.count += 1;
    }

    async fn by_user(&self, name: &str, grant: &TokenGrant, action: Action) {
        let body = match action {
            Action::ChangePassword { password: new } => json!({
                "current_password": password(name, 0),
                "new_password": password(name, new),
            }),
            _ => serde_json::Value::Null,
        };
        let ask = RequestSpec::of(name, grant, action).body(body);
        self.user.ask(ask, 0).await;
    }
}
