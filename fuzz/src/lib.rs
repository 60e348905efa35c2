//! Shared by several fuzz targets: edits of a valid text.

use std::time::Duration;

use latchet_guard::clock::Time;
use latchet_guard::token::Claims;
use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// Issuer and audience of the tokens.
pub const ISSUER: &str = "https://auth.example";

/// Secret of the HS256 keys.
pub const SECRET: &[u8] = b"k0aFh3yqXc5N8vRwZt1LmPsD7uGbE2jQ";

/// When everything happens. Tokens live much longer than that, because `exp` is also held against the
/// system's clock.
pub const NOW: Time = Time::from_secs(1_700_000_000);

/// Lifetime of tokens.
pub const LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Returns what a good access token says, the same each time.
pub fn claims() -> Claims {
    Claims {
        iss: ISSUER.to_owned(),
        aud: vec![ISSUER.to_owned()],
        sub: "alice".to_owned(),
        jti: "one".to_owned(),
        csrf: Some("a value that pages repeat".to_owned()),
        ..Claims::access(NOW, LIFE)
    }
}

/// One change of a text.
#[derive(Arbitrary, Debug)]
pub struct Edit<'a> {
    at: u16,
    taken: u8,
    put: &'a [u8],
}

/// Returns `text` after these changes, where it is text then.
pub fn edited(text: &str, edits: &[Edit<'_>]) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    for edit in edits {
        let start = usize::from(edit.at) % (bytes.len() + 1);
        let end = bytes.len().min(start + usize::from(edit.taken));
        bytes.splice(start..end, edit.put.iter().copied());
    }
    String::from_utf8(bytes).ok()
}
