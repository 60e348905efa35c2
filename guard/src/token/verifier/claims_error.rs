//! Translation of errors of the JSON library.

use crate::error::AuthError;

/// Translates an error without its text, which may quote the token.
pub(super) fn claims_error(error: &serde_json::Error) -> AuthError {
    const MISSING: [(&str, &str); 4] = [
        ("missing field `sub`", "the claim `sub` is missing"),
        ("missing field `jti`", "the claim `jti` is missing"),
        ("missing field `iat`", "the claim `iat` is missing"),
        ("missing field `type`", "the claim `type` is missing"),
    ];
    let error = error.to_string();
    let missing = MISSING.iter().find(|(ours, _)| error.starts_with(ours));
    AuthError::MalformedToken(missing.map_or(UNREADABLE_CLAIMS, |(_, text)| text))
}

/// Refusal of a payload with a valid signature.
pub(super) const UNREADABLE_CLAIMS: &str =
    "a claim is empty, has the wrong type or is written twice";
