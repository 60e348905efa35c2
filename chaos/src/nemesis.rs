//! Injects faults: one after the other, in an order drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use chaos::history::Fault as Line;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::clock::{Jump, Owner};
use crate::crowd::Crowd;
use crate::disk::Ill;
use crate::faults::{Fault, Order};
use crate::flood;
use crate::misled;
use crate::record::Recorder;
use crate::sentinel::Watched;
use crate::support::postgres::Postgres;
use crate::support::proxy::Weather;
use crate::world::World;
use crate::{ACCESS_TTL, LONG_ACCESS_TTL};

/// Time that one replica has another lifetime of access tokens: as long as it takes the others to forget
/// what they revoked by their own setting, since they accept no token that is older than that.
const LONG_TTL_LASTS: Duration = Duration::from_secs(100);
/// The same for the only process. A longer lifetime is used a quarter of a minute after it was announced.
const LONG_TTL_LASTS_ALONE: Duration = Duration::from_secs(22);

/// Injects faults until `end`.
pub(crate) async fn run(
    world: &Arc<World>,
    recorder: &Arc<Recorder>,
    mut random: fastrand::Rng,
    only: &str,
    end: Instant,
) {
    let mut order = Order::of(world, only, random.fork());
    let crowd = Crowd::new(world, recorder, random.fork());
    let mut nemesis = Nemesis {
        world,
        recorder,
        random: random.fork(),
        mended: 0,
        blackouts: 0,
        restore_at: None,
        crowd,
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
        nemesis.cause(fault).await;
        world.ready().await;
        recorder.fault(Line {
            name: format!("{fault:?}"),
            start,
            end: recorder.now(),
            blackout: (fault == Fault::Blackout).then_some(nemesis.mended),
            spares: fault.spares(),
        });
        // By now clients are served as usual; only the next failover has to wait for this.
        world.watched.iter().for_each(Watched::settle);
    }
    tokio::time::sleep_until(end).await;
}

struct Nemesis<'w> {
    world: &'w Arc<World>,
    recorder: &'w Arc<Recorder>,
    random: fastrand::Rng,
    /// When the network was last about to be repaired.
    mended: u64,
    blackouts: u32,
    /// When the changed lifetime of access tokens is set back.
    restore_at: Option<Instant>,
    crowd: Crowd,
}

impl Nemesis<'_> {
    async fn cause(&mut self, fault: Fault) {
        let replica = self.random.usize(..self.world.replicas.len());
        match fault {
            Fault::KillReplica => {
                self.world.replicas[replica].end(Signal::KILL);
                self.last(500).await;
                self.world.resume(replica);
            }
            Fault::FreezeReplica => {
                self.world.replicas[replica].signal(Signal::STOP);
                // Less than grace: what lies there for longer is judged when it is over, and looks late.
                self.last(1200).await;
                self.world.replicas[replica].signal(Signal::CONT);
            }
            Fault::RollingRestart => {
                for replica in 0..self.world.replicas.len() {
                    self.world.replicas[replica].end(Signal::TERM);
                    self.world.resume(replica);
                    self.world.replicas[replica].ready().await;
                }
            }
            Fault::ChangeAccessTtl => self.restart_with(LONG_ACCESS_TTL).await,
            Fault::RestoreAccessTtl => self.restart_with(ACCESS_TTL).await,
            Fault::EndManySessions => self.crowd.end().await,
            Fault::StartWithFastClock => misled::start(self.world, self.recorder, replica).await,
            Fault::RotateKeys => {
                self.world.run(replica, &["key", "rotate"]);
            }
            Fault::FloodLogins => flood::run(self.world, self.recorder, self.random.fork()).await,
            Fault::CutOffReplica => self.weather(&[replica], Weather::Cut).await,
            Fault::HangNetworkOfReplica => self.weather(&[replica], Weather::Hang).await,
            Fault::Blackout => {
                let all: Vec<usize> = (0..self.world.replicas.len()).collect();
                // In turn: immediate errors and hanging connections are different faults.
                self.blackouts += 1;
                let weather = if self.blackouts % 2 == 1 {
                    Weather::Cut
                } else {
                    Weather::Hang
                };
                self.weather(&all, weather).await;
            }
            Fault::JumpClockOfReplica(jump) => self.clocks(&[Owner::Replica(replica)], jump).await,
            Fault::JumpClockOfPostgres(jump) => self.clocks(&[Owner::Postgres], jump).await,
            Fault::JumpClockOfAll(jump) => {
                let replicas = (0..self.world.replicas.len()).map(Owner::Replica);
                let all: Vec<Owner> = replicas.chain([Owner::Postgres]).collect();
                self.clocks(&all, jump).await;
            }
            Fault::FillDisk => self.disk(Ill::Full).await,
            Fault::BreakDisk => self.disk(Ill::Broken).await,
            Fault::KillPostgres | Fault::ExhaustConnections => self.postgres(fault).await,
            Fault::FailOver | Fault::FailOverWhileFrozen | Fault::FailOverLosingWrites => {
                self.fail_over(fault).await;
            }
            _ => self.redis(fault).await,
        }
    }

    /// One replica issues access tokens with another lifetime than the others.
    async fn restart_with(&mut self, access_ttl: Duration) {
        let replica = &self.world.replicas[0];
        replica.set_access_ttl(access_ttl);
        replica.end(Signal::TERM);
        self.world.resume(0);
        replica.ready().await;
        let lasts = match self.world.replicas.len() {
            1 => LONG_TTL_LASTS_ALONE,
            _ => LONG_TTL_LASTS,
        };
        self.restore_at = (access_ttl != ACCESS_TTL).then(|| Instant::now() + lasts);
    }

    async fn disk(&mut self, ill: Ill) {
        let Some(disk) = &self.world.disk else {
            return;
        };
        disk.fall(ill);
        self.last(2000).await;
        disk.mend();
        // PostgreSQL stops when it cannot write its log, and gives up when it cannot recover either.
        self.world.postgres.iter().for_each(Postgres::revive);
    }

    /// These clocks jump, and after a while back.
    async fn clocks(&mut self, owners: &[Owner], jump: Jump) {
        let Some(clocks) = &self.world.clocks else {
            return;
        };
        for owner in owners {
            clocks.jump(*owner, jump);
        }
        sleep(Duration::from_millis(self.random.u64(3000..=8000))).await;
        for owner in owners {
            clocks.mend(*owner);
        }
    }

    async fn postgres(&mut self, fault: Fault) {
        let Some(postgres) = &self.world.postgres else {
            return;
        };
        if fault == Fault::KillPostgres {
            postgres.kill();
            self.last(1500).await;
            postgres.resume();
        } else {
            let connections = self.world.exhaust();
            self.last(2000).await;
            drop(connections);
        }
    }

    async fn fail_over(&mut self, fault: Fault) {
        let Some(watched) = &self.world.watched else {
            return;
        };
        match fault {
            Fault::FailOver => watched.fail_over(Signal::KILL),
            Fault::FailOverWhileFrozen => watched.fail_over(Signal::STOP),
            _ => {
                watched.deafen_replica();
                self.last(1000).await;
                watched.fail_over(Signal::KILL);
            }
        }
    }

    async fn redis(&mut self, fault: Fault) {
        let Some(redis) = &self.world.redis else {
            return;
        };
        match fault {
            Fault::RestartRedisEmpty => {
                redis.kill();
                self.last(800).await;
                redis.resume();
            }
            Fault::RestartRedisFromOldDump => {
                redis.save();
                self.last(2000).await;
                redis.kill();
                redis.resume();
            }
            Fault::EvictFromRedis => {
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
                self.last(1500).await;
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
            }
            Fault::FillRedis => {
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
                self.last(2000).await;
                redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Fault::FreezeRedis => {
                redis.freeze();
                self.last(2500).await;
                redis.thaw();
            }
            _ => redis.ask::<()>(&["FLUSHALL"]),
        }
    }

    /// Bad weather between these replicas and both databases, for a while.
    async fn weather(&mut self, replicas: &[usize], weather: Weather) {
        for replica in replicas {
            self.world.replicas[*replica].network(weather);
        }
        self.last(4000).await;
        self.mended = self.recorder.now();
        for replica in replicas {
            self.world.replicas[*replica].network(Weather::Fair);
        }
    }

    /// Waits for about so many milliseconds.
    async fn last(&mut self, millis: u64) {
        sleep(Duration::from_millis(
            self.random.u64(millis / 2..=millis * 3 / 2),
        ))
        .await;
    }
}
