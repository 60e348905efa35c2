//! A refresh token is read as what it was minted from, and nothing else is read at all.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use latchet_guard::clock::Time;
use latchet::refresh_token::RefreshTokenCodec;
use latchet::rotation::{SessionState, Superseded};
use latchet::derived_keys::DerivedKeys;
use latchet::store::Session;
use latchet_fuzz::{Edit, ISSUER, edited};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;

/// Ids are 22 characters, which the server makes itself.
const LONGEST_ID: usize = 64;

static TOKENS: LazyLock<RefreshTokenCodec> = LazyLock::new(|| {
    let keys = DerivedKeys::derive("a root secret that is long enough");
    RefreshTokenCodec::new(Arc::new(keys), ISSUER)
});

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    session: &'a str,
    user: &'a str,
    generation: u64,
    csrf_epoch: u64,
    rotated_at: i64,
    idle_limit: u32,
    edits: Vec<Edit<'a>>,
}

fn session(input: &Input<'_>) -> Session {
    let rotated_at = Time::from_secs(input.rotated_at);
    Session {
        id: input.session.into(),
        user_id: input.user.into(),
        state: SessionState {
            generation: input.generation,
            rotated_at,
            superseded: Superseded::default(),
            retry_key: None,
            expires_at: Time::MAX,
            idle_limit: Duration::from_secs(input.idle_limit.into()),
            revoked: None,
        },
        auth_time: rotated_at,
        amr: Vec::new(),
        scope: Vec::new(),
        is_narrowed: false,
        client_id: String::new(),
        csrf_epoch: input.csrf_epoch,
    }
}

fuzz_target!(|input: Input<'_>| {
    if input.session.len().max(input.user.len()) > LONGEST_ID {
        return;
    }
    let session = session(&input);
    let token = TOKENS
        .issue(&session)
        .expect("text and numbers have a JSON form");
    let token = token.expose_secret();

    let read = TOKENS.verify(token).expect("it was minted here");
    assert_eq!(read.session, session.id);
    assert_eq!(read.user, session.user_id);
    assert_eq!(read.generation, session.state.generation);

    let Some(shown) = edited(token, &input.edits) else {
        return;
    };
    assert_eq!(TOKENS.verify(&shown).is_ok(), shown == token, "{shown}");
});
