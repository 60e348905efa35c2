//! People: each has an account and devices, and a device has tabs that share what it keeps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos::history::{Act, Who};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Plan;
use crate::admin::Admin;
use crate::besieged::{BESIEGED, GUESSED, Owner};
use crate::client::{Client, Grant};
use crate::deputy::{self, Deputy};
use crate::device::{Device, Person};
use crate::duel;
use crate::hoarder::{HOARDER, Hoarder};
use crate::record::Recorder;
use crate::request::Ask;
use crate::world::World;

/// Time for the last check of every device.
const PATIENCE: Duration = Duration::from_secs(40);

/// Devices that one person uses.
const DEVICES_EACH: usize = 2;

/// Users who are administrators now and then.
const DEPUTIES: usize = 3;

/// Tokens that must not be accepted again.
#[derive(Clone, Debug)]
pub(crate) struct Grave {
    pub(crate) user: String,
    pub(crate) grant: Grant,
    /// True when the session is over; otherwise the access token alone is outdated.
    is_over: bool,
}

impl Grave {
    /// The tokens of a session that is over.
    pub(crate) fn of(user: &str, grant: Grant) -> Self {
        Self {
            user: user.to_owned(),
            grant,
            is_over: true,
        }
    }

    /// An access token from before a change, of a session that lives.
    pub(crate) fn of_outdated(user: &str, grant: Grant) -> Self {
        Self {
            is_over: false,
            ..Self::of(user, grant)
        }
    }
}

/// Ended sessions with their tokens: they must stay ended.
pub(crate) type Graves = Mutex<Vec<Grave>>;

/// Everybody, at work.
#[derive(Debug)]
pub(crate) struct People {
    at_work: JoinSet<Option<Device>>,
    graves: Arc<Graves>,
    random: fastrand::Rng,
    /// Until when.
    pub(crate) end: Instant,
}

/// Creates accounts, and when all are there sets everybody to work for the time of the plan.
pub(crate) async fn start(
    world: &Arc<World>,
    recorder: &Arc<Recorder>,
    random: &mut fastrand::Rng,
    plan: &Plan,
) -> People {
    let client = |who| Client::new(world, recorder, who);
    let graves = Arc::new(Graves::default());
    let mut admin = Admin::new(client(Who::Honest), random.fork());
    let mut persons = Vec::new();
    for number in 0..plan.devices.div_ceil(DEVICES_EACH) {
        let name = format!("person-{number}");
        admin.sign_up(&name).await;
        let is_calm = number % 4 == 0;
        persons.push(Arc::new(Person::new(name, is_calm, DEVICES_EACH)));
    }
    for name in [GUESSED, BESIEGED, HOARDER] {
        admin.sign_up(name).await;
    }
    let deputies = sign_up_deputies(&mut admin).await;
    let rounds = 4 + plan.seconds / 120;
    duel::run(world, recorder, &mut admin, rounds).await;
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    let mut at_work = JoinSet::new();
    for person in &persons {
        for number in 0..DEVICES_EACH {
            let device = Device {
                client: client(Who::Honest),
                thief: client(Who::Thief),
                person: Arc::clone(person),
                number,
                graves: Arc::clone(&graves),
                random: random.fork(),
                jar: None,
                token: None,
                end,
            };
            at_work.spawn(device.work());
        }
    }
    let owner = Owner::new(client(Who::Honest), random.fork());
    at_work.spawn(owner.work(client(Who::Guesser), end));
    let hoarder = Hoarder::new(client(Who::Honest), Arc::clone(&graves), random.fork());
    at_work.spawn(hoarder.work(end));
    let prober = client(Who::Prober);
    at_work.spawn(probe(prober, Arc::clone(&graves), random.fork(), end));
    for deputy in &deputies {
        let work = Arc::clone(deputy).work(client(Who::Honest), random.fork(), end);
        at_work.spawn(work);
    }
    let overseer = Admin::new(client(Who::Honest), random.fork());
    at_work.spawn(overseer.oversee(end));
    let chief = Admin::new(client(Who::Honest), random.fork());
    let chief = deputy::Chief::new(chief, client(Who::Prober), deputies, Arc::clone(&graves));
    at_work.spawn(chief.work(end));
    persons.retain(|person| !person.is_calm);
    at_work.spawn(admin.work(persons, end));
    People {
        at_work,
        graves,
        random: random.fork(),
        end,
    }
}

async fn sign_up_deputies(admin: &mut Admin) -> Vec<Arc<Deputy>> {
    let mut deputies = Vec::new();
    for number in 0..DEPUTIES {
        let name = format!("deputy-{number}");
        let id = admin.sign_up(&name).await;
        deputies.push(Arc::new(Deputy::new(name, id)));
    }
    deputies
}

impl People {
    /// Waits for everybody to stop, then looks at everything once more, on every replica, before
    /// and after a restart that empties Redis.
    pub(crate) async fn finish(mut self, world: &Arc<World>, recorder: &Arc<Recorder>) {
        world.ready().await;
        let mut devices: Vec<Device> = Vec::new();
        while let Some(stopped) = self.at_work.join_next().await {
            devices.extend(stopped.expect("nobody panics"));
        }
        // For all of them: somebody who cannot log in must not hold up the others.
        let end = Instant::now() + PATIENCE;
        for device in &mut devices {
            device.end = end;
            device.refresh(1).await;
            device.check().await;
        }
        if let Some(redis) = &world.redis {
            redis.kill();
            redis.resume();
        }
        for (number, replica) in world.replicas.iter().enumerate() {
            replica.end(rustix::process::Signal::KILL);
            world.resume(number);
        }
        world.ready().await;
        let end = Instant::now() + PATIENCE;
        for device in &mut devices {
            device.end = end;
            device.check().await;
            device.refresh(2).await;
            device.log_in().await;
        }
        let prober = Client::new(world, recorder, Who::Prober);
        let graves = self.graves.lock().expect("no holder panics").clone();
        for grave in &graves {
            let replica = self.random.usize(..prober.replicas());
            probe_one(&prober, grave, replica).await;
        }
    }
}

async fn probe_one(prober: &Client, grave: &Grave, replica: usize) {
    let (user, grant) = (&grave.user, &grave.grant);
    prober.ask(Ask::of(user, grant, Act::Check), replica).await;
    // The refresh token of a session that lives would look stolen.
    if grave.is_over {
        prober.ask(Ask::refresh(user, grant, None), replica).await;
    }
}

async fn probe(
    prober: Client,
    graves: Arc<Graves>,
    mut random: fastrand::Rng,
    end: Instant,
) -> Option<Device> {
    while Instant::now() < end {
        let grave = {
            // The newest are the likeliest to arrive late, and the old ones to be forgotten.
            let graves = graves.lock().expect("no holder panics");
            let newest = graves.len().saturating_sub(3);
            let from = if random.bool() { newest } else { 0 };
            random.choice(&graves[from..]).cloned()
        };
        if let Some(grave) = grave {
            probe_one(&prober, &grave, random.usize(..prober.replicas())).await;
        }
        sleep(Duration::from_millis(random.u64(20..80))).await;
    }
    None
}
