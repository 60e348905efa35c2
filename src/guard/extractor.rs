//! The guard as an argument of poem-openapi handlers, and what it tells the OpenAPI document.

use std::fmt;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::authenticate;
use super::policy::{Admission, Fresh, Optional, Refresh, Required};

/// The name of the security scheme in the OpenAPI document.
pub const SECURITY_SCHEME: &str = "password";

/// The argument that protects a handler: it runs only when the request satisfies `A`.
///
/// Make it the first argument, so that a stranger with a broken body is told `401` and learns
/// nothing of the body's form; and the only guard, because two would read as "either" in the
/// OpenAPI document.
pub struct Jwt<A: Admission> {
    /// The claims of the token; an `Option` behind [`Optional`].
    pub claims: A::Claims,
}

/// Any valid access token.
pub type JwtRequired = Jwt<Required>;
/// An access token got with the password lately.
pub type JwtFresh = Jwt<Fresh>;
/// A refresh token.
pub type JwtRefresh = Jwt<Refresh>;
/// An access token, or none.
pub type JwtOptional = Jwt<Optional>;

impl<A: Admission> Clone for Jwt<A> {
    fn clone(&self) -> Self {
        Self {
            claims: self.claims.clone(),
        }
    }
}

impl<A: Admission> fmt::Debug for Jwt<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("claims", &self.claims).finish()
    }
}

/// By hand, because the derive of poem-openapi knows no generic scheme and because its fallback
/// for optional authentication takes every error, a forged token's too, for an absent token.
impl<'a, A: Admission> ApiExtractor<'a> for Jwt<A> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(SECURITY_SCHEME, security_scheme());
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SECURITY_SCHEME]
    }

    /// Documents that the operation also answers without a token; the request takes no detour.
    fn has_security_fallback() -> bool {
        A::absent().is_ok()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let claims = authenticate::<A>(request).await?;
        Ok(Self { claims })
    }
}

fn security_scheme() -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "oauth2",
        description: Some(
            "Sign in with user name and password; the access token goes into the header.",
        ),
        name: None,
        key_in: None,
        scheme: None,
        bearer_format: None,
        flows: Some(MetaOAuthFlows {
            implicit: None,
            password: Some(MetaOAuthFlow {
                authorization_url: None,
                token_url: Some("/oauth/token"),
                refresh_url: Some("/oauth/token"),
                scopes: Vec::new(),
            }),
            client_credentials: None,
            authorization_code: None,
        }),
        openid_connect_url: None,
    }
}
