//! Callers that may introspect tokens.

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::App;
use crate::api::basic_auth::BasicCredentials;
use crate::api::client::client_ip;
use crate::api::first_party::FullScope;
use crate::error::ApiError;
use crate::names::ADMIN;
use crate::services::ServiceCredentials;
use latchet_guard::error::AuthError;
use latchet_guard::token::Claims;
use latchet_guard::{Jwt, TokenPolicy};

/// Guard of introspection: a user's access token, or the credentials of a service. Both are found before the body
/// is validated.
pub(super) enum IntrospectionGuard {
    /// The token was verified by the guard of the library.
    User,
    Service(ServiceCredentials),
}

/// Policy for introspection by a user's token: admits administrators and users with the role `introspect`.
struct IntrospectionPolicy;

impl TokenPolicy for IntrospectionPolicy {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        if claims
            .roles
            .iter()
            .any(|role| role == ADMIN || role == "introspect")
        {
            return Ok(());
        }
        Err(AuthError::InsufficientScope)
    }
}

impl<'a> ApiExtractor<'a> for IntrospectionGuard {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Jwt::<FullScope>::register(registry);
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match BasicCredentials::from_headers(request.headers()) {
            BasicCredentials::Absent => {
                Jwt::<(FullScope, IntrospectionPolicy)>::from_request(request, body, options)
                    .await?;
                Ok(Self::User)
            }
            BasicCredentials::Malformed => Err(ApiError::InvalidClient.into()),
            BasicCredentials::NameAndSecret(name, secret) => Ok(Self::Service(
                ServiceCredentials::from_basic(&name, &secret),
            )),
        }
    }
}

impl IntrospectionGuard {
    /// Authenticates the caller if it is a service. A user's token is verified already.
    pub(super) async fn authorize(self, request: &Request, app: &App) -> Result<(), ApiError> {
        let credentials = match self {
            Self::User => return Ok(()),
            Self::Service(credentials) => credentials,
        };
        let ip = client_ip(request, &app.config);
        let service = app.services.authenticate(&credentials, ip).await?;
        app.services.require_introspection(&service)
    }
}
