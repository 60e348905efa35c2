//! People: each has an account and devices, and a device has tabs that share what it keeps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos::history::{Action, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::RunPlan;
use crate::admin::Admin;
use crate::client::{Client, TokenGrant};
use crate::cluster::Cluster;
use crate::demoted_admin::{DemotedAdmin, RoleChanger};
use crate::device::{Device, Person};
use crate::guessed_account::{AccountOwner, GUESSED, GUESSED_ACCOUNT};
use crate::mutual_disabling;
use crate::recorder::Recorder;
use crate::request_spec::RequestSpec;
use crate::session_limit_user::{SESSION_LIMIT_USER, SessionLimitUser};

/// Time for the last check of every device.
const LAST_CHECK_DEADLINE: Duration = Duration::from_secs(40);

/// Devices that one person uses.
const DEVICES_EACH: usize = 2;

/// Users who are administrators now and then.
const DEMOTED_ADMINS: usize = 3;

/// Tokens that must not be accepted again.
#[derive(Clone, Debug)]
pub(crate) struct EndedSession {
    pub(crate) user: String,
    pub(crate) grant: TokenGrant,
    /// True when the session is over; otherwise the access token alone is outdated.
    is_over: bool,
}

impl EndedSession {
    /// The tokens of a session that is over.
    pub(crate) fn of(user: &str, grant: TokenGrant) -> Self {
        Self {
            user: user.to_owned(),
            grant,
            is_over: true,
        }
    }

    /// An access token from before a change, of a session that lives.
    pub(crate) fn of_outdated(user: &str, grant: TokenGrant) -> Self {
        Self {
            is_over: false,
            ..Self::of(user, grant)
        }
    }
}

/// Ended sessions with their tokens: they must stay ended.
pub(crate) type EndedSessions = Mutex<Vec<EndedSession>>;

/// Everybody, at work.
#[derive(Debug)]
pub(crate) struct Workload {
    at_work: JoinSet<Option<Device>>,
    ended_sessions: Arc<EndedSessions>,
    random: fastrand::Rng,
    /// Until when.
    pub(crate) end: Instant,
}

/// Creates accounts, and when all are there sets everybody to work for the time of the plan.
pub(crate) async fn start(
    cluster: &Arc<Cluster>,
    recorder: &Arc<Recorder>,
    random: &mut fastrand::Rng,
    plan: &RunPlan,
) -> Workload {
    let client = |sender| Client::new(cluster, recorder, sender);
    let ended_sessions = Arc::new(EndedSessions::default());
    let mut admin = Admin::new(client(Sender::Honest), random.fork());
    let mut persons = sign_up_persons(&mut admin, plan.devices.div_ceil(DEVICES_EACH)).await;
    for name in [GUESSED, GUESSED_ACCOUNT, SESSION_LIMIT_USER] {
        admin.sign_up(name).await;
    }
    let demoted_admins = sign_up_demoted_admins(&mut admin).await;
    let rounds = 4 + plan.seconds / 120;
    mutual_disabling::run(cluster, recorder, &mut admin, rounds).await;
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    let mut at_work = JoinSet::new();
    for person in &persons {
        for number in 0..DEVICES_EACH {
            let device = Device {
                client: client(Sender::Honest),
                thief: client(Sender::Thief),
                person: Arc::clone(person),
                number,
                ended_sessions: Arc::clone(&ended_sessions),
                random: random.fork(),
                jar: None,
                token: None,
                end,
            };
            at_work.spawn(device.work());
        }
    }
    let owner = AccountOwner::new(client(Sender::Honest), random.fork());
    at_work.spawn(owner.work(client(Sender::Guesser), end));
    let ended = || Arc::clone(&ended_sessions);
    let hoarder = SessionLimitUser::new(client(Sender::Honest), ended(), random.fork());
    at_work.spawn(hoarder.work(end));
    at_work.spawn(probe(client(Sender::Prober), ended(), random.fork(), end));
    for demoted_admin in &demoted_admins {
        let work = Arc::clone(demoted_admin).work(client(Sender::Honest), random.fork(), end);
        at_work.spawn(work);
    }
    let overseer = Admin::new(client(Sender::Honest), random.fork());
    at_work.spawn(overseer.oversee(end));
    let chief = Admin::new(client(Sender::Honest), random.fork());
    let prober = client(Sender::Prober);
    let role_changer = RoleChanger::new(chief, prober, demoted_admins, ended());
    at_work.spawn(role_changer.work(end));
    persons.retain(|person| !person.ends_no_sessions);
    at_work.spawn(admin.work(persons, end));
    Workload {
        at_work,
        ended_sessions,
        random: random.fork(),
        end,
    }
}

async fn sign_up_persons(admin: &mut Admin, count: usize) -> Vec<Arc<Person>> {
    let mut persons = Vec::new();
    for number in 0..count {
        let name = format!("person-{number}");
        admin.sign_up(&name).await;
        let ends_no_sessions = number % 4 == 0;
        persons.push(Arc::new(Person::new(name, ends_no_sessions, DEVICES_EACH)));
    }
    persons
}

async fn sign_up_demoted_admins(admin: &mut Admin) -> Vec<Arc<DemotedAdmin>> {
    let mut demoted_admins = Vec::new();
    for number in 0..DEMOTED_ADMINS {
        let name = format!("demoted-admin-{number}");
        let id = admin.sign_up(&name).await;
        demoted_admins.push(Arc::new(DemotedAdmin::new(name, id)));
    }
    demoted_admins
}

impl Workload {
    /// Waits for everybody to stop, then looks at everything once more, on every replica, before
    /// and after a restart that empties Redis.
    pub(crate) async fn finish(mut self, cluster: &Arc<Cluster>, recorder: &Arc<Recorder>) {
        cluster.ready().await;
        let mut devices: Vec<Device> = Vec::new();
        while let Some(stopped) = self.at_work.join_next().await {
            devices.extend(stopped.expect("nobody panics"));
        }
        // For all of them: somebody who cannot log in must not hold up the others.
        let end = Instant::now() + LAST_CHECK_DEADLINE;
        for device in &mut devices {
            device.end = end;
            device.refresh(1).await;
            device.check().await;
        }
        if let Some(redis) = &cluster.redis {
            redis.kill();
            redis.resume();
        }
        for (number, replica) in cluster.replicas.iter().enumerate() {
            replica.end(rustix::process::Signal::KILL);
            cluster.resume(number);
        }
        cluster.ready().await;
        let end = Instant::now() + LAST_CHECK_DEADLINE;
        for device in &mut devices {
            device.end = end;
            device.check().await;
            device.refresh(2).await;
            device.log_in().await;
        }
        let prober = Client::new(cluster, recorder, Sender::Prober);
        let ended_sessions = self
            .ended_sessions
            .lock()
            .expect("no holder panics")
            .clone();
        for ended_session in &ended_sessions {
            let replica = self.random.usize(..prober.replicas());
            probe_one(&prober, ended_session, replica).await;
        }
    }
}

async fn probe_one(prober: &Client, ended_session: &EndedSession, replica: usize) {
    let (user, grant) = (&ended_session.user, &ended_session.grant);
    prober
        .ask(RequestSpec::of(user, grant, Action::Check), replica)
        .await;
    // The refresh token of a session that lives would look stolen.
    if ended_session.is_over {
        prober
            .ask(RequestSpec::refresh(user, grant, None), replica)
            .await;
    }
}

async fn probe(
    prober: Client,
    ended_sessions: Arc<EndedSessions>,
    mut random: fastrand::Rng,
    end: Instant,
) -> Option<Device> {
    while Instant::now() < end {
        let ended_session = {
            // The newest are the likeliest to arrive late, and the old ones to be forgotten.
            let ended_sessions = ended_sessions.lock().expect("no holder panics");
            let newest = ended_sessions.len().saturating_sub(3);
            let from = if random.bool() { newest } else { 0 };
            random.choice(&ended_sessions[from..]).cloned()
        };
        if let Some(ended_session) = ended_session {
            probe_one(&prober, &ended_session, random.usize(..prober.replicas())).await;
        }
        sleep(Duration::from_millis(random.u64(20..80))).await;
    }
    None
}
