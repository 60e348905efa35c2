//! Reasons for a refusal, as closed sets: code compares variants, and only `Display` contains the texts that
//! clients receive.

use std::fmt;

/// Reason for which a value in place of a token is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MalformedToken {
    /// Longer than a verifier reads.
    #[error("it is longer than 8 kB")]
    TooLong,
    /// Longer than any refresh token of the server.
    #[error("it is longer than any refresh token")]
    LongerThanRefreshToken,
    /// Not a JWT at all.
    #[error("it is not a JWT")]
    NotJwt,
    /// Not the compact form of a JWS.
    #[error("it does not have three parts")]
    NotThreeParts,
    /// The payload or the signature is not base64url.
    #[error("it is not base64url")]
    NotBase64,
    /// The header is not base64url.
    #[error("its header is not base64url")]
    HeaderNotBase64,
    /// The header is not a JSON object, or lacks a member.
    #[error("its header is not a JOSE header")]
    NotJoseHeader,
    /// A claim without which no token is accepted.
    #[error("the claim `{0}` is missing")]
    ClaimMissing(RequiredClaim),
    /// A claim that cannot be read.
    #[error("a claim is empty, has the wrong type or is written twice")]
    UnreadableClaim,
    /// The claim `sub` or `jti` is an empty string.
    #[error("`sub` or `jti` is empty")]
    EmptySubOrJti,
    /// A member of a JSON body that is not a string.
    #[error("it is not a string")]
    NotString,
    /// Bytes that no token contains.
    #[error("it is not ASCII")]
    NotAscii,
    /// The scheme in a header without a token.
    #[error("there is no token after the scheme")]
    NoTokenAfterScheme,
    /// A query parameter without the configured prefix.
    #[error("its prefix in the query is missing")]
    QueryPrefixMissing,
}

/// A claim that every token must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequiredClaim {
    /// `iss`, the issuer.
    Iss,
    /// `aud`, the audience.
    Aud,
    /// `sub`, the user.
    Sub,
    /// `jti`, the token's own id.
    Jti,
    /// `iat`, the time of issue.
    Iat,
    /// `exp`, the expiry.
    Exp,
    /// `type`, access or refresh.
    Type,
}

impl RequiredClaim {
    /// Every required claim.
    pub const ALL: [Self; 7] = [
        Self::Iss,
        Self::Aud,
        Self::Sub,
        Self::Jti,
        Self::Iat,
        Self::Exp,
        Self::Type,
    ];

    /// Returns the name in the token.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iss => "iss",
            Self::Aud => "aud",
            Self::Sub => "sub",
            Self::Jti => "jti",
            Self::Iat => "iat",
            Self::Exp => "exp",
            Self::Type => "type",
        }
    }
}

impl fmt::Display for RequiredClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reason for refusing a well-formed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidToken {
    /// The signature was not made with the key that the header names.
    #[error("its signature does not match")]
    BadSignature,
    /// No trusted key has this id and algorithm.
    #[error("it was not signed with a trusted key")]
    UntrustedKey,
    /// An algorithm that is not offered, such as `none`.
    #[error("its algorithm is not accepted")]
    ForeignAlgorithm,
    /// A type in the header that the verifier does not accept.
    #[error("its `typ` is not accepted here")]
    ForeignType,
    /// The header requires extensions (`crit`).
    #[error("it has critical extensions")]
    CriticalExtensions,
    /// The claim `iss` has another name.
    #[error("it was issued by another issuer")]
    ForeignIssuer,
    /// The claim `aud` has other names.
    #[error("it is meant for another audience")]
    ForeignAudience,
    /// The time in `nbf` is in the future.
    #[error("it is not valid yet")]
    NotYetValid,
    /// The time in `iat` is in the future.
    #[error("it was issued in the future")]
    IssuedInFuture,
    /// A refresh token that the server did not sign.
    #[error("it was not issued by this server")]
    ForeignServer,
    /// An access token without a session, where a session is required.
    #[error("it belongs to no session")]
    NoSession,
}

/// Reason for which a request with a cookie failed the CSRF check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CsrfFailure {
    /// A page of another origin sent it.
    #[error("the request comes from another site")]
    ForeignOrigin,
    /// The value is neither in the header nor in the form.
    #[error("the header with the CSRF value is missing")]
    ValueMissing,
    /// The token has no value to compare with.
    #[error("the token has no `csrf` claim")]
    ClaimMissing,
    /// The value is not the one in the token.
    #[error("the value in the request does not match the token")]
    ValueMismatch,
    /// The header of the server's own pages is absent.
    #[error("the header X-CSRF-Token is missing")]
    HeaderMissing,
    /// The header of the server's own pages has another value than the CSRF cookie.
    #[error("X-CSRF-Token does not repeat the CSRF cookie")]
    CookieMismatch,
    /// The CSRF cookie is not the one of the session in the refresh cookie.
    #[error("the CSRF cookie belongs to another session, or is from before a password change")]
    SessionMismatch,
}

/// Location of a token in a request, as an error names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenLocation {
    /// A header whose name the guard configures.
    Header,
    /// The header `Authorization`.
    Authorization,
    /// A cookie.
    Cookie,
    /// The query.
    Query,
    /// A member of a JSON body.
    JsonBody,
    /// A body in JSON or in the form encoding.
    Body,
}

impl fmt::Display for TokenLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "a header",
            Self::Authorization => "the header `Authorization`",
            Self::Cookie => "a cookie",
            Self::Query => "the query",
            Self::JsonBody => "the JSON body",
            Self::Body => "the body",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_for_malformed_tokens_have_these_texts() {
        let table = [
            (MalformedToken::TooLong, "it is longer than 8 kB"),
            (
                MalformedToken::LongerThanRefreshToken,
                "it is longer than any refresh token",
            ),
            (MalformedToken::NotJwt, "it is not a JWT"),
            (
                MalformedToken::NotThreeParts,
                "it does not have three parts",
            ),
            (MalformedToken::NotBase64, "it is not base64url"),
            (
                MalformedToken::HeaderNotBase64,
                "its header is not base64url",
            ),
            (
                MalformedToken::NotJoseHeader,
                "its header is not a JOSE header",
            ),
            (
                MalformedToken::UnreadableClaim,
                "a claim is empty, has the wrong type or is written twice",
            ),
            (MalformedToken::EmptySubOrJti, "`sub` or `jti` is empty"),
            (MalformedToken::NotString, "it is not a string"),
            (MalformedToken::NotAscii, "it is not ASCII"),
            (
                MalformedToken::NoTokenAfterScheme,
                "there is no token after the scheme",
            ),
            (
                MalformedToken::QueryPrefixMissing,
                "its prefix in the query is missing",
            ),
        ];
        for (reason, text) in table {
            assert_eq!(reason.to_string(), text);
        }
        let texts = RequiredClaim::ALL.map(|claim| MalformedToken::ClaimMissing(claim).to_string());
        let names = ["iss", "aud", "sub", "jti", "iat", "exp", "type"];
        assert_eq!(
            texts,
            names.map(|name| format!("the claim `{name}` is missing"))
        );
    }

    #[test]
    fn reasons_for_invalid_tokens_have_these_texts() {
        let table = [
            (InvalidToken::BadSignature, "its signature does not match"),
            (
                InvalidToken::UntrustedKey,
                "it was not signed with a trusted key",
            ),
            (
                InvalidToken::ForeignAlgorithm,
                "its algorithm is not accepted",
            ),
            (InvalidToken::ForeignType, "its `typ` is not accepted here"),
            (
                InvalidToken::CriticalExtensions,
                "it has critical extensions",
            ),
            (
                InvalidToken::ForeignIssuer,
                "it was issued by another issuer",
            ),
            (
                InvalidToken::ForeignAudience,
                "it is meant for another audience",
            ),
            (InvalidToken::NotYetValid, "it is not valid yet"),
            (InvalidToken::IssuedInFuture, "it was issued in the future"),
            (
                InvalidToken::ForeignServer,
                "it was not issued by this server",
            ),
            (InvalidToken::NoSession, "it belongs to no session"),
        ];
        for (reason, text) in table {
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn csrf_failures_have_these_texts() {
        let table = [
            (
                CsrfFailure::ForeignOrigin,
                "the request comes from another site",
            ),
            (
                CsrfFailure::ValueMissing,
                "the header with the CSRF value is missing",
            ),
            (CsrfFailure::ClaimMissing, "the token has no `csrf` claim"),
            (
                CsrfFailure::ValueMismatch,
                "the value in the request does not match the token",
            ),
            (
                CsrfFailure::HeaderMissing,
                "the header X-CSRF-Token is missing",
            ),
            (
                CsrfFailure::CookieMismatch,
                "X-CSRF-Token does not repeat the CSRF cookie",
            ),
            (
                CsrfFailure::SessionMismatch,
                "the CSRF cookie belongs to another session, or is from before a password change",
            ),
        ];
        for (reason, text) in table {
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn locations_of_tokens_have_these_texts() {
        let table = [
            (TokenLocation::Header, "a header"),
            (TokenLocation::Authorization, "the header `Authorization`"),
            (TokenLocation::Cookie, "a cookie"),
            (TokenLocation::Query, "the query"),
            (TokenLocation::JsonBody, "the JSON body"),
            (TokenLocation::Body, "the body"),
        ];
        for (location, text) in table {
            assert_eq!(location.to_string(), text);
        }
    }
}
