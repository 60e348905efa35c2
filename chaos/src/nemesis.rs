//! Injects faults: one after the other, in an order drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use chaos::history::InjectedFault;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::clock::{ClockJump, ClockOwner};
use crate::cluster::Cluster;
use crate::disk::DiskFault;
use crate::faults::{Fault, Order};
use crate::flood;
use crate::many_sessions::ManySessions;
use crate::recorder::Recorder;
use crate::sentinel::WatchedRedis;
use crate::wrong_clock;
use crate::{ACCESS_TTL, LONG_ACCESS_TTL};
use test_support::postgres::Postgres;
use test_support::proxy::NetworkFault;

/// Time that one replica has another lifetime of access tokens: as long as it takes the others to forget
/// what they revoked by their own setting, since they accept no token that is older than that.
const LONG_TTL_LASTS: Duration = Duration::from_secs(100);
/// The same for the only process. A longer lifetime is used a quarter of a minute after it was announced.
const LONG_TTL_LASTS_ALONE: Duration = Duration::from_secs(22);

/// Injects faults until `end`.
pub(crate) async fn run(
    cluster: &Arc<Cluster>,
    recorder: &Arc<Recorder>,
    mut random: fastrand::Rng,
    only: &str,
    end: Instant,
) {
    let mut order = Order::of(cluster, only, random.fork());
    let many_sessions = ManySessions::new(cluster, recorder, random.fork());
    let mut nemesis = Nemesis {
        cluster,
        recorder,
        random: random.fork(),
        repaired: 0,
        blackouts: 0,
        restore_at: None,
        many_sessions,
    };
    loop {
        // Enough time between two faults to see that the service has recovered.
        sleep(Duration::from_millis(random.u64(2200..3200))).await;
        let is_due = nemesis.restore_at.is_some_and(|time| time < Instant::now());
        let fault = is_due.then_some(Fault::RestoreAccessTtl);
        let Some(fault) = fault.or_else(|| order.next()) else {
            break;
        };
        if Instant::now() + Duration::from_secs(6) > end {
            break;
        }
        let start = recorder.begin();
        nemesis.inject(fault).await;
        cluster.ready().await;
        recorder.fault(InjectedFault {
            name: format!("{fault:?}"),
            start,
            end: recorder.now(),
            blackout: (fault == Fault::Blackout).then_some(nemesis.repaired),
            serves: fault.serves(),
        });
        // By now clients are served as usual; only the next failover has to wait for this.
        cluster
            .watched
            .iter()
            .for_each(WatchedRedis::wait_until_replicated);
    }
    tokio::time::sleep_until(end).await;
}

struct Nemesis<'w> {
    cluster: &'w Arc<Cluster>,
    recorder: &'w Arc<Recorder>,
    random: fastrand::Rng,
    /// When the network was last about to be repaired.
    repaired: u64,
    blackouts: u32,
    /// When the changed lifetime of access tokens is set back.
    restore_at: Option<Instant>,
    many_sessions: ManySessions,
}

impl Nemesis<'_> {
    async fn inject(&mut self, fault: Fault) {
        let replica = self.random.usize(..self.cluster.replicas.len());
        match fault {
            Fault::KillReplica => {
                self.cluster.replicas[replica].end(Signal::KILL);
                self.keep_fault_for(500).await;
                self.cluster.resume(replica);
            }
            Fault::FreezeReplica => {
                self.cluster.replicas[replica].signal(Signal::STOP);
                // Less than grace: what lies there for longer is judged when it is over, and looks late.
                self.keep_fault_for(1200).await;
                self.cluster.replicas[replica].signal(Signal::CONT);
            }
            Fault::RollingRestart => {
                for replica in 0..self.cluster.replicas.len() {
                    self.cluster.replicas[replica].end(Signal::TERM);
                    self.cluster.resume(replica);
                    self.cluster.replicas[replica].ready().await;
                }
            }
            Fault::ChangeAccessTtl => self.restart_with(LONG_ACCESS_TTL).await,
            Fault::RestoreAccessTtl => self.restart_with(ACCESS_TTL).await,
            Fault::EndManySessions => self.many_sessions.end().await,
            Fault::StartWithFastClock => {
                wrong_clock::start(self.cluster, self.recorder, replica).await;
            }
            Fault::RotateKeys => {
                self.cluster.run(replica, &["key", "rotate"]);
            }
            Fault::RotateRootSecret => self.rotate_root_secret().await,
            Fault::FloodLogins => flood::run(self.cluster, self.recorder, self.random.fork()).await,
            Fault::CutOffReplica => self.break_network(&[replica], NetworkFault::Cut).await,
            Fault::HangNetworkOfReplica => self.break_network(&[replica], NetworkFault::Hang).await,
            Fault::Blackout => self.black_out().await,
            Fault::JumpClockOfReplica(jump) => {
                self.clocks(&[ClockOwner::Replica(replica)], jump).await;
            }
            Fault::JumpClockOfPostgres(jump) => self.clocks(&[ClockOwner::Postgres], jump).await,
            Fault::JumpClockOfAll(jump) => {
                let replicas = (0..self.cluster.replicas.len()).map(ClockOwner::Replica);
                let all: Vec<ClockOwner> = replicas.chain([ClockOwner::Postgres]).collect();
                self.clocks(&all, jump).await;
            }
            Fault::FillDisk => self.disk(DiskFault::Full).await,
            Fault::BreakDisk => self.disk(DiskFault::Broken).await,
            Fault::KillPostgres | Fault::ExhaustConnections => self.postgres(fault).await,
            Fault::FailOver | Fault::FailOverWhileFrozen | Fault::FailOverLosingWrites => {
                self.fail_over(fault).await;
            }
            _ => self.redis(fault).await,
        }
    }

    async fn black_out(&mut self) {
        let all: Vec<usize> = (0..self.cluster.replicas.len()).collect();
        // In turn: immediate errors and hanging connections are different faults.
        self.blackouts += 1;
        let network_fault = if self.blackouts % 2 == 1 {
            NetworkFault::Cut
        } else {
            NetworkFault::Hang
        };
        self.break_network(&all, network_fault).await;
    }

    /// Walks both steps over all replicas, as the guide for operators says, and seals the keys again. Two secrets
    /// take turns, so that no token of an earlier one is ever refused.
    async fn rotate_root_secret(&mut self) {
        for secrets in self.cluster.replicas[0].root_secrets().rotation() {
            // Nobody uses it: it has the secrets from its next start on.
            if let Some(outsider) = &self.cluster.outsider {
                outsider.set_root_secrets(&secrets);
            }
            for replica in 0..self.cluster.replicas.len() {
                self.cluster.replicas[replica].set_root_secrets(&secrets);
                self.cluster.replicas[replica].end(Signal::TERM);
                self.cluster.resume(replica);
                self.cluster.replicas[replica].ready().await;
            }
        }
        let is_rotated = self.cluster.run(0, &["secret", "rotate"]);
        assert!(is_rotated, "the sealed values cannot be sealed again");
    }

    /// One replica issues access tokens with another lifetime than the others.
    async fn restart_with(&mut self, access_ttl: Duration) {
        let replica = &self.cluster.replicas[0];
        replica.set_access_ttl(access_ttl);
        replica.end(Signal::TERM);
        self.cluster.resume(0);
        replica.ready().await;
        let lasts = match self.cluster.replicas.len() {
            1 => LONG_TTL_LASTS_ALONE,
            _ => LONG_TTL_LASTS,
        };
        self.restore_at = (access_ttl != ACCESS_TTL).then(|| Instant::now() + lasts);
    }

    async fn disk(&mut self, fault: DiskFault) {
        let Some(disk) = &self.cluster.disk else {
            return;
        };
        disk.inject(fault);
        self.keep_fault_for(2000).await;
        disk.repair();
        // PostgreSQL stops when it cannot write its log, and gives up when it cannot recover either.
        self.cluster.postgres.iter().for_each(Postgres::revive);
    }

    /// These clocks jump, and after a while back.
    async fn clocks(&mut self, owners: &[ClockOwner], jump: ClockJump) {
        let Some(clocks) = &self.cluster.clocks else {
            return;
        };
        for owner in owners {
            clocks.jump(*owner, jump);
        }
        sleep(Duration::from_millis(self.random.u64(3000..=8000))).await;
        for owner in owners {
            clocks.repair(*owner);
        }
    }

    async fn postgres(&mut self, fault: Fault) {
        let Some(postgres) = &self.cluster.postgres else {
            return;
        };
        if fault == Fault::KillPostgres {
            postgres.kill();
            self.keep_fault_for(1500).await;
            postgres.resume();
        } else {
            let connections = self.cluster.exhaust_connections();
            self.keep_fault_for(2000).await;
            drop(connections);
        }
    }

    async fn fail_over(&mut self, fault: Fault) {
        let Some(watched) = &self.cluster.watched else {
            return;
        };
        match fault {
            Fault::FailOver => watched.fail_over(Signal::KILL),
            Fault::FailOverWhileFrozen => watched.fail_over(Signal::STOP),
            _ => {
                watched.cut_off_redis_replica();
                self.keep_fault_for(1000).await;
                watched.fail_over(Signal::KILL);
            }
        }
    }

    async fn redis(&mut self, fault: Fault) {
        let Some(redis) = &self.cluster.redis else {
            return;
        };
        match fault {
            Fault::RestartRedisEmpty => {
                redis.kill();
                self.keep_fault_for(800).await;
                redis.resume();
            }
            Fault::RestartRedisFromOldDump => {
                redis.save();
                self.keep_fault_for(2000).await;
                redis.kill();
                redis.resume();
            }
            Fault::EvictFromRedis => {
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
                self.keep_fault_for(1500).await;
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
            }
            Fault::FillRedis => {
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
                self.keep_fault_for(2000).await;
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Fault::FreezeRedis => {
                redis.freeze();
                self.keep_fault_for(2500).await;
                redis.thaw();
            }
            _ => redis.ask::<()>(&["FLUSHALL"]),
        }
    }

    /// A network fault between these replicas and both databases, for a while.
    async fn break_network(&mut self, replicas: &[usize], network_fault: NetworkFault) {
        for replica in replicas {
            self.cluster.replicas[*replica].network(network_fault);
        }
        self.keep_fault_for(4000).await;
        self.repaired = self.recorder.now();
        for replica in replicas {
            self.cluster.replicas[*replica].network(NetworkFault::Fair);
        }
    }

    /// Waits for about so many milliseconds.
    async fn keep_fault_for(&mut self, millis: u64) {
        sleep(Duration::from_millis(
            self.random.u64(millis / 2..=millis * 3 / 2),
        ))
        .await;
    }
}
