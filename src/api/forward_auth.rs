//! Forward authentication: a proxy has each request checked before it passes it on (`auth_request` in
//! nginx, `forward_auth` in Caddy).

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use poem::Request;
use poem::http::StatusCode;
use poem::http::header::ACCEPT;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::{Value, json};

use super::Tag;
use super::first_party::FullScope;
use super::responses::NoStore;
use super::sign_in_address::SignInAddress;
use super::spec::{GUARD_CODES, OperationSpec, examples};
use crate::App;
use crate::error::ApiError;
use crate::header_list::items;
use crate::ids::UserId;
use crate::names::{USERNAME_CLAIM, parse_scopes};
use crate::token_issuer::is_service_token;
use latchet_guard::SECURITY_SCHEME;
use latchet_guard::clock::Time;
use latchet_guard::error::AuthError;
use latchet_guard::token::Claims;
use latchet_guard::{Jwt, Required};

/// The operation for proxies.
pub(super) struct ForwardAuthApi(pub(super) App);

#[derive(Debug, ApiResponse)]
enum ForwardAuthResponse {
    // For a missing header, Caddy 2.6 passes on the name of its own variable.
    /// The request may pass as this user. All headers are present, even if empty.
    #[oai(status = 204)]
    Pass(
        /// User name; empty for a service. In all four headers, `%`, the comma and every character that is not
        /// visible ASCII are percent-encoded as UTF-8 (`%XX`).
        #[oai(header = "Remote-User")]
        String,
        /// Id of the user: the `sub` of the token. Unlike the name, it never belongs to another user. For a service
        /// `service:` and its name.
        #[oai(header = "Remote-Id")]
        String,
        /// Roles in the access token, separated by commas; empty if there are none.
        #[oai(header = "Remote-Roles")]
        String,
        /// Id of the session; empty if the token belongs to none, as tokens of other issuers may.
        #[oai(header = "Remote-Session")]
        String,
    ),
    /// The request may pass, and its client names `application/json` in `Accept`: the same headers, and the
    /// claims of the access token.
    #[oai(status = 200)]
    PassWithClaims(
        Json<Box<VerifiedClaims>>,
        /// User name, as in a response without a body.
        #[oai(header = "Remote-User")]
        String,
        /// Id of the user.
        #[oai(header = "Remote-Id")]
        String,
        /// Roles in the access token.
        #[oai(header = "Remote-Roles")]
        String,
        /// Id of the session.
        #[oai(header = "Remote-Session")]
        String,
    ),
    /// The request may not pass, and its client accepts HTML: redirect to `sign_in`.
    #[oai(status = 303)]
    RedirectToSignIn(
        /// The value of `sign_in`. Latchet's own account page gets the address of the request as `return_to`, if
        /// the proxy names it in `X-Forwarded-Proto`, `-Host` and `-Uri` or in `X-Original-URL`.
        #[oai(header = "Location")]
        String,
    ),
}

/// Claims of an access token that is valid now.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct VerifiedClaims {
    /// Id of the user. Unlike the name, it never belongs to another user.
    sub: String,
    /// User name, also if the token of another issuer has none or another one. Absent in the token of a service,
    /// whose `sub` is `service:` and its name.
    preferred_username: Option<String>,
    /// Roles of the user.
    roles: Vec<String>,
    /// Scopes, separated by spaces; absent if there are none.
    scope: Option<String>,
    /// Id of the session; absent in tokens of other issuers that name none.
    sid: Option<String>,
    /// Program that the token was issued to.
    client_id: Option<String>,
    /// Issuer of the token.
    iss: String,
    /// Audience of the token.
    aud: Vec<String>,
    /// Id of the token.
    jti: String,
    /// Issue time in Unix seconds.
    iat: i64,
    /// End of validity in Unix seconds.
    exp: Option<i64>,
    /// Time of the last authentication in Unix seconds.
    auth_time: Option<i64>,
    /// Methods of that authentication (RFC 8176).
    amr: Vec<String>,
    /// True if the user entered the password recently: the token is fresh now.
    fresh: bool,
    /// Claims that the issuer has added.
    #[oai(flatten)]
    others: BTreeMap<String, Value>,
}

impl VerifiedClaims {
    fn new(claims: Claims, username: Option<String>, now: Time) -> Self {
        let others = claims.extra.into_iter();
        Self {
            sub: claims.sub,
            preferred_username: username,
            roles: claims.roles,
            scope: claims.scope,
            sid: claims.sid,
            client_id: claims.client_id,
            iss: claims.iss,
            aud: claims.aud,
            jti: claims.jti,
            iat: claims.iat,
            exp: claims.exp,
            auth_time: claims.auth_time,
            amr: claims.amr,
            fresh: claims.fresh.is_fresh(now),
            others: others.filter(|(name, _)| name != USERNAME_CLAIM).collect(),
        }
    }
}

#[OpenApi]
impl ForwardAuthApi {
    /// Check a request for a proxy
    ///
    /// For proxies with forward authentication. The access token is in `Authorization`, as for other
    /// operations; cookies, including the refresh cookie, are ignored.
    #[oai(
        path = "/v1/verify",
        method = "get",
        operation_id = "verify",
        tag = "Tag::Sessions"
    )]
    async fn verify(
        &self,
        request: &Request,
        /// Address of the sign-in page: a path of the requested site, or a URL of this server or of an
        /// origin in `LATCHET_ALLOWED_ORIGINS`. With it, clients that accept HTML get 303 instead of 401.
        #[oai(validator(max_length = 512))]
        sign_in: Query<Option<String>>,
        /// Scopes that the token must have, separated by spaces. Without them, only tokens that are not limited
        /// to some scopes pass; tokens of services are always limited.
        #[oai(validator(max_length = 1024))]
        scope: Query<Option<String>>,
    ) -> poem::Result<NoStore<ForwardAuthResponse>> {
        // Before the token is checked, so that a misconfigured proxy fails with every request.
        let sign_in = sign_in
            .0
            .map(|text| SignInAddress::parse(text, &self.0.config));
        let sign_in = sign_in.transpose()?;
        let required = scope.0.unwrap_or_default();
        match (self.check_token(request, &required).await, sign_in) {
            (Err(refused), Some(sign_in))
                if refused.status() == StatusCode::UNAUTHORIZED
                    && accepts(request, "text/html") =>
            {
                let location = sign_in.for_request(request, &self.0.config);
                Ok(NoStore::new(ForwardAuthResponse::RedirectToSignIn(
                    location,
                )))
            }
            (outcome, _) => Ok(NoStore::new(outcome?)),
        }
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    vec![
        OperationSpec::new("verify")
            // The handler checks the token itself, and a parameter before it.
            .errors(GUARD_CODES)
            .errors(&["unknown_user", "validation_failed"])
            .security(json!([{ (SECURITY_SCHEME): [] }]))
            .response(
                "200",
                json!({
                    "sub": examples::USER, "preferred_username": "ada", "roles": ["editor"],
                    "sid": examples::SESSION, "client_id": "latchet",
                    "iss": "https://auth.example.org", "aud": ["https://auth.example.org"],
                    "jti": "ZXhhbXBsZS1qdGktMDAwMQ", "iat": 1_795_500_000, "exp": 1_795_500_900,
                    "auth_time": 1_795_500_000, "amr": ["pwd"], "fresh": true,
                }),
            ),
    ]
}

impl ForwardAuthApi {
    async fn check_token(
        &self,
        request: &Request,
        required: &str,
    ) -> poem::Result<ForwardAuthResponse> {
        let scopes = parse_scopes(required).map_err(|_| ApiError::InvalidScope)?;
        let claims = if scopes.is_empty() {
            Jwt::<FullScope>::authenticate(request).await?.claims
        } else {
            let claims = Jwt::<Required>::authenticate(request).await?.claims;
            let scope = claims.scope.as_deref().unwrap_or_default();
            let has = |wanted: &str| scope.split(' ').any(|own| own == wanted);
            if !scopes.iter().all(|wanted| has(wanted)) {
                return Err(ApiError::from(AuthError::InsufficientScope).into());
            }
            claims
        };
        let name = if is_service_token(&claims) {
            None
        } else if let Some(name) = self.0.introspection.username_in_token(&claims) {
            Some(name.to_owned())
        } else {
            let id = UserId::from(claims.sub.as_str());
            Some(self.0.accounts.enabled_user(&id).await?.username)
        };
        let username = percent_encode(name.as_deref().unwrap_or_default());
        let id = percent_encode(&claims.sub);
        let roles: Vec<String> = claims
            .roles
            .iter()
            .map(|role| percent_encode(role))
            .collect();
        let roles = roles.join(",");
        let session = percent_encode(claims.sid.as_deref().unwrap_or_default());
        if !accepts(request, "application/json") {
            return Ok(ForwardAuthResponse::Pass(username, id, roles, session));
        }
        let body = VerifiedClaims::new((*claims).clone(), name, self.0.clock.now());
        Ok(ForwardAuthResponse::PassWithClaims(
            Json(Box::new(body)),
            username,
            id,
            roles,
            session,
        ))
    }
}

/// Returns whether `Accept` names a media type. A wildcard does not name it: programs send `*/*` unasked.
fn accepts(request: &Request, media_type: &str) -> bool {
    items(request.headers(), ACCEPT)
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case(media_type))
}

/// Percent-encodes a text, so that it ends neither a header nor a list item, and has the same meaning in
/// every character encoding that a program behind the proxy may assume.
fn percent_encode(text: &str) -> String {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b',');
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_percent_encoded() {
        for (text, written) in [
            ("alice@example.org", "alice@example.org"),
            ("zoë", "zo%C3%AB"),
            ("a,b", "a%2Cb"),
            ("100%", "100%25"),
            ("a\r\nRemote-Roles: admin", "a%0D%0ARemote-Roles:%20admin"),
        ] {
            assert_eq!(percent_encode(text), written);
        }
    }

    #[test]
    fn only_clients_that_accept_html_explicitly_are_redirected() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json, TEXT/HTML;q=0.1", true),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
            ("text/html-but-not", false),
        ] {
            let request = Request::builder().header(ACCEPT, accept).finish();

            assert_eq!(accepts(&request, "text/html"), expected, "{accept}");
        }
    }
}
