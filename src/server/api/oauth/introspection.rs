//! The response of introspection (RFC 7662, 2.2).

use poem_openapi::Object;

use crate::server::store::Session;
use crate::server::tokens::Introspection;
use crate::token::Claims;

/// Content of a token, if it works.
#[derive(Debug, Default, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct IntrospectAnswer {
    /// True if the token would be accepted now. If not, there are no other members.
    active: bool,
    /// `Bearer`, as `POST /oauth/token` has it; absent for a refresh token.
    token_type: Option<String>,
    /// Scopes, separated by spaces.
    scope: Option<String>,
    /// The program it was issued to.
    client_id: Option<String>,
    /// Name of the user, which may change; absent for users of other issuers.
    username: Option<String>,
    /// Id of the user.
    sub: Option<String>,
    /// Whom it is meant for.
    aud: Option<Vec<String>>,
    /// Issuer of the token.
    iss: Option<String>,
    /// When it was issued, in unix seconds.
    iat: Option<i64>,
    /// From when it works, in unix seconds; only in tokens for Flask apps.
    nbf: Option<i64>,
    /// Until when it works, in unix seconds.
    exp: Option<i64>,
    /// Names the token.
    jti: Option<String>,
    /// Names its session.
    sid: Option<String>,
    /// Roles it carries.
    roles: Option<Vec<String>>,
}

impl IntrospectAnswer {
    pub(super) fn new(found: Introspection, issuer: &str) -> Self {
        let (answer, username) = match found {
            Introspection::Inactive => return Self::default(),
            Introspection::Access { claims, username } => (Self::access(&claims), username),
            Introspection::Refresh { session, username } => {
                (Self::refresh(&session, issuer), username)
            }
        };
        Self { username, ..answer }
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
