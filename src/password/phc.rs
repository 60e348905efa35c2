//! The stored form of a hash: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, as every argon2 library
//! writes it, so that hashes can be taken over from and by other programs.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::PasswordError;

/// More than any sensible configuration; a row that asks for more is damaged.
const MAX_MEMORY_KIB: u32 = 4 << 20;

/// Cost of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory that is filled, in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

/// Least memory of argon2, in KiB.
const MIN_MEMORY_KIB: u64 = 8;

impl HashCost {
    /// Returns the work of one hash: memory times passes, in KiB. Lanes divide it and change nothing.
    pub(super) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// Returns the cost of a hash of so much work in no more memory than this one takes, if so little
    /// work is a hash at all.
    pub(super) fn of_work(self, work: u64) -> Option<Self> {
        if work < MIN_MEMORY_KIB {
            return None;
        }
        let passes = work.div_ceil(u64::from(self.memory_kib.max(1)));
        let passes = passes.min(work / MIN_MEMORY_KIB);
        Some(Self {
            memory_kib: u32::try_from(work / passes).ok()?,
            passes: u32::try_from(passes).ok()?,
            lanes: 1,
        })
    }

    /// Reads the parameters of a stored hash: `m=19456,t=2,p=1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut costs = text.split(',');
        let cost = Self {
            memory_kib: costs.next()?.strip_prefix("m=")?.parse().ok()?,
            passes: costs.next()?.strip_prefix("t=")?.parse().ok()?,
            lanes: costs.next()?.strip_prefix("p=")?.parse().ok()?,
        };
        let is_sound = cost.memory_kib <= MAX_MEMORY_KIB && costs.next().is_none();
        is_sound.then_some(cost)
    }
}

/// A stored hash, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PhcHash {
    pub(super) cost: HashCost,
    pub(super) salt: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

impl PhcHash {
    pub(super) fn new(cost: HashCost, salt: Vec<u8>, hash: Vec<u8>) -> Self {
        Self { cost, salt, hash }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let phc = Self {
            cost: HashCost::parse(costs)?,
            salt: STANDARD_NO_PAD.decode(salt).ok()?,
            hash: STANDARD_NO_PAD.decode(hash).ok()?,
        };
        let is_whole = parts.next().is_none() && phc.hash.len() == 32;
        is_whole.then_some(phc)
    }
}

impl FromStr for PhcHash {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        Self::parse(text).ok_or(PasswordError::UnknownFormat)
    }
}

impl fmt::Display for PhcHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HashCost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let salt = STANDARD_NO_PAD.encode(&self.salt);
        let hash = STANDARD_NO_PAD.encode(&self.hash);
        write!(
            f,
            "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"
        )
    }
}
