//! Why a request was refused, and how that is said on the wire.

use poem::http::StatusCode;

/// An error answer as RFC 9457 `application/problem+json` with a stable `code`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, machine-readable name of the error; clients switch on this.
    pub code: &'static str,
    /// What went wrong, for a person, with the way out where there is one.
    pub detail: String,
}

/// Why a token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token in any place that was searched.
    #[error("no token was sent")]
    MissingToken,
    /// What stands where a token should be is not one.
    #[error("the token is malformed: {0}")]
    MalformedToken(&'static str),
    /// Signature, issuer, audience, algorithm or another claim is wrong.
    #[error("the token is not valid: {0}")]
    InvalidToken(&'static str),
    /// `exp` has passed.
    #[error("the token has expired")]
    TokenExpired,
    /// An access token where a refresh token belongs, or the other way round.
    #[error("this is the wrong kind of token")]
    WrongTokenType,
    /// The session or the token was revoked.
    #[error("the token was revoked")]
    TokenRevoked,
    /// The password was not proved recently enough.
    #[error("a fresh token is required")]
    FreshTokenRequired,
    /// A role or scope is missing.
    #[error("the token does not carry the role or scope that this needs")]
    InsufficientScope,
    /// A cookie came without the matching CSRF value, or from a foreign origin.
    #[error("the CSRF check failed: {0}")]
    CsrfFailed(&'static str),
    /// Two tokens in one request.
    #[error("more than one token was sent")]
    AmbiguousToken,
    /// The denylist could not be asked; retryable.
    #[error("the check could not be completed")]
    Unavailable,
}
