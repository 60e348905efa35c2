//! People: each has an account and devices, and a device has tabs that share what it keeps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos::history::{Act, Who};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::client::{Answer, Ask, Client, Grant};
use crate::device::{Device, Person};
use crate::record::Recorder;
use crate::world::World;

/// How long everybody has for a last look.
const PATIENCE: Duration = Duration::from_secs(40);

/// Devices that one person uses.
const DEVICES_EACH: usize = 2;

/// What has ended, with its tokens: it must stay so.
pub(crate) type Graves = Mutex<Vec<(String, Grant)>>;

/// Everybody, at work.
#[derive(Debug)]
pub(crate) struct People {
    at_work: JoinSet<Option<Device>>,
    graves: Arc<Graves>,
    random: fastrand::Rng,
    /// Until when.
    pub(crate) end: Instant,
}

/// Makes accounts, and when all are there sets everybody to work for `time`.
pub(crate) async fn start(
    world: &Arc<World>,
    recorder: &Arc<Recorder>,
    random: &mut fastrand::Rng,
    devices: usize,
    time: Duration,
) -> People {
    let graves = Arc::new(Graves::default());
    let mut admin = Admin::new(Client::new(world, recorder, Who::Honest), random.fork());
    let mut at_work = JoinSet::new();
    let mut persons = Vec::new();
    for number in 0..devices.div_ceil(DEVICES_EACH) {
        let name = format!("person-{number}");
        admin.sign_up(&name).await;
        let is_calm = number % 4 == 0;
        persons.push(Arc::new(Person::new(name, is_calm, DEVICES_EACH)));
    }
    admin.sign_up("guessed").await;
    let end = Instant::now() + time;
    for person in &persons {
        for number in 0..DEVICES_EACH {
            let device = Device {
                client: Client::new(world, recorder, Who::Honest),
                thief: Client::new(world, recorder, Who::Thief),
                person: Arc::clone(person),
                number,
                graves: Arc::clone(&graves),
                random: random.fork(),
                jar: None,
                end,
            };
            at_work.spawn(device.work());
        }
    }
    let guesser = Client::new(world, recorder, Who::Guesser);
    at_work.spawn(guess(guesser, random.fork(), end));
    let prober = Client::new(world, recorder, Who::Prober);
    at_work.spawn(probe(prober, Arc::clone(&graves), random.fork(), end));
    let overseer = Admin::new(Client::new(world, recorder, Who::Honest), random.fork());
    at_work.spawn(overseer.oversee(end));
    persons.retain(|person| !person.is_calm);
    at_work.spawn(admin.work(persons, end));
    People {
        at_work,
        graves,
        random: random.fork(),
        end,
    }
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
        for (user, grant) in &graves {
            let replica = self.random.usize(..prober.replicas());
            probe_one(&prober, user, grant, replica).await;
        }
    }
}

async fn probe_one(prober: &Client, user: &str, grant: &Grant, replica: usize) {
    prober.ask(Ask::of(user, grant, Act::Check), replica).await;
    prober.ask(Ask::refresh(user, grant, None), replica).await;
}

async fn probe(
    prober: Client,
    graves: Arc<Graves>,
    mut random: fastrand::Rng,
    end: Instant,
) -> Option<Device> {
    while Instant::now() < end {
        let grave = {
            // The newest are the likeliest to be told late, and the old ones to be forgotten.
            let graves = graves.lock().expect("no holder panics");
            let newest = graves.len().saturating_sub(3);
            let from = if random.bool() { newest } else { 0 };
            random.choice(&graves[from..]).cloned()
        };
        if let Some((user, grant)) = grave {
            probe_one(&prober, &user, &grant, random.usize(..prober.replicas())).await;
        }
        sleep(Duration::from_millis(random.u64(20..80))).await;
    }
    None
}

/// Guesses as fast as it is let, and then now and then.
async fn guess(client: Client, mut random: fastrand::Rng, end: Instant) -> Option<Device> {
    while Instant::now() < end {
        let replicas = client.replicas();
        let guesses = (0..4).map(|_| {
            let number = random.u32(1000..);
            let wrong = format!("a wrong guess, number {number}");
            let replica = random.usize(..replicas);
            let client = &client;
            async move {
                client
                    .ask(Ask::login("guessed", number, &wrong), replica)
                    .await
            }
        });
        if join_all(guesses).await.iter().any(Answer::is_unknown) {
            sleep(Duration::from_millis(random.u64(200..800))).await;
        }
    }
    None
}
