//! Argon2id, computed by the crate that this build selects.
//!
//! `argon2` is the default and the reference. With the feature `argon2-simd`, `argon2-rust` computes the
//! hashes, in the widest instructions of the processor. Both have the type [`HashingMemory`], which a
//! hashing thread keeps between two hashes.

use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

use super::{HashCost, PasswordError};

mod reference;
#[cfg(feature = "argon2-simd")]
mod simd;

#[cfg(not(feature = "argon2-simd"))]
pub(super) use reference::HashingMemory;
#[cfg(feature = "argon2-simd")]
pub(super) use simd::HashingMemory;

/// Derives the hash in `memory`, which grows to what is needed and is kept: fresh pages for every
/// hash would cost up to half of the time.
pub(super) fn derive(
    password: &SecretString,
    cost: HashCost,
    salt: &[u8],
    memory: &mut HashingMemory,
) -> Result<[u8; 32], PasswordError> {
    // Keyboards differ in how they compose `é`; the stored hash must not.
    let normal = SecretString::from(password.expose_secret().nfc().collect::<String>());
    memory.derive(normal.expose_secret().as_bytes(), cost, salt)
}

/// Refuses a processor on which `argon2-rust` does not return the tag of the reference: its code depends on
/// the processor, and tests run on few kinds.
///
/// # Errors
/// When the tags differ.
#[cfg(feature = "argon2-simd")]
pub(super) fn check_simd() -> std::io::Result<()> {
    const COST: HashCost = HashCost {
        memory_kib: 64,
        passes: 2,
        lanes: 1,
    };
    let (password, salt) = (b"a password of nobody", [7; 16]);
    let expected = reference::HashingMemory::default().derive(password, COST, &salt);
    let tag = HashingMemory::default().derive(password, COST, &salt);
    match (expected, tag) {
        (Ok(expected), Ok(tag)) if expected == tag => Ok(()),
        _ => Err(std::io::Error::other(
            "argon2-rust computes wrong password hashes on this processor: build without the feature argon2-simd",
        )),
    }
}
