//! The guard as an argument of poem-openapi handlers, and its security scheme in the OpenAPI document.

use std::fmt;
use std::sync::Arc;

use poem::{Body, Request, RequestBody};
use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::body::BodyAccess;
use super::enforcement::Rejection;
use super::refusal::ErrorResponder;
use super::{
    CurrentUser, Fresh, Guards, LocationKind, Optional, Refresh, Refusal, Required, Requirement,
    RoleName, TokenPolicy,
};
use crate::error::AuthError;
use crate::token::{Claims, Header};

/// The name of the security scheme in the OpenAPI document.
pub const SECURITY_SCHEME: &str = "password";

/// The argument that protects a handler: the handler runs only if the request satisfies `A` and, where a
/// [`CurrentUser`] type is given, if the user exists.
///
/// Make it the first argument, so that an unauthenticated client with a broken body receives `401` and
/// learns nothing about the expected body. Use only one guard, because the OpenAPI document would
/// present two as alternatives.
///
/// Behind [`Optional`] every field is an `Option`, and all are `None` together.
pub struct Jwt<A: Requirement, U: CurrentUser = ()> {
    /// The claims of the token.
    pub claims: A::Output<Arc<Claims>>,
    /// The header of the token.
    pub header: A::Output<Header>,
    /// Location of the token.
    pub location: A::Output<LocationKind>,
    /// User of the token.
    pub user: A::Output<U>,
    responder: ErrorResponder,
}

/// Any valid access token.
pub type JwtRequired = Jwt<Required>;
/// An access token of a user who entered the password recently.
pub type JwtFresh = Jwt<Fresh>;
/// A refresh token.
pub type JwtRefresh = Jwt<Refresh>;
/// An access token, or none.
pub type JwtOptional = Jwt<Optional>;

impl<A: Requirement, U: CurrentUser> Jwt<A, U> {
    /// Checks a request: the guard of plain poem handlers, to be called first.
    ///
    /// ```
    /// use latchet_guard::{Jwt, Required};
    /// use poem::{Request, Result, handler};
    ///
    /// #[handler]
    /// async fn hello(request: &Request) -> Result<String> {
    ///     let jwt = Jwt::<Required>::authenticate(request).await?;
    ///     Ok(format!("hello {}, your token came by {:?}", jwt.claims.sub, jwt.location))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`authenticate`](super::authenticate).
    pub async fn authenticate(request: &Request) -> poem::Result<Self> {
        Self::check_request(request, &mut BodyAccess::NoAccess).await
    }

    /// Checks a request whose body may contain the token ([`Location::Json`](super::Location::Json)) or
    /// the CSRF value of a form. The body is left unchanged for the handler.
    ///
    /// ```
    /// use latchet_guard::{Jwt, Refresh};
    /// use poem::{Body, Request, Result, handler};
    ///
    /// #[handler]
    /// async fn refresh(request: &Request, mut body: Body) -> Result<String> {
    ///     let jwt = Jwt::<Refresh>::authenticate_with_body(request, &mut body).await?;
    ///     Ok(jwt.claims.sub.clone())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`authenticate`](super::authenticate).
    pub async fn authenticate_with_body(request: &Request, body: &mut Body) -> poem::Result<Self> {
        Self::check_request(request, &mut BodyAccess::Owned(body)).await
    }

    async fn check_request(request: &Request, body: &mut BodyAccess<'_>) -> poem::Result<Self> {
        let Some(guards) = request.data::<Guards>() else {
            tracing::error!(
                "a guarded route has no `Guards`: add `.data(guards)` to the outermost route"
            );
            return Err(AuthError::Unavailable.into());
        };
        let refuse = |rejection: Rejection| guards.refuse::<A::Policy>(request, &rejection);
        let authenticated = guards
            .authenticate_request::<A::Policy>(request, body)
            .await;
        let Some(authenticated) = authenticated.map_err(refuse)? else {
            return Self::from_authenticated(guards, None).map_err(|error| refuse(error.into()));
        };
        let claims = authenticated.verified.claims;
        let user = load_user(&claims, request).await.map_err(|error| {
            let claims = Some(Arc::clone(&claims));
            refuse(Rejection { error, claims })
        })?;
        let presented = (
            claims,
            authenticated.verified.header,
            authenticated.location,
            user,
        );
        Self::from_authenticated(guards, Some(presented)).map_err(|error| refuse(error.into()))
    }

    fn from_authenticated(
        guards: &Guards,
        presented: Option<(Arc<Claims>, Header, LocationKind, U)>,
    ) -> Result<Self, AuthError> {
        let (claims, header, location, user) = match presented {
            Some((claims, header, location, user)) => {
                (Some(claims), Some(header), Some(location), Some(user))
            }
            None => (None, None, None, None),
        };
        Ok(Self {
            claims: A::apply(claims)?,
            header: A::apply(header)?,
            location: A::apply(location)?,
            user: A::apply(user)?,
            responder: guards.0.responder.clone(),
        })
    }

    /// Returns this refusal in the form that the [`Guards`] define, for checks in the handler's body.
    ///
    /// ```
    /// # use latchet_guard::error::AuthError;
    /// # use latchet_guard::JwtRequired;
    /// fn only_mornings(jwt: &JwtRequired, hour: u8) -> poem::Result<()> {
    ///     if hour < 12 {
    ///         return Ok(());
    ///     }
    ///     Err(jwt.refuse(&AuthError::InsufficientScope))
    /// }
    /// ```
    pub fn refuse(&self, error: &AuthError) -> poem::Error {
        self.responder.respond(&Refusal {
            error,
            claims: None,
            context: None,
        })
    }
}

impl<P: TokenPolicy, U: CurrentUser> Jwt<P, U> {
    /// Admits the user `owner` and users with the role: for the handler's body, where the owner of the
    /// resource is known.
    ///
    /// ```
    /// # use latchet_guard::{JwtRequired, RoleName};
    /// # struct Admin;
    /// # impl RoleName for Admin {
    /// #     const NAME: &'static str = "admin";
    /// # }
    /// async fn delete_note(jwt: JwtRequired, author: &str) -> poem::Result<()> {
    ///     jwt.owner_or::<Admin>(author)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`] for other users, in the form that the [`Guards`] define.
    pub fn owner_or<R: RoleName>(&self, owner: &str) -> poem::Result<()> {
        if self.claims.sub == owner || self.claims.has_role(R::NAME) {
            return Ok(());
        }
        Err(self.refuse(&AuthError::InsufficientScope))
    }
}

async fn load_user<U: CurrentUser>(claims: &Claims, request: &Request) -> Result<U, AuthError> {
    match U::load(claims, request).await {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(AuthError::UnknownUser(claims.sub.clone())),
        Err(cause) => {
            tracing::error!(cause = &*cause, "failed to look up the current user");
            Err(AuthError::Unavailable)
        }
    }
}

impl<A: Requirement, U: CurrentUser> fmt::Debug for Jwt<A, U>
where
    A::Output<Arc<Claims>>: fmt::Debug,
    A::Output<LocationKind>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("claims", &self.claims)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// Implemented by hand: the derive of poem-openapi supports no generic scheme, and its fallback for
/// optional authentication treats every error, including a forged token, as an absent token.
impl<'a, A: Requirement, U: CurrentUser> ApiExtractor<'a> for Jwt<A, U> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(SECURITY_SCHEME, security_scheme());
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SECURITY_SCHEME]
    }

    /// Documents that the operation also accepts requests without a token; it does not affect how a
    /// request is handled.
    fn has_security_fallback() -> bool {
        A::apply::<()>(None).is_ok()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Self::check_request(request, &mut BodyAccess::Shared(body)).await
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
