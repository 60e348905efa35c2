//! Behaviour of the public items: guards, tokens, keys, cookies, and the clients of an issuer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that fails ends its test, and the text says what did not hold"
)]

mod cookies;
mod guard;
mod introspection;
mod keys;
mod raw_signature;
mod remote;
mod token;
