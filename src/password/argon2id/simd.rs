//! Argon2id by the crate `argon2-rust`, which selects its instructions by the processor at run time.

use argon2_rust::params::Memory;
use argon2_rust::{Algorithm, Argon2, Hasher, Params, Version};

use super::{HashCost, PasswordError};

#[cfg(test)]
mod tests;

/// Memory of one hash at a time. It is mapped apart from the heap, and wiped after each hash.
#[derive(Debug, Default)]
pub(in crate::password) struct HashingMemory(Option<Hasher>);

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
        let params = Params::builder()
            .memory(Memory::kib(u64::from(cost.memory_kib)))
            .passes(cost.passes)
            .lanes(cost.lanes)
            .threads(1)
            .build()
            .map_err(|_| PasswordError::UnknownFormat)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hasher = self.0.get_or_insert_with(|| argon2.hasher());
        hasher.set_argon2(argon2);
        let mut tag = [0; 32];
        hasher
            .hash_into(password, salt, &mut tag)
            .map_err(|_| PasswordError::Failed)?;
        Ok(tag)
    }
}
