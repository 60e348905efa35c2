//! The faults, and the order in which they occur.

use chaos::history::Spares;

use crate::clock::Jump;
use crate::world::World;

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
    JumpClockOfReplica(Jump),
    JumpClockOfAll(Jump),
    JumpClockOfPostgres(Jump),
}

impl Fault {
    const ALONE: [Self; 7] = [
        Self::KillReplica,
        Self::FreezeReplica,
        Self::RollingRestart,
        Self::ChangeAccessTtl,
        Self::RotateKeys,
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
        if world.clocks.is_some() && world.postgres.is_some() {
            faults.push(Self::StartWithFastClock);
        }
        if world.watched.is_some() {
            faults.extend(Self::WITH_SENTINEL);
        }
        faults
    }

    /// Returns the faults of clocks that can jump.
    fn of_clocks(world: &World) -> Vec<fn(Jump) -> Self> {
        let mut clocks: Vec<fn(Jump) -> Self> = Vec::new();
        if world.clocks.is_some() {
            clocks.push(Self::JumpClockOfReplica);
        }
        if world.clocks.is_some() && world.postgres.is_some() {
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
    pub(crate) const fn spares(self) -> Spares {
        match self {
            Self::JumpClockOfReplica(_)
            | Self::JumpClockOfAll(_)
            | Self::JumpClockOfPostgres(_)
            | Self::EndManySessions => Spares::Everybody,
            Self::FloodLogins => Spares::Sessions,
            _ => Spares::Nobody,
        }
    }
}

/// Faults in an order drawn from the seed: each comes once before any comes twice, and so does each jump
/// of a clock.
#[derive(Debug)]
pub(crate) struct Order {
    faults: Vec<Fault>,
    clocks: Vec<fn(Jump) -> Fault>,
    /// Part that the names of all faults contain.
    only: String,
    turn: Vec<Fault>,
    jumps: Vec<Jump>,
    random: fastrand::Rng,
}

impl Order {
    /// Returns an order of the possible faults whose names contain `only`.
    pub(crate) fn of(world: &World, only: &str, random: fastrand::Rng) -> Self {
        let mut faults = Fault::of(world);
        let mut clocks = Fault::of_clocks(world);
        faults.retain(|fault| fault.is_called(only));
        clocks.retain(|clock| Jump::ALL.iter().any(|jump| clock(*jump).is_called(only)));
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

    fn jump(&mut self, clock: fn(Jump) -> Fault) -> Fault {
        loop {
            if self.jumps.is_empty() {
                self.jumps.extend(Jump::ALL);
                self.random.shuffle(&mut self.jumps);
            }
            let drawn = self.jumps.pop().map(clock);
            if let Some(fault) = drawn.filter(|fault| fault.is_called(&self.only)) {
                return fault;
            }
        }
    }
}
