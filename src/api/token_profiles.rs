//! Tokens for third parties.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::client::client_ip;
use super::first_party::FullScope;
use super::input::DeferredBody;
use super::responses::NoStore;
use super::spec::{GUARD_CODES, OperationSpec, examples};
use super::user_or_service::UserOrService;
use super::users::parse_user_id;
use crate::App;
use crate::error::ApiError;
use crate::third_party_tokens::{ThirdPartyToken, TokenRequester};
use latchet_guard::SECURITY_SCHEME;

/// Operations that issue tokens for third parties.
pub(super) struct TokenProfilesApi(pub(super) App);

/// Subject of the token.
#[derive(Debug, Object)]
struct PartyTokenRequest {
    /// Id of the user. Required for services; with a user's access token, it must be that user.
    #[oai(validator(max_length = 64))]
    user_id: Option<String>,
}

/// A token for a third party.
#[derive(Debug, Object)]
#[oai(rename = "PartyTokenAnswer")]
struct PartyTokenResponse {
    /// The token to pass to the third party.
    token: String,
    /// Lifetime of the token in seconds.
    expires_in: u64,
}

impl From<ThirdPartyToken> for PartyTokenResponse {
    fn from(issued: ThirdPartyToken) -> Self {
        Self {
            token: issued.token,
            expires_in: issued.expires_in,
        }
    }
}

#[OpenApi]
impl TokenProfilesApi {
    /// Issue a token for a third party
    ///
    /// Signs the claims of the profile with the key of the third party; Latchet's guards do not accept this
    /// token. Users authenticate with their access token and get a token for themselves; services
    /// authenticate with their name and secret (`Authorization: Basic`) and name the user in the body.
    #[oai(
        path = "/v1/tokens/:profile",
        method = "post",
        operation_id = "makePartyToken",
        tag = "Tag::Tokens"
    )]
    async fn make(
        &self,
        guard: UserOrService<FullScope>,
        request: &Request,
        /// Name of the profile in the server's settings.
        profile: Path<String>,
        body: DeferredBody<PartyTokenRequest>,
    ) -> poem::Result<NoStore<Json<PartyTokenResponse>>> {
        let issued = match guard {
            UserOrService::User(jwt) => {
                let user_id = body.read()?.user_id;
                if user_id.is_some_and(|id| id != jwt.claims.sub) {
                    return Err(ApiError::invalid_field(
                        "user_id",
                        "is another user: only services may name other users",
                    )
                    .into());
                }
                self.0
                    .introspection
                    .recheck_access_token(&jwt.claims)
                    .await?;
                let requester = TokenRequester::User(&jwt.claims);
                self.0
                    .third_party_tokens
                    .issue(&profile, &requester)
                    .await?
            }
            UserOrService::Service(credentials) => {
                let ip = client_ip(request, &self.0.config);
                let service = self.0.services.authenticate(&credentials, ip).await?;
                let id = body.read()?.user_id.ok_or_else(|| {
                    ApiError::invalid_field("user_id", "is required for services")
                })?;
                let requester = TokenRequester::Service(&service, &parse_user_id(&id)?);
                self.0
                    .third_party_tokens
                    .issue(&profile, &requester)
                    .await?
            }
        };
        Ok(NoStore::new(Json(issued.into())))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6Ii4uLiJ9.c2lnbmF0dXJl";
    vec![
        OperationSpec::new("makePartyToken")
            // The guard describes no scheme, since it accepts one of two.
            .errors(GUARD_CODES)
            .errors(&[
                "invalid_client",
                "too_many_requests",
                "forbidden",
                "not_found",
            ])
            .security(json!([{ (SECURITY_SCHEME): [] }, { "serviceSecret": [] }]))
            .request(json!({ "user_id": examples::USER }))
            .response("200", json!({ "token": token, "expires_in": 3600 })),
    ]
}
