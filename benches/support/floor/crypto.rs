//! Bare cryptography.

use argon2::{Argon2, Block, Params, Version};
use aws_lc_rs::hmac::{self as mac, HMAC_SHA256};
use aws_lc_rs::signature::Ed25519KeyPair;

use crate::support::worker::{repeat, serve_commands};

/// As long as what is signed of a refresh token and of an access token here.
const REFRESH_BYTES: usize = 360;
const ACCESS_BYTES: usize = 520;

/// Hashes one password after another, in memory that is `reused` or `fresh` for each.
pub(super) fn argon2(memory_kib: &str, passes: &str, memory: &str) {
    let params = Params::new(
        memory_kib.parse().expect("memory is a number"),
        passes.parse().expect("passes are a number"),
        1,
        None,
    );
    let params = params.expect("the bench names sound parameters");
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params);
    let blocks = argon2.params().block_count();
    let hash = |memory: &mut Vec<Block>| {
        memory.resize_with(blocks, Block::default);
        let mut out = [0; 32];
        argon2
            .hash_password_into_with_memory(b"a long password", &[7; 16], &mut out, memory)
            .expect("the parameters are sound");
        std::hint::black_box(out);
    };
    let mut kept = Vec::new();
    let is_fresh = memory == "fresh";
    serve_commands(|window| {
        repeat(window, || {
            if is_fresh {
                hash(&mut Vec::new());
            } else {
                hash(&mut kept);
            }
        })
    });
}

pub(super) fn hmac() {
    let key = mac::Key::new(HMAC_SHA256, &[7; 32]);
    let message = [7; REFRESH_BYTES];
    serve_commands(|window| {
        repeat(window, || {
            std::hint::black_box(mac::sign(&key, std::hint::black_box(&message)));
        })
    });
}

pub(super) fn eddsa() {
    let key = Ed25519KeyPair::generate().expect("the system gives random bytes");
    let message = [7; ACCESS_BYTES];
    serve_commands(|window| {
        repeat(window, || {
            std::hint::black_box(key.sign(std::hint::black_box(&message)));
        })
    });
}
