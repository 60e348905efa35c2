//! Passwords: hashed with argon2id on threads of their own, and refused when they are easy to guess.
//!
//! A hash fills 19 MiB, so its cost is memory as much as time. [`Passwords`] bounds both: one hash
//! per thread at a time, in memory that the thread keeps, and a queue that refuses when it is full.
//! It knows nothing of users; who is unknown is verified against nothing, at the same cost.

use std::sync::Arc;

use argon2::Block;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization;

use super::error::ApiError;
use phc::Phc;
use pool::Pool;

mod phc;
mod policy;
mod pool;
#[cfg(test)]
mod tests;

pub use phc::Cost;
pub use policy::{MAX_BYTES, Policy};

/// Hashes and verifies passwords. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Passwords {
    cost: Cost,
    pool: Arc<Pool>,
}

/// What a password is worth against a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not the password, or there is no such user.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, but its hash was made at another cost: store a new one.
    Outdated,
}

/// Why a password was neither hashed nor verified.
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

impl Passwords {
    /// Starts `threads` threads that hash at `cost`; up to `queue` passwords wait for them.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(cost: Cost, threads: usize, queue: usize) -> std::io::Result<Self> {
        Ok(Self {
            cost,
            pool: Arc::new(Pool::start(threads, queue)?),
        })
    }

    /// Returns how many passwords wait for a thread.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// Returns the text to store for a password, in PHC form.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let cost = self.cost;
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| PasswordError::Failed)?;
        self.run(move |memory| {
            let hash = derive(&password, cost, &salt, memory)?;
            Ok(Phc::new(cost, salt.to_vec(), hash.to_vec()).to_string())
        })
        .await
    }

    /// Returns whether a password belongs to a stored hash. `None` stands for a user who does not
    /// exist: the answer is [`Verdict::Wrong`], after the same work, so that time does not tell.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<&str>,
    ) -> Result<Verdict, PasswordError> {
        let cost = self.cost;
        let stored: Option<Phc> = stored.map(str::parse).transpose()?;
        self.run(move |memory| {
            let Some(stored) = stored else {
                derive(&password, cost, &[0; 16], memory)?;
                return Ok(Verdict::Wrong);
            };
            let hash = derive(&password, stored.cost, &stored.salt, memory)?;
            Ok(match verify_slices_are_equal(&hash, &stored.hash) {
                Err(_) => Verdict::Wrong,
                Ok(()) if stored.cost == cost => Verdict::Right,
                Ok(()) => Verdict::Outdated,
            })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (sender, receiver) = oneshot::channel();
        self.pool.push(Box::new(move |memory| {
            // Nobody waits for a request that was given up in the queue: spare the work.
            if !sender.is_closed() {
                let _ = sender.send(work(memory));
            }
        }))?;
        receiver.await.map_err(|_| PasswordError::Failed)?
    }
}

/// Blocks of 1 KiB to reserve at least: glibc maps everything above 32 MiB for itself and unmaps it when
/// it is freed, but keeps what is smaller from the second time on. What is reserved and not used costs
/// address space alone.
const MAPPED_BLOCKS: usize = 33 << 10;

/// Derives the hash in `memory`, which grows to what is needed and is kept: fresh pages for every
/// hash would cost up to half of the time.
fn derive(
    password: &SecretString,
    cost: Cost,
    salt: &[u8],
    memory: &mut Vec<Block>,
) -> Result<[u8; 32], PasswordError> {
    // Keyboards differ in how they compose `é`; the stored hash must not.
    let normal = SecretString::from(password.expose_secret().nfc().collect::<String>());
    let argon2 = cost.argon2()?;
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.reserve_exact(blocks.max(MAPPED_BLOCKS));
        memory.resize_with(blocks, Block::default);
    }
    let mut hash = [0; 32];
    argon2
        .hash_password_into_with_memory(
            normal.expose_secret().as_bytes(),
            salt,
            &mut hash,
            memory.as_mut_slice(),
        )
        .map_err(|_| PasswordError::Failed)?;
    Ok(hash)
}
