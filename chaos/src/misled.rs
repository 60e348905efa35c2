//! Replicas whose clocks are far ahead of the database's.

use std::time::Duration;

use chaos::history::{Readiness, Start};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::clock::{Jump, Owner};
use crate::record::Recorder;
use crate::world::World;

/// Seconds of [`Jump::MinutesAhead`].
const AHEAD: u64 = 1200;

/// Time that a replica runs if it started despite its clock: long enough to delete what is old by its clock.
const RUNS: Duration = Duration::from_secs(3);

/// Sets the clock of the replica that no client asks, and asks it until `end` whether it is ready.
pub(crate) async fn outsider(world: &World, recorder: &Recorder, end: Instant) {
    let (Some(outsider), Some(clocks)) = (&world.outsider, &world.clocks) else {
        return;
    };
    clocks.jump(world.outsider_clock(), Jump::MinutesAhead);
    let since = recorder.now();
    while Instant::now() < end {
        sleep(Duration::from_secs(1)).await;
        let start = recorder.now();
        recorder.readiness(Readiness {
            ahead: AHEAD,
            since,
            start,
            is_ready: outsider.is_ready().await,
        });
    }
}

/// Starts a replica with such a clock, and lets it run for a while if it starts.
pub(crate) async fn start(world: &World, recorder: &Recorder, number: usize) {
    let Some(clocks) = &world.clocks else {
        return;
    };
    let (owner, replica) = (Owner::Replica(number), &world.replicas[number]);
    replica.end(Signal::KILL);
    clocks.jump(owner, Jump::MinutesAhead);
    let start = recorder.begin();
    world.resume(number);
    let exit_code = replica.ready_or_ended().await;
    recorder.started(Start {
        replica: number,
        ahead: AHEAD,
        start,
        end: recorder.now(),
        is_ready: exit_code.is_none(),
        exit_code,
    });
    if exit_code.is_none() {
        sleep(RUNS).await;
    }
    replica.end(Signal::KILL);
    clocks.mend(owner);
    world.resume(number);
}
