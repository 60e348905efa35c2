//! Guard of the operations for users and for services.

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::basic_auth::BasicCredentials;
use crate::error::ApiError;
use crate::services::ServiceCredentials;
use latchet_guard::{Jwt, TokenPolicy};

/// A user's access token that satisfies `P`, or the credentials of a service. Both are found before the body is
/// validated; the handler authenticates the service.
pub(super) enum UserOrService<P: TokenPolicy> {
    User(Jwt<P>),
    Service(ServiceCredentials),
}

impl<'a, P: TokenPolicy> ApiExtractor<'a> for UserOrService<P> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Jwt::<P>::register(registry);
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match BasicCredentials::from_headers(request.headers()) {
            BasicCredentials::Absent => Ok(Self::User(
                Jwt::<P>::from_request(request, body, options).await?,
            )),
            BasicCredentials::Malformed => Err(ApiError::InvalidClient.into()),
            BasicCredentials::NameAndSecret(name, secret) => Ok(Self::Service(
                ServiceCredentials::from_basic(&name, &secret),
            )),
        }
    }
}
