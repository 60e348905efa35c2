//! Tokens for third parties.

use poem::{Request, RequestBody};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi};
use secrecy::ExposeSecret;

use super::Tag;
use super::answer::Private;
use super::basic::{Basic, form_decoded};
use super::caller::ip;
use super::first_party::WholeScope;
use super::input::LateBody;
use super::users::known;
use crate::guard::Jwt;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::profiles::{Asker, Credentials, PartyToken};

/// Operations that issue tokens for third parties.
pub(super) struct TokensApi(pub(super) App);

/// Subject of the token.
#[derive(Debug, Object)]
struct PartyTokenRequest {
    /// Id of the user. Required for services; with a user's access token, it must be that user.
    #[oai(validator(max_length = 64))]
    user_id: Option<String>,
}

/// A token for a third party.
#[derive(Debug, Object)]
struct PartyTokenAnswer {
    /// The token to pass to the third party.
    token: String,
    /// Lifetime of the token in seconds.
    expires_in: u64,
}

impl From<PartyToken> for PartyTokenAnswer {
    fn from(made: PartyToken) -> Self {
        Self {
            token: made.token,
            expires_in: made.expires_in,
        }
    }
}

/// Guard of this operation: a user's access token, or the credentials of a service. Both are verified before
/// the body is validated.
enum Shown {
    User(Jwt<WholeScope>),
    Service(Credentials),
}

impl<'a> ApiExtractor<'a> for Shown {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Jwt::<WholeScope>::register(registry);
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match Basic::of(request.headers()) {
            Basic::Absent => Ok(Self::User(
                Jwt::<WholeScope>::from_request(request, body, options).await?,
            )),
            Basic::Unreadable => Err(ApiError::InvalidClient.into()),
            Basic::Pair(name, secret) => Ok(Self::Service(Credentials {
                name: form_decoded(&name),
                secret: form_decoded(secret.expose_secret()).into(),
            })),
        }
    }
}

#[OpenApi]
impl TokensApi {
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
        shown: Shown,
        request: &Request,
        /// Name of the profile in the server's settings.
        profile: Path<String>,
        body: LateBody<PartyTokenRequest>,
    ) -> poem::Result<Private<Json<PartyTokenAnswer>>> {
        let made = match shown {
            Shown::User(jwt) => {
                let user_id = body.read()?.user_id;
                if user_id.is_some_and(|id| id != jwt.claims.sub) {
                    return Err(ApiError::invalid_field(
                        "user_id",
                        "is another user: only services may name other users",
                    )
                    .into());
                }
                self.0.check_again(&jwt.claims).await?;
                let asker = Asker::User(&jwt.claims);
                self.0.party_token(&profile, &asker).await?
            }
            Shown::Service(credentials) => {
                let ip = ip(request, &self.0.config);
                let service = self.0.service(&credentials, ip).await?;
                let id = body.read()?.user_id.ok_or_else(|| {
                    ApiError::invalid_field("user_id", "is required for services")
                })?;
                let asker = Asker::Service(&service, &known(&id)?);
                self.0.party_token(&profile, &asker).await?
            }
        };
        Ok(Private::new(Json(made.into())))
    }
}
