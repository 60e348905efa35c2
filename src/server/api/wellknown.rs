//! What other programs look for at fixed places: public keys, and where everything is.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::Tag;
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::keyring::JWKS_MAX_AGE;
use crate::server::web::names_tag;

/// Documents about this server.
pub(super) struct WellKnownApi(pub(super) App);

/// A public key (RFC 7517); which of the last members are present depends on `kty`.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Jwk {
    /// Kind of key: `OKP`, `EC` or `RSA`.
    kty: String,
    /// Names the key: its thumbprint (RFC 7638).
    kid: String,
    /// The one algorithm it is good for.
    alg: String,
    /// What it is good for: `sig`.
    #[oai(rename = "use")]
    usage: String,
    /// Curve.
    crv: Option<String>,
    /// Coordinate, or the key itself.
    x: Option<String>,
    /// Coordinate.
    y: Option<String>,
    /// Modulus.
    n: Option<String>,
    /// Exponent.
    e: Option<String>,
}

/// The public keys (RFC 7517).
#[derive(Debug, Object)]
struct Jwks {
    /// The keys: those that sign, will sign, or signed tokens that are still alive.
    keys: Vec<Jwk>,
}

#[derive(Debug, ApiResponse)]
enum JwksAnswer {
    /// The keys.
    #[oai(status = 200)]
    Keys(
        Json<Jwks>,
        /// How long they may be kept; a new key is published longer than that before it signs.
        #[oai(header = "Cache-Control")]
        String,
        /// Changes when the keys do.
        #[oai(header = "ETag")]
        String,
    ),
    /// The keys are those that the client has.
    #[oai(status = 304)]
    Unchanged(
        /// How long they may be kept.
        #[oai(header = "Cache-Control")]
        String,
        /// The tag that was shown.
        #[oai(header = "ETag")]
        String,
    ),
}

/// Where everything is (RFC 8414).
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Metadata {
    /// The `iss` of the tokens.
    issuer: String,
    /// Where tokens are issued.
    token_endpoint: String,
    /// Where tokens are revoked.
    revocation_endpoint: String,
    /// Where tokens are looked into.
    introspection_endpoint: String,
    /// Where the public keys are.
    jwks_uri: String,
    /// What a token can be got for.
    grant_types_supported: Vec<String>,
    /// Empty: there is no authorization endpoint.
    response_types_supported: Vec<String>,
    /// Scopes that can be asked for; absent where there are none.
    scopes_supported: Option<Vec<String>>,
    /// How clients prove themselves at the token endpoint: not at all.
    token_endpoint_auth_methods_supported: Vec<String>,
    /// How clients prove themselves at the revocation endpoint: by having the token.
    revocation_endpoint_auth_methods_supported: Vec<String>,
    /// How clients prove themselves at the introspection endpoint.
    introspection_endpoint_auth_methods_supported: Vec<String>,
    /// Where people read about all this.
    service_documentation: String,
}

#[OpenApi]
impl WellKnownApi {
    /// Public keys
    ///
    /// The keys that verify access tokens, as a JWK Set.
    #[oai(
        path = "/.well-known/jwks.json",
        method = "get",
        operation_id = "jwks",
        tag = "Tag::Server"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn jwks(&self, request: &Request) -> Result<JwksAnswer, ApiError> {
        let keys = self.0.keyring.jwks();
        let hash = digest(&SHA256, keys.to_string().as_bytes());
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
        let kept = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
        if names_tag(request.headers(), &tag) {
            return Ok(JwksAnswer::Unchanged(kept, tag));
        }
        let keys = Jwks::parse_from_json(Some(keys))
            .map_err(|error| ApiError::internal(error.into_message()))?;
        Ok(JwksAnswer::Keys(Json(keys), kept, tag))
    }

    /// Authorization server metadata
    ///
    /// Where clients of OAuth find each endpoint.
    #[oai(
        path = "/.well-known/oauth-authorization-server",
        method = "get",
        operation_id = "authorizationServerMetadata",
        tag = "Tag::Server"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn metadata(&self) -> Json<Metadata> {
        self.describe()
    }

    /// Authorization server metadata, where `OpenID` Connect has it
    ///
    /// The same document: many libraries and proxies look for the keys here alone. There is no
    /// authorization endpoint, and there are no ID tokens.
    #[oai(
        path = "/.well-known/openid-configuration",
        method = "get",
        operation_id = "openidConfiguration",
        tag = "Tag::Server"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn openid_configuration(&self) -> Json<Metadata> {
        self.describe()
    }
}

impl WellKnownApi {
    fn describe(&self) -> Json<Metadata> {
        let config = &self.0.config;
        let at = |path: &str| format!("{}{path}", config.public_url);
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        Json(Metadata {
            issuer: config.issuer.clone(),
            token_endpoint: at("/oauth/token"),
            revocation_endpoint: at("/oauth/revoke"),
            introspection_endpoint: at("/oauth/introspect"),
            jwks_uri: at("/.well-known/jwks.json"),
            grant_types_supported: list(&["password", "refresh_token"]),
            response_types_supported: Vec::new(),
            scopes_supported: Some(config.scopes.clone()).filter(|scopes| !scopes.is_empty()),
            token_endpoint_auth_methods_supported: list(&["none"]),
            revocation_endpoint_auth_methods_supported: list(&["none"]),
            introspection_endpoint_auth_methods_supported: list(&["Bearer"]),
            service_documentation: at("/docs"),
        })
    }
}
