//! Fetching an issuer's keys once: metadata, then the JWK set that it names.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::address::metadata_url;
use super::{AddressError, IssuerClient, PlaintextPolicy, parse_address};
use crate::keys::{KeySet, VerifyingKey};

/// Failure to set up requests to an issuer: an error in the settings, or of the machine.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is not allowed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// For example, the system's certificates cannot be read.
    #[error("could not set up TLS")]
    Tls(#[source] reqwest::Error),
}

/// Failure of a request to an issuer, or reason for refusing its response.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No complete response within the deadline.
    #[error("request failed: {url}")]
    Unreachable {
        /// URL of the request.
        url: String,
        /// Cause of the failure.
        source: reqwest::Error,
    },
    /// A response other than 200. Redirects are not followed.
    #[error("{url} responded with status {status}")]
    Status {
        /// URL of the request.
        url: String,
        /// Status of the response.
        status: u16,
    },
    /// The response is too large.
    #[error("{url} sent more than 256 KiB")]
    TooLarge {
        /// URL of the request.
        url: String,
    },
    /// The response is not the expected JSON.
    #[error("{url} did not send the expected JSON")]
    NotJson {
        /// URL of the request.
        url: String,
        /// Parse error.
        source: serde_json::Error,
    },
    /// The metadata is of another issuer, or the configured URL differs from the issuer's spelling (RFC
    /// 8414, section 3.3).
    #[error("the issuer at {expected} has the name {found}: write its URL exactly like that")]
    OtherIssuer {
        /// Configured issuer.
        expected: String,
        /// Issuer in the metadata.
        found: String,
    },
    /// The metadata names the JWK set, or the check of tokens, at an address that is not allowed.
    #[error("an address in the issuer's metadata cannot be used")]
    NamedAddress(#[source] AddressError),
    /// The metadata do not say where tokens can be checked.
    #[error("the issuer at {issuer} is not a Latchet of this version")]
    NotLatchet {
        /// Configured issuer.
        issuer: String,
    },
    /// No key could be used. An empty set is treated as an error, not as a request to refuse all tokens.
    #[error("{url} has no key that can be used here")]
    NoKeys {
        /// URL of the request.
        url: String,
    },
}

/// Members of an authorization server's metadata that are read.
#[derive(Debug, Deserialize)]
struct IssuerMetadata {
    issuer: String,
    jwks_uri: String,
    latchet_audience: Option<Vec<String>>,
    latchet_verify_endpoint: Option<String>,
}

/// Facts about the tokens of a Latchet, beside the keys.
#[derive(Debug)]
pub(crate) struct TokenMetadata {
    /// Their `aud`.
    pub(crate) audience: Vec<String>,
    /// Address at which a token can be checked.
    pub(crate) verify_endpoint: Url,
}

#[derive(Debug, Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// Keys, and their lifetime if the issuer sends one.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    pub(super) keys: KeySet,
    pub(super) lifetime: Option<Duration>,
}

/// Fetches the keys of `issuer`, which is `url` as configured and is compared literally:
/// `https://a.example` and `https://a.example/` are two issuers.
pub(super) async fn fetch_keys(
    http: &IssuerClient,
    url: &Url,
    issuer: &str,
    plaintext: PlaintextPolicy,
) -> Result<FetchedKeys, FetchError> {
    let metadata = fetch_metadata(http, url, issuer).await?;
    let jwks_uri = named_url(url, &metadata.jwks_uri, plaintext)?;
    let jwks = http.get::<Jwks>(&jwks_uri).await?;
    let keys = KeySet::new(jwks.body.keys.iter().filter_map(usable_key));
    if keys.is_empty() {
        return Err(FetchError::NoKeys {
            url: jwks_uri.to_string(),
        });
    }
    Ok(FetchedKeys {
        keys,
        lifetime: jwks.lifetime,
    })
}

/// Fetches what the Latchet at `url` says about its tokens; `issuer` as in [`fetch_keys`].
pub(crate) async fn fetch_token_metadata(
    http: &IssuerClient,
    url: &Url,
    issuer: &str,
    plaintext: PlaintextPolicy,
) -> Result<TokenMetadata, FetchError> {
    let metadata = fetch_metadata(http, url, issuer).await?;
    let (Some(audience), Some(endpoint)) =
        (metadata.latchet_audience, metadata.latchet_verify_endpoint)
    else {
        return Err(FetchError::NotLatchet {
            issuer: issuer.to_owned(),
        });
    };
    Ok(TokenMetadata {
        audience,
        verify_endpoint: named_url(url, &endpoint, plaintext)?,
    })
}

async fn fetch_metadata(
    http: &IssuerClient,
    url: &Url,
    issuer: &str,
) -> Result<IssuerMetadata, FetchError> {
    let metadata: IssuerMetadata = http.get(&metadata_url(url)).await?.body;
    if metadata.issuer != issuer {
        return Err(FetchError::OtherIssuer {
            expected: issuer.to_owned(),
            found: metadata.issuer,
        });
    }
    Ok(metadata)
}

/// Returns an address in the metadata. It may be on another host, as large issuers do it, but is never less
/// secure than that of the metadata.
fn named_url(issuer: &Url, named: &str, plaintext: PlaintextPolicy) -> Result<Url, FetchError> {
    let url = parse_with_query(named, plaintext).map_err(FetchError::NamedAddress)?;
    if issuer.scheme() == "https" && url.scheme() != "https" {
        let refusal = AddressError::Plaintext(named.to_owned());
        return Err(FetchError::NamedAddress(refusal));
    }
    Ok(url)
}

/// Unlike an issuer identifier, the address of its keys may have a query.
fn parse_with_query(text: &str, plaintext: PlaintextPolicy) -> Result<Url, AddressError> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let mut url = parse_address(path, plaintext)?;
    url.set_query(query);
    Ok(url)
}

/// Skips unusable keys, as RFC 7517 requires (section 5): one bad entry must not cause the refusal of
/// all tokens. A published symmetric key is never used.
fn usable_key(jwk: &Value) -> Option<VerifyingKey> {
    match VerifyingKey::from_jwk(jwk) {
        Ok(key) => Some(key),
        Err(error) => {
            let kid = jwk.get("kid").and_then(Value::as_str);
            tracing::debug!(kid, %error, "a published key is skipped");
            None
        }
    }
}
