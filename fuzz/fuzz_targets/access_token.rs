//! A text that is accepted as an access token is one that was signed, to the byte.
#![no_main]

use std::sync::LazyLock;

use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{ExpectedKind, Header, Issuer, Verifier, VerifierSettings};
use latchet_fuzz::{Edit, ISSUER, NOW, SECRET, claims, edited};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// An Ed25519 key in PKCS#8 is its seed behind these bytes (RFC 8410, section 7).
const PKCS8: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// Algorithms whose signatures are the same each time, and of which each has one form.
static SIGNED: LazyLock<(Verifier, [String; 2])> = LazyLock::new(|| {
    let pkcs8 = [&PKCS8[..], &[7; 32]].concat();
    let keys = [(Algorithm::EdDsa, &pkcs8[..]), (Algorithm::Hs256, SECRET)]
        .map(|(algorithm, bytes)| SigningKey::from_private_bytes(algorithm, bytes).unwrap());
    let trusted = KeySet::new(keys.iter().map(SigningKey::verifying_key));
    let settings = VerifierSettings::new(ISSUER, [ISSUER]);
    let tokens = keys.map(|key| Issuer::new(key).sign(&claims()).unwrap());
    (Verifier::new(trusted, settings), tokens)
});

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    of_secret: bool,
    edits: Vec<Edit<'a>>,
}

fuzz_target!(|input: Input<'_>| {
    let (verifier, tokens) = &*SIGNED;
    let token = &tokens[usize::from(input.of_secret)];
    let Some(shown) = edited(token, &input.edits) else {
        return;
    };

    let verified = verifier.verify(&shown, ExpectedKind::Access, NOW);
    let even_expired = verifier.verify_even_expired(&shown, ExpectedKind::Access, NOW);
    // Anybody may read it before anything is verified.
    drop(Header::unverified(&shown).members());

    assert_eq!(verified.is_ok(), shown == *token, "{shown}");
    assert_eq!(even_expired.is_ok(), shown == *token, "{shown}");
    assert!(verifier.verify(&shown, ExpectedKind::Refresh, NOW).is_err());
});
