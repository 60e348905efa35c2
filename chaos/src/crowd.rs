//! Users with so many sessions that ending them one by one would take long.

use std::sync::Arc;

use chaos::history::{Act, Who};
use serde_json::json;

use crate::admin::Admin;
use crate::client::{Client, Grant};
use crate::device::password;
use crate::record::Recorder;
use crate::request::Ask;
use crate::world::World;

/// Sessions of such a user. The limit for logins is lower: these are from before it was set.
const SESSIONS: u32 = 10_000;

/// Creates such users, one after the other.
#[derive(Debug)]
pub(crate) struct Crowd {
    world: Arc<World>,
    admin: Admin,
    user: Client,
    prober: Client,
    count: usize,
}

impl Crowd {
    pub(crate) fn new(world: &Arc<World>, recorder: &Arc<Recorder>, random: fastrand::Rng) -> Self {
        let client = |who| Client::new(world, recorder, who);
        Self {
            world: Arc::clone(world),
            admin: Admin::new(client(Who::Honest), random),
            user: client(Who::Honest),
            prober: client(Who::Prober),
            count: 0,
        }
    }

    /// Creates a user with a great number of sessions, and ends them all in one of the ways there are.
    pub(crate) async fn end(&mut self) {
        let name = format!("crowd-{}", self.count);
        let id = self.admin.sign_up(&name).await;
        let login = Ask::login(&name, 0, &password(&name, 0));
        let Some(grant) = self.user.ask(login, 0).await.grant() else {
            return;
        };
        self.world.copy_session(&grant.session, SESSIONS);
        match self.count % 3 {
            0 => self.admin.change(&name, &id, &Act::Disable).await,
            1 => self.by_user(&name, &grant, Act::LogOutEverywhere).await,
            _ => {
                let new = Act::ChangePassword { password: 1 };
                self.by_user(&name, &grant, new).await;
                self.admin.change(&name, &id, &Act::Disable).await;
            }
        }
        self.admin.list_sessions(&name, &id).await;
        for replica in 0..self.prober.replicas() {
            let check = Ask::of(&name, &grant, Act::Check);
            self.prober.ask(check, replica).await;
        }
        self.count += 1;
    }

    async fn by_user(&self, name: &str, grant: &Grant, act: Act) {
        let body = match act {
            Act::ChangePassword { password: new } => json!({
                "current_password": password(name, 0),
                "new_password": password(name, new),
            }),
            _ => serde_json::Value::Null,
        };
        let ask = Ask::of(name, grant, act).body(body);
        self.user.ask(ask, 0).await;
    }
}
