//! Documents at well-known paths: public keys and server metadata.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Request;
use poem_openapi::payload::Json;
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::spec::{OperationSpec, examples};
use crate::App;
use crate::error::ApiError;
use crate::keyring::JWKS_MAX_AGE;
use crate::web::matches_etag;

/// Documents about this server.
pub(super) struct WellKnownApi(pub(super) App);

/// A public key (RFC 7517). `crv`, `x`, `y`, `n` and `e` are present depending on `kty`.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "Jwk")]
struct PublicJwk {
    /// Key type: `OKP`, `EC` or `RSA`.
    kty: String,
    /// Id of the key: its thumbprint (RFC 7638).
    kid: String,
    /// The algorithm that the key is for.
    alg: String,
    /// Purpose of the key: `sig`.
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
#[oai(rename = "Jwks")]
struct PublicJwkSet {
    /// The keys that sign, will sign, or have signed tokens that are still valid.
    keys: Vec<PublicJwk>,
}

#[derive(Debug, ApiResponse)]
enum JwksResponse {
    /// The keys.
    #[oai(status = 200)]
    Keys(
        Json<PublicJwkSet>,
        /// Time that the keys may be cached; a new key is published longer than that before it signs.
        #[oai(header = "Cache-Control")]
        String,
        /// Changes when the keys do.
        #[oai(header = "ETag")]
        String,
    ),
    /// The client already has the current keys.
    #[oai(status = 304)]
    Unchanged(
        /// Time that the keys may be cached.
        #[oai(header = "Cache-Control")]
        String,
        /// The tag that the client sent.
        #[oai(header = "ETag")]
        String,
    ),
}

/// Authorization server metadata (RFC 8414).
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "Metadata")]
struct ServerMetadata {
    /// The `iss` of the tokens.
    issuer: String,
    /// URL of the token endpoint.
    token_endpoint: String,
    /// URL of the revocation endpoint.
    revocation_endpoint: String,
    /// URL of the introspection endpoint.
    introspection_endpoint: String,
    /// URL of the public keys.
    jwks_uri: String,
    /// Supported grant types; `client_credentials` if the settings name services.
    grant_types_supported: Vec<String>,
    /// Empty: there is no authorization endpoint.
    response_types_supported: Vec<String>,
    /// Scopes that can be requested; absent if there are none.
    scopes_supported: Option<Vec<String>>,
    /// Client authentication at the token endpoint: none, or the secret of a service.
    token_endpoint_auth_methods_supported: Vec<String>,
    /// Client authentication at the revocation endpoint: none, having the token is enough; or the secret of a
    /// service.
    revocation_endpoint_auth_methods_supported: Vec<String>,
    /// Authentication at the introspection endpoint.
    introspection_endpoint_auth_methods_supported: Vec<String>,
    /// URL of the documentation for people.
    service_documentation: String,
    /// `aud` of the access tokens.
    latchet_audience: Vec<String>,
    /// URL that checks an access token for a service: `GET /v1/verify`.
    latchet_verify_endpoint: String,
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
    async fn jwks(&self, request: &Request) -> Result<JwksResponse, ApiError> {
        let keys = self.0.signing_keys.keyring.jwks();
        let hash = digest(&SHA256, keys.to_string().as_bytes());
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
        let kept = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
        if matches_etag(request.headers(), &tag) {
            return Ok(JwksResponse::Unchanged(kept, tag));
        }
        let keys = PublicJwkSet::parse_from_json(Some(keys))
            .map_err(|error| ApiError::internal(error.into_message()))?;
        Ok(JwksResponse::Keys(Json(keys), kept, tag))
    }

    /// Authorization server metadata
    ///
    /// The URLs of the endpoints, for OAuth clients.
    #[oai(
        path = "/.well-known/oauth-authorization-server",
        method = "get",
        operation_id = "authorizationServerMetadata",
        tag = "Tag::Server"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn metadata(&self) -> Json<ServerMetadata> {
        self.describe()
    }

    /// Authorization server metadata at the path of OpenID Connect
    ///
    /// The same document, because many libraries and proxies look for the keys only here. There is no
    /// authorization endpoint, and there are no ID tokens.
    #[oai(
        path = "/.well-known/openid-configuration",
        method = "get",
        operation_id = "openidConfiguration",
        tag = "Tag::Server"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn openid_configuration(&self) -> Json<ServerMetadata> {
        self.describe()
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let at = |path: &str| format!("https://auth.example.org{path}");
    let metadata = json!({
        "issuer": at(""),
        "token_endpoint": at("/oauth/token"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/oauth/introspect"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "service_documentation": at("/docs"),
        "latchet_audience": [at("")],
        "latchet_verify_endpoint": at("/v1/verify"),
    });
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": examples::KID,
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    vec![
        OperationSpec::new("jwks").response("200", json!({ "keys": [key] })),
        OperationSpec::new("authorizationServerMetadata").response("200", metadata.clone()),
        OperationSpec::new("openidConfiguration").response("200", metadata),
    ]
}

impl WellKnownApi {
    fn describe(&self) -> Json<ServerMetadata> {
        let config = &self.0.config;
        let at = |path: &str| format!("{}{path}", config.public_url);
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        let (grants, authentication, introspection): (&[_], &[_], &[_]) =
            if self.0.services.registry.is_empty() {
                (&["password", "refresh_token"], &["none"], &["Bearer"])
            } else {
                (
                    &["password", "refresh_token", "client_credentials"],
                    &["none", "client_secret_basic", "client_secret_post"],
                    &["Bearer", "client_secret_basic"],
                )
            };
        Json(ServerMetadata {
            issuer: config.issuer.clone(),
            token_endpoint: at("/oauth/token"),
            revocation_endpoint: at("/oauth/revoke"),
            introspection_endpoint: at("/oauth/introspect"),
            jwks_uri: at("/.well-known/jwks.json"),
            grant_types_supported: list(grants),
            response_types_supported: Vec::new(),
            scopes_supported: Some(config.scopes.clone()).filter(|scopes| !scopes.is_empty()),
            token_endpoint_auth_methods_supported: list(authentication),
            revocation_endpoint_auth_methods_supported: list(authentication),
            introspection_endpoint_auth_methods_supported: list(introspection),
            service_documentation: at("/docs"),
            latchet_audience: config.audience.clone(),
            latchet_verify_endpoint: at("/v1/verify"),
        })
    }
}
