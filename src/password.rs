//! Passwords: hashed with argon2id on threads of their own, and refused when they are easy to guess.
//!
//! A hash fills 19 MiB, so its cost is memory as much as time. [`PasswordHasher`] bounds both: one hash
//! per thread at a time, in memory that the thread keeps, and a queue before them that refuses when it is
//! full. It knows nothing of users. Every verification costs the same work, whatever is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::error::ApiError;
use argon2id::{HashingMemory, derive};
use hashing_pool::HashingPool;
use hashing_queue::HashingQueue;
use phc::PhcHash;

mod argon2id;
mod breached;
mod hashing_pool;
mod hashing_queue;
mod keyboard;
mod phc;
mod policy;
mod spelling;
mod strength;
#[cfg(test)]
mod tests;

pub use hashing_queue::HashingPriority;
pub use phc::HashCost;
pub use policy::{MAX_BYTES, PasswordPolicy, Weakness};

/// Hashes and verifies passwords. Clones share the threads.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    cost: HashCost,
    admission: HashingQueue,
    pool: Arc<HashingPool>,
    work: Arc<WorkMeter>,
}

/// The right to use a hashing thread, held until an attempt is decided.
#[derive(Debug)]
pub struct HashingPermit {
    passwords: PasswordHasher,
    _permit: hashing_queue::QueuePermit,
}

/// Amounts of work, in blocks of 1 KiB times passes.
#[derive(Debug)]
struct WorkMeter {
    /// Cost of every verification: that of the most expensive hash known.
    of_verification: AtomicU64,
    done: AtomicU64,
}

/// Largest multiple of the configured cost that equal work may take.
const MAX_WORK_FACTOR: u64 = 32;

/// Permits for each thread. An attempt holds its permit while it is charged, which takes longer than a hash where
/// commits are slow. With fewer permits the threads would wait for the database; with more, a login of a known
/// device would wait for more hashes of strangers.
const PERMITS_PER_THREAD: usize = 5;

/// Result of the verification of a password against a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// It is not the password, or there is no such user.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, but its hash has another cost: store a new one.
    Outdated,
}

/// Failure to hash or verify a password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The queue is full; retryable.
    #[error("too many passwords are being checked")]
    Busy,
    /// The stored text is not a hash that this server knows.
    #[error("the stored password hash is not readable")]
    UnknownFormat,
    /// A hashing thread is gone, or the system gave no random bytes.
    #[error("the password could not be hashed")]
    Failed,
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::unavailable(error),
            PasswordError::UnknownFormat | PasswordError::Failed => Self::internal(error),
        }
    }
}

impl PasswordHasher {
    /// Starts `threads` threads that hash at `cost`; of each class of requests, up to `queue` wait for
    /// them.
    ///
    /// # Errors
    /// When a thread cannot be started, or the selected implementation of argon2id does not work on this
    /// processor.
    pub fn start(cost: HashCost, threads: usize, queue: usize) -> std::io::Result<Self> {
        #[cfg(feature = "argon2-simd")]
        argon2id::check_simd()?;
        let permits = threads.max(1) * PERMITS_PER_THREAD;
        Ok(Self {
            cost,
            admission: HashingQueue::new(permits, queue),
            // The caller has a permit.
            pool: Arc::new(HashingPool::start(threads, permits)?),
            work: Arc::new(WorkMeter {
                of_verification: AtomicU64::new(cost.work()),
                done: AtomicU64::new(0),
            }),
        })
    }

    /// Returns the number of passwords that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.admission.waiting() + self.pool.waiting()
    }

    /// Returns the number of passwords that may wait for a permit.
    pub fn queue_capacity(&self) -> usize {
        self.admission.capacity()
    }

    /// Returns the number of passwords that were refused since the start, because too many were waiting.
    pub fn refused(&self) -> u64 {
        self.admission.refused()
    }

    /// Returns the work that was done since the start: KiB times passes.
    pub fn work_done(&self) -> u64 {
        self.work.done.load(Ordering::Relaxed)
    }

    /// Waits for a permit, in turns with others in `lane`.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub async fn acquire_permit(
        &self,
        priority: HashingPriority,
        lane: &str,
    ) -> Result<HashingPermit, PasswordError> {
        Ok(HashingPermit {
            _permit: self.admission.enter(priority, lane).await?,
            passwords: self.clone(),
        })
    }

    /// Returns the text to store for a new password, in PHC form. It waits behind logins.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let permit = self
            .acquire_permit(HashingPriority::NewPassword, "")
            .await?;
        permit.hash(password).await
    }

    /// Takes note of the cost of a stored hash, given as it is stored: `m=19456,t=2,p=1`. From now on
    /// every verification costs at least as much.
    pub fn note_cost(&self, parameters: &str) {
        if let Some(cost) = HashCost::parse(parameters) {
            self.work.raise_to(cost.work(), self.cost);
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashingMemory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (sender, receiver) = oneshot::channel();
        self.pool.push(Box::new(move |memory| {
            // No client waits for a request that was given up in the queue: spare the work.
            if !sender.is_closed() {
                let _ = sender.send(work(memory));
            }
        }))?;
        receiver.await.map_err(|_| PasswordError::Failed)?
    }
}

impl HashingPermit {
    /// Returns the text to store for a password, in PHC form.
    ///
    /// # Errors
    /// When no random bytes or no thread is to be had.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let cost = self.passwords.cost;
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| PasswordError::Failed)?;
        let work = Arc::clone(&self.passwords.work);
        self.passwords
            .run(move |memory| {
                let hash = work.derive(&password, cost, &salt, memory)?;
                Ok(PhcHash::new(cost, salt.to_vec(), hash.to_vec()).to_string())
            })
            .await
    }

    /// Returns whether a password belongs to a stored hash. `None` represents a user that does not
    /// exist. The work is the same in all cases: otherwise the time would reveal which users exist.
    ///
    /// # Errors
    /// [`PasswordError::UnknownFormat`] for a malformed hash.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<&str>,
    ) -> Result<PasswordVerdict, PasswordError> {
        let cost = self.passwords.cost;
        let stored: Option<PhcHash> = stored.map(str::parse).transpose()?;
        let work = Arc::clone(&self.passwords.work);
        self.passwords
            .run(move |memory| {
                let own = stored.as_ref().map_or(0, |stored| stored.cost.work());
                let all = work.raise_to(own, cost);
                let verdict = match &stored {
                    None => PasswordVerdict::Wrong,
                    Some(stored) => work.verify(&password, stored, cost, memory)?,
                };
                if let Some(rest) = cost.of_work(all.saturating_sub(own)) {
                    work.derive(&password, rest, &[0; 16], memory)?;
                }
                Ok(verdict)
            })
            .await
    }
}

impl WorkMeter {
    /// Makes every verification cost at least `work`, and returns what it costs then. A row that is
    /// damaged must not make all logins slow: there is a limit.
    fn raise_to(&self, work: u64, cost: HashCost) -> u64 {
        let work = work.min(cost.work().saturating_mul(MAX_WORK_FACTOR));
        self.of_verification
            .fetch_max(work, Ordering::Relaxed)
            .max(work)
    }

    fn verify(
        &self,
        password: &SecretString,
        stored: &PhcHash,
        cost: HashCost,
        memory: &mut HashingMemory,
    ) -> Result<PasswordVerdict, PasswordError> {
        let hash = self.derive(password, stored.cost, &stored.salt, memory)?;
        Ok(match verify_slices_are_equal(&hash, &stored.hash) {
            Err(_) => PasswordVerdict::Wrong,
            Ok(()) if stored.cost == cost => PasswordVerdict::Right,
            Ok(()) => PasswordVerdict::Outdated,
        })
    }

    fn derive(
        &self,
        password: &SecretString,
        cost: HashCost,
        salt: &[u8],
        memory: &mut HashingMemory,
    ) -> Result<[u8; 32], PasswordError> {
        let hash = derive(password, cost, salt, memory)?;
        self.done.fetch_add(cost.work(), Ordering::Relaxed);
        Ok(hash)
    }
}
