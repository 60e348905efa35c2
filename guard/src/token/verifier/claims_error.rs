//! Translation of errors of the JSON library.

use crate::error::{AuthError, MalformedToken, RequiredClaim};

/// Translates an error without its text, which may quote the token.
pub(super) fn claims_error(error: &serde_json::Error) -> AuthError {
    // serde reports a missing claim only in its text.
    let text = error.to_string();
    let missing = RequiredClaim::ALL
        .into_iter()
        .find(|claim| text.starts_with(&format!("missing field `{claim}`")));
    AuthError::MalformedToken(missing.map_or(
        MalformedToken::UnreadableClaim,
        MalformedToken::ClaimMissing,
    ))
}
