//! What the library for JWTs says, in our words.

use jsonwebtoken::errors::ErrorKind;

use crate::error::AuthError;
use crate::token::reason;

/// Translates without the source's text, which may quote the token.
pub(super) fn refusal(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::InvalidSignature => AuthError::InvalidToken(reason::BAD_SIGNATURE),
        ErrorKind::InvalidIssuer => AuthError::InvalidToken("another issuer made it"),
        ErrorKind::InvalidAudience => AuthError::InvalidToken("it is meant for another audience"),
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => {
            AuthError::MalformedToken("the claim `iss` is missing")
        }
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => {
            AuthError::MalformedToken("the claim `aud` is missing")
        }
        ErrorKind::Json(error) => AuthError::MalformedToken(missing_claim(&error.to_string())),
        ErrorKind::Base64(_) => AuthError::MalformedToken("it is not base64url"),
        _ => AuthError::InvalidToken("it does not meet what is required here"),
    }
}

/// Said of a payload whose signature is good.
pub(super) const NO_CLAIMS: &str = "a claim has the wrong type or is written twice";

fn missing_claim(error: &str) -> &'static str {
    const MISSING: [(&str, &str); 4] = [
        ("missing field `sub`", "the claim `sub` is missing"),
        ("missing field `jti`", "the claim `jti` is missing"),
        ("missing field `iat`", "the claim `iat` is missing"),
        ("missing field `type`", "the claim `type` is missing"),
    ];
    MISSING
        .iter()
        .find(|(ours, _)| error.starts_with(ours))
        .map_or(NO_CLAIMS, |(_, text)| text)
}
