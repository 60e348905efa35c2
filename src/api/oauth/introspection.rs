//! The response of introspection (RFC 7662, 2.2).

use poem_openapi::Object;
use serde_json::{Value, json};

use super::super::spec::examples;
use crate::introspection::IntrospectionOutcome;
use crate::store::Session;
use latchet_guard::token::Claims;

/// Validity of a token, and its content if it is valid.
#[derive(Debug, Default, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "IntrospectAnswer")]
pub(super) struct IntrospectionResult {
    /// True if the token would be accepted now. If false, there are no other members.
    active: bool,
    /// `Bearer`, as in the response of `POST /oauth/token`; absent for a refresh token.
    token_type: Option<String>,
    /// Scopes, separated by spaces.
    scope: Option<String>,
    /// Program that the token was issued to.
    client_id: Option<String>,
    /// Name of the user, which may change; absent for users of other issuers.
    username: Option<String>,
    /// Id of the user.
    sub: Option<String>,
    /// Audience of the token.
    aud: Option<Vec<String>>,
    /// Issuer of the token.
    iss: Option<String>,
    /// Issue time in Unix seconds.
    iat: Option<i64>,
    /// Start of validity in Unix seconds; only in tokens for Flask apps.
    nbf: Option<i64>,
    /// End of validity in Unix seconds.
    exp: Option<i64>,
    /// Id of the token.
    jti: Option<String>,
    /// Id of the session.
    sid: Option<String>,
    /// Roles in the token.
    roles: Option<Vec<String>>,
}

impl IntrospectionResult {
    pub(super) fn new(found: IntrospectionOutcome, issuer: &str) -> Self {
        let (response, username) = match found {
            IntrospectionOutcome::Inactive => return Self::default(),
            IntrospectionOutcome::Access { claims, username } => (Self::access(&claims), username),
            IntrospectionOutcome::Refresh { session, username } => {
                (Self::refresh(&session, issuer), Some(username))
            }
        };
        Self {
            username,
            ..response
        }
    }

    fn access(claims: &Claims) -> Self {
        Self {
            active: true,
            token_type: Some("Bearer".to_owned()),
            scope: claims.scope.clone(),
            client_id: claims.client_id.clone(),
            sub: Some(claims.sub.clone()),
            aud: Some(claims.aud.clone()),
            iss: Some(claims.iss.clone()),
            iat: Some(claims.iat),
            nbf: claims.nbf,
            exp: claims.exp,
            jti: Some(claims.jti.clone()),
            sid: claims.sid.clone(),
            roles: Some(claims.roles.clone()),
            ..Self::default()
        }
    }

    fn refresh(session: &Session, issuer: &str) -> Self {
        Self {
            active: true,
            scope: Some(session.scope.join(" ")).filter(|scope| !scope.is_empty()),
            client_id: Some(session.client().to_owned()),
            sub: Some(session.user_id.to_string()),
            iss: Some(issuer.to_owned()),
            iat: Some(session.state.rotated_at.secs()),
            exp: Some(session.state.ends_at().secs()),
            sid: Some(session.id.to_string()),
            ..Self::default()
        }
    }
}

/// Returns the result for a valid token, as an example.
pub(super) fn example() -> Value {
    json!({
        "active": true, "token_type": "Bearer", "username": "ada", "sub": examples::USER,
        "sid": examples::SESSION,
        "iss": "https://auth.example.org", "aud": ["https://auth.example.org"],
        "iat": 1_795_500_000, "exp": 1_795_500_900,
        "jti": "ZXhhbXBsZS1qdGktMDAwMQ", "roles": ["editor"],
    })
}
