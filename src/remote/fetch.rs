//! Fetching an issuer's keys once: metadata, then the JWK set that it names.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::address::metadata_of;
use super::{AddressError, Http, Plaintext, parse};
use crate::keys::{KeySet, VerifyingKey};

/// Why an issuer cannot be asked at all: a mistake in the settings, or in the machine.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not at this address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The system's certificates cannot be read, for example.
    #[error("could not set up TLS")]
    Tls(#[source] reqwest::Error),
}

/// Why an issuer's answer was not had, or not believed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer, or not a whole one, within the deadline.
    #[error("could not ask {url}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// An answer other than 200. Redirects are not followed.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// More than anybody needs to say.
    #[error("{url} sent more than 256 KiB")]
    TooLarge {
        /// What was asked.
        url: String,
    },
    /// Something else than what was asked for.
    #[error("{url} did not send the JSON that belongs there")]
    NotJson {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The metadata is another issuer's, or the address is not written as the issuer writes it
    /// (RFC 8414, section 3.3).
    #[error("the issuer at {expected} calls itself {found}: write its URL exactly like that")]
    OtherIssuer {
        /// Who was asked.
        expected: String,
        /// Who answered.
        found: String,
    },
    /// The metadata names a JWK set at an address that is not asked.
    #[error("the issuer's `jwks_uri` cannot be used")]
    JwksAddress(#[source] AddressError),
    /// Not one key could be used. An empty set is taken for a mistake, not for an order to refuse all
    /// tokens.
    #[error("{url} has no key that can be used here")]
    NoKeys {
        /// What was asked.
        url: String,
    },
}

/// The metadata of an authorization server, as far as it is read.
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// Keys, and how long the issuer lets them be kept, if it says.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) kept_for: Option<Duration>,
}

/// Fetches the keys of `issuer`, which is `url` as it was written and compared so: `https://a.example` and
/// `https://a.example/` are two issuers.
pub(super) async fn keys_of(
    http: &Http,
    url: &Url,
    issuer: &str,
    plaintext: Plaintext,
) -> Result<Fetched, FetchError> {
    let metadata: Metadata = http.get(&metadata_of(url)).await?.body;
    if metadata.issuer != issuer {
        return Err(FetchError::OtherIssuer {
            expected: issuer.to_owned(),
            found: metadata.issuer,
        });
    }
    let jwks_uri = jwks_address(url, &metadata.jwks_uri, plaintext)?;
    let jwks = http.get::<Jwks>(&jwks_uri).await?;
    let keys = KeySet::new(jwks.body.keys.iter().filter_map(usable));
    if keys.is_empty() {
        return Err(FetchError::NoKeys {
            url: jwks_uri.to_string(),
        });
    }
    Ok(Fetched {
        keys,
        kept_for: jwks.kept_for,
    })
}

/// The keys may be on another host, as large issuers have them, but are never fetched less safely
/// than the metadata that named them.
fn jwks_address(issuer: &Url, jwks_uri: &str, plaintext: Plaintext) -> Result<Url, FetchError> {
    let url = parse_with_query(jwks_uri, plaintext).map_err(FetchError::JwksAddress)?;
    if issuer.scheme() == "https" && url.scheme() != "https" {
        let refusal = AddressError::Plaintext(jwks_uri.to_owned());
        return Err(FetchError::JwksAddress(refusal));
    }
    Ok(url)
}

/// Unlike an issuer's own name, the address of its keys may have a query.
fn parse_with_query(text: &str, plaintext: Plaintext) -> Result<Url, AddressError> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let mut url = parse(path, plaintext)?;
    url.set_query(query);
    Ok(url)
}

/// Leaves out what cannot be used, as RFC 7517 asks (section 5): one bad entry must not lock
/// everybody out. A symmetric key in public is never taken.
fn usable(jwk: &Value) -> Option<VerifyingKey> {
    match VerifyingKey::from_jwk(jwk) {
        Ok(key) => Some(key),
        Err(error) => {
            let kid = jwk.get("kid").and_then(Value::as_str);
            tracing::debug!(kid, %error, "a published key is left out");
            None
        }
    }
}
