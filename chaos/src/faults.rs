//! What can go wrong, and in which order it does.

use crate::world::World;

/// Something that goes wrong, and is mended again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillReplica,
    FreezeReplica,
    RollingRestart,
    RotateKeys,
    FloodLogins,
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
}

impl Fault {
    const ALONE: [Self; 5] = [
        Self::KillReplica,
        Self::FreezeReplica,
        Self::RollingRestart,
        Self::RotateKeys,
        Self::FloodLogins,
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

    /// Returns what can go wrong with these processes.
    fn of(world: &World) -> Vec<Self> {
        let mut faults = Self::ALONE.to_vec();
        if world.disk.is_some() {
            faults.extend(Self::WITH_DISK);
        }
        if world.postgres.is_some() {
            faults.extend(Self::WITH_POSTGRES);
        }
        if world.redis.is_some() {
            faults.extend(Self::WITH_REDIS);
        }
        if world.watched.is_some() {
            faults.extend(Self::WITH_SENTINEL);
        }
        faults
    }
}

/// Faults in an order drawn from the seed: each comes once before any comes twice.
#[derive(Debug)]
pub(crate) struct Order {
    faults: Vec<Fault>,
    turn: Vec<Fault>,
    random: fastrand::Rng,
}

impl Order {
    /// An order of what can go wrong with these processes, and whose name contains `only`.
    pub(crate) fn of(world: &World, only: &str, random: fastrand::Rng) -> Self {
        let mut faults = Fault::of(world);
        let only = only.to_lowercase();
        faults.retain(|fault| format!("{fault:?}").to_lowercase().contains(&only));
        Self {
            faults,
            turn: Vec::new(),
            random,
        }
    }

    /// Returns what goes wrong next; nothing where nothing can.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        if self.turn.is_empty() {
            self.turn.clone_from(&self.faults);
            self.random.shuffle(&mut self.turn);
        }
        self.turn.pop()
    }
}
