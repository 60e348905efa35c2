//! The faults, and the order in which they occur.

use chaos::history::ServedClients;

use crate::clock::ClockJump;
use crate::cluster::Cluster;

/// Something that goes wrong, and is repaired again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillReplica,
    FreezeReplica,
    RollingRestart,
    ChangeAccessTtl,
    /// Follows the one before by itself.
    RestoreAccessTtl,
    RotateKeys,
    RotateRootSecret,
    FloodLogins,
    EndManySessions,
    StartWithFastClock,
    FillDisk,
    BreakDisk,
    FlushRedis,
    RestartRedisEmpty,
    RestartRedisFromOldDump,
    EvictFromRedis,
    FillRedis,
    FreezeRedis,
    KillPostgres,
    CutOffReplica,
    HangNetworkOfReplica,
    ExhaustConnections,
    Blackout,
    FailOver,
    FailOverWhileFrozen,
    FailOverLosingWrites,
    JumpClockOfReplica(ClockJump),
    JumpClockOfAll(ClockJump),
    JumpClockOfPostgres(ClockJump),
}

impl Fault {
    const ALONE: [Self; 8] = [
        Self::KillReplica,
        Self::FreezeReplica,
        Self::RollingRestart,
        Self::ChangeAccessTtl,
        Self::RotateKeys,
        Self::RotateRootSecret,
        Self::FloodLogins,
        Self::EndManySessions,
    ];
    const WITH_DISK: [Self; 2] = [Self::FillDisk, Self::BreakDisk];
    const WITH_POSTGRES: [Self; 4] = [
        Self::KillPostgres,
        Self::CutOffReplica,
        Self::HangNetworkOfReplica,
        Self::ExhaustConnections,
    ];
    const WITH_REDIS: [Self; 7] = [
        Self::FlushRedis,
        Self::RestartRedisEmpty,
        Self::RestartRedisFromOldDump,
        Self::EvictFromRedis,
        Self::FillRedis,
        Self::FreezeRedis,
        Self::Blackout,
    ];
    const WITH_SENTINEL: [Self; 3] = [
        Self::FailOver,
        Self::FailOverWhileFrozen,
        Self::FailOverLosingWrites,
    ];

    /// Returns the possible faults of these processes.
    fn of(cluster: &Cluster) -> Vec<Self> {
        let mut faults = Self::ALONE.to_vec();
        if cluster.disk.is_some() {
            faults.extend(Self::WITH_DISK);
        }
        if cluster.postgres.is_some() {
            faults.extend(Self::WITH_POSTGRES);
        }
        if cluster.redis.is_some() {
            faults.extend(Self::WITH_REDIS);
        }
        if cluster.clocks.is_some() && cluster.postgres.is_some() {
            faults.push(Self::StartWithFastClock);
        }
        if cluster.watched.is_some() {
            faults.extend(Self::WITH_SENTINEL);
        }
        faults
    }

    /// Returns the faults of clocks that can jump.
    fn of_clocks(cluster: &Cluster) -> Vec<fn(ClockJump) -> Self> {
        let mut clocks: Vec<fn(ClockJump) -> Self> = Vec::new();
        if cluster.clocks.is_some() {
            clocks.push(Self::JumpClockOfReplica);
        }
        if cluster.clocks.is_some() && cluster.postgres.is_some() {
            clocks.extend([
                Self::JumpClockOfAll as fn(_) -> _,
                Self::JumpClockOfPostgres,
            ]);
        }
        clocks
    }

    /// True when its name contains this.
    fn is_called(self, part: &str) -> bool {
        let name = format!("{self:?}").to_lowercase();
        name.contains(&part.to_lowercase())
    }

    /// Returns the clients that are served as usual while it lasts.
    pub(crate) const fn serves(self) -> ServedClients {
        match self {
            Self::JumpClockOfReplica(_)
            | Self::JumpClockOfAll(_)
            | Self::JumpClockOfPostgres(_)
            | Self::EndManySessions => ServedClients::Everybody,
            Self::FloodLogins => ServedClients::Sessions,
            _ => ServedClients::Nobody,
        }
    }
}

/// Faults in an order drawn from the seed: each comes once before any comes twice, and so does each jump
/// of a clock.
#[derive(Debug)]
pub(crate) struct Order {
    faults: Vec<Fault>,
    clocks: Vec<fn(ClockJump) -> Fault>,
    /// Part that the names of all faults contain.
    only: String,
    turn: Vec<Fault>,
    jumps: Vec<ClockJump>,
    random: fastrand::Rng,
}

impl Order {
    /// Returns an order of the possible faults whose names contain `only`.
    pub(crate) fn of(cluster: &Cluster, only: &str, random: fastrand::Rng) -> Self {
        let mut faults = Fault::of(cluster);
        let mut clocks = Fault::of_clocks(cluster);
        faults.retain(|fault| fault.is_called(only));
        clocks.retain(|clock| {
            ClockJump::ALL
                .iter()
                .any(|jump| clock(*jump).is_called(only))
        });
        Self {
            faults,
            clocks,
            only: only.to_owned(),
            turn: Vec::new(),
            jumps: Vec::new(),
            random,
        }
    }

    /// Returns the next fault; none where none is possible.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        if self.turn.is_empty() {
            self.turn.clone_from(&self.faults);
            for clock in self.clocks.clone() {
                let fault = self.jump(clock);
                self.turn.push(fault);
            }
            self.random.shuffle(&mut self.turn);
            // Its effect on revocations is visible a minute later at the earliest.
            self.turn
                .sort_by_key(|fault| *fault == Fault::ChangeAccessTtl);
        }
        self.turn.pop()
    }

    fn jump(&mut self, clock: fn(ClockJump) -> Fault) -> Fault {
        loop {
            if self.jumps.is_empty() {
                self.jumps.extend(ClockJump::ALL);
                self.random.shuffle(&mut self.jumps);
            }
            let drawn = self.jumps.pop().map(clock);
            if let Some(fault) = drawn.filter(|fault| fault.is_called(&self.only)) {
                return fault;
            }
        }
    }
}
