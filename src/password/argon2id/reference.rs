//! Argon2id by the crate `argon2`.

use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::{HashCost, PasswordError};

/// Blocks of 1 KiB to reserve at least: a program with the allocator of glibc maps everything above 32 MiB for
/// itself and unmaps it when it is freed, but keeps what is smaller from the second time on. What is reserved and
/// not used costs address space alone.
const MAPPED_BLOCKS: usize = 33 << 10;

/// Memory of one hash at a time.
#[derive(Debug, Default)]
pub(in crate::password) struct HashingMemory(Vec<Block>);

impl HashingMemory {
    /// Returns the tag of a password.
    ///
    /// # Errors
    /// [`PasswordError::UnknownFormat`] for a cost that argon2 does not have.
    pub(super) fn derive(
        &mut self,
        password: &[u8],
        cost: HashCost,
        salt: &[u8],
    ) -> Result<[u8; 32], PasswordError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
            .map_err(|_| PasswordError::UnknownFormat)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let blocks = argon2.params().block_count();
        if self.0.len() < blocks {
            self.0.reserve_exact(blocks.max(MAPPED_BLOCKS));
            self.0.resize_with(blocks, Block::default);
        }
        let mut tag = [0; 32];
        argon2
            .hash_password_into_with_memory(password, salt, &mut tag, self.0.as_mut_slice())
            .map_err(|_| PasswordError::Failed)?;
        Ok(tag)
    }
}
