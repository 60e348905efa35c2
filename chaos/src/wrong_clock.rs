//! Replicas whose clocks are far ahead of the database's.

use std::time::Duration;

use chaos::history::{ProcessStart, ReadinessCheck};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::clock::{ClockJump, ClockOwner};
use crate::cluster::Cluster;
use crate::recorder::Recorder;

/// Seconds of [`Jump::MinutesAhead`].
const AHEAD: u64 = 1200;

/// Time that a replica runs if it started despite its clock: long enough to delete what is old by its clock.
const RUN_FOR: Duration = Duration::from_secs(3);

/// Sets the clock of the replica that no client asks, and asks it until `end` whether it is ready.
pub(crate) async fn outsider(cluster: &Cluster, recorder: &Recorder, end: Instant) {
    let (Some(outsider), Some(clocks)) = (&cluster.outsider, &cluster.clocks) else {
        return;
    };
    clocks.jump(cluster.outsider_clock(), ClockJump::MinutesAhead);
    let since = recorder.now();
    while Instant::now() < end {
        sleep(Duration::from_secs(1)).await;
        let start = recorder.now();
        recorder.readiness(ReadinessCheck {
            ahead: AHEAD,
            since,
            start,
            is_ready: outsider.is_ready().await,
        });
    }
}

/// Starts a replica with such a clock, and lets it run for a while if it starts.
pub(crate) async fn start(cluster: &Cluster, recorder: &Recorder, number: usize) {
    let Some(clocks) = &cluster.clocks else {
        return;
    };
    let (owner, replica) = (ClockOwner::Replica(number), &cluster.replicas[number]);
    replica.end(Signal::KILL);
    clocks.jump(owner, ClockJump::MinutesAhead);
    let start = recorder.begin();
    cluster.resume(number);
    let exit_code = replica.ready_or_ended().await;
    recorder.started(ProcessStart {
        replica: number,
        ahead: AHEAD,
        start,
        end: recorder.now(),
        is_ready: exit_code.is_none(),
        exit_code,
    });
    if exit_code.is_none() {
        sleep(RUN_FOR).await;
    }
    replica.end(Signal::KILL);
    clocks.repair(owner);
    cluster.resume(number);
}
