//! HTTP client for issuers: a deadline for each request, a size limit for each response, no redirects.

use std::time::Duration;

use reqwest::header::{ACCEPT, AGE, CACHE_CONTROL, HeaderMap, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{FetchError, SetupError};

/// Much larger than the key set of any issuer.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// A client for one issuer; clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct IssuerClient(Client);

/// A response, and its lifetime if the sender sets one.
#[derive(Debug)]
pub(crate) struct JsonResponse<T> {
    pub(crate) body: T,
    pub(crate) lifetime: Option<Duration>,
}

/// Response to a request with the token of a caller.
#[derive(Debug)]
pub(crate) enum CallerResponse<T> {
    /// The token is accepted.
    Passed(T),
    /// Latchet refuses the token for the reason `code`.
    Refused { code: String },
}

/// Member of a problem that is read.
#[derive(Deserialize)]
struct Refusal {
    code: String,
}

/// Authentication of a request.
#[derive(Debug)]
pub(crate) enum ClientAuthentication<'a> {
    Nothing,
    Bearer(&'a SecretString),
    Basic(&'a str, &'a SecretString),
}

impl IssuerClient {
    /// Returns a client for the issuer at `url`.
    ///
    /// A proxy from the environment is used only for `https`: through it, plain `http` would leave this
    /// machine or the trusted network.
    pub(crate) fn new(url: &Url, deadline: Duration) -> Result<Self, SetupError> {
        let builder = Client::builder()
            .timeout(deadline)
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("latchet/", env!("CARGO_PKG_VERSION")));
        let builder = match url.scheme() {
            "https" => builder,
            _ => builder.no_proxy(),
        };
        builder.build().map(Self).map_err(SetupError::Tls)
    }

    /// Fetches JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        url: &Url,
    ) -> Result<JsonResponse<T>, FetchError> {
        send(self.0.get(url.clone()), url).await
    }

    /// Fetches JSON with the token of a caller of this service.
    ///
    /// Only a response with a challenge and a `code` is a refusal of Latchet: a 401 of a proxy in front of it says
    /// nothing about the token.
    pub(crate) async fn get_as_caller<T: DeserializeOwned>(
        &self,
        url: &Url,
        token: &str,
    ) -> Result<CallerResponse<T>, FetchError> {
        let request = self.0.get(url.clone()).bearer_auth(token);
        let response = respond(request, url).await?;
        let status = response.status();
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(CallerResponse::Passed(read_json(response, url).await?.body));
        }
        let unknown = || FetchError::Status {
            url: url.to_string(),
            status: status.as_u16(),
        };
        let challenge = response.headers().get(WWW_AUTHENTICATE);
        if challenge.is_none_or(|value| !value.as_bytes().starts_with(b"Bearer ")) {
            return Err(unknown());
        }
        let body = read_body(response, url).await?;
        let refusal: Refusal = serde_json::from_slice(&body).map_err(|_| unknown())?;
        Ok(CallerResponse::Refused { code: refusal.code })
    }

    /// Sends a form and returns the JSON response.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        authentication: ClientAuthentication<'_>,
    ) -> Result<T, FetchError> {
        let request = self.0.post(url.clone()).form(form);
        let request = match authentication {
            ClientAuthentication::Nothing => request,
            ClientAuthentication::Bearer(token) => request.bearer_auth(token.expose_secret()),
            ClientAuthentication::Basic(id, secret) => {
                request.basic_auth(id, Some(secret.expose_secret()))
            }
        };
        Ok(send(request, url).await?.body)
    }
}

async fn send<T: DeserializeOwned>(
    request: RequestBuilder,
    url: &Url,
) -> Result<JsonResponse<T>, FetchError> {
    read_json(respond(request, url).await?, url).await
}

async fn respond(request: RequestBuilder, url: &Url) -> Result<Response, FetchError> {
    let unreachable = |source: reqwest::Error| FetchError::Unreachable {
        url: url.to_string(),
        // The outer error already contains the URL.
        source: source.without_url(),
    };
    let request = request.header(ACCEPT, "application/json");
    request.send().await.map_err(unreachable)
}

async fn read_json<T: DeserializeOwned>(
    response: Response,
    url: &Url,
) -> Result<JsonResponse<T>, FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status {
            url: url.to_string(),
            status: response.status().as_u16(),
        });
    }
    let lifetime = max_age(response.headers());
    let bytes = read_body(response, url).await?;
    let body = serde_json::from_slice(&bytes).map_err(|source| FetchError::NotJson {
        url: url.to_string(),
        source,
    })?;
    Ok(JsonResponse { body, lifetime })
}

/// Reads at most the allowed size, independent of the announced length.
async fn read_body(mut response: Response, url: &Url) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|source| FetchError::Unreachable {
            url: url.to_string(),
            source: source.without_url(),
        })?;
        let Some(chunk) = chunk else {
            return Ok(bytes);
        };
        if bytes.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(FetchError::TooLarge {
                url: url.to_string(),
            });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Returns `max-age` minus the age in caches (RFC 9111, section 4.2). A response that must not be stored
/// has no lifetime; the caller applies its own minimum.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = headers
        .get(CACHE_CONTROL)?
        .to_str()
        .ok()?
        .to_ascii_lowercase();
    let mut directives = text.split(',').map(str::trim);
    if directives
        .clone()
        .any(|directive| directive == "no-store" || directive == "no-cache")
    {
        return Some(Duration::ZERO);
    }
    let max_age: u64 = directives
        .find_map(|directive| directive.strip_prefix("max-age="))
        .and_then(|secs| secs.trim_matches('"').parse().ok())?;
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.parse().ok());
    Some(Duration::from_secs(
        max_age.saturating_sub(age.unwrap_or(0)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(cache_control: &'static str, age: Option<&'static str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, cache_control.parse().unwrap());
        if let Some(age) = age {
            headers.insert(AGE, age.parse().unwrap());
        }
        max_age(&headers).map(|duration| duration.as_secs())
    }

    #[test]
    fn cache_control_sets_the_lifetime_of_a_response() {
        for (cache_control, age, expected) in [
            ("public, max-age=300", None, Some(300)),
            ("MAX-AGE=\"60\"", None, Some(60)),
            ("max-age=300, must-revalidate", Some("100"), Some(200)),
            ("max-age=300", Some("400"), Some(0)),
            ("max-age=300", Some("soon"), Some(300)),
            ("no-store, max-age=300", None, Some(0)),
            ("no-cache", None, Some(0)),
            ("public", None, None),
            ("max-age=", None, None),
            ("max-age=-1", None, None),
            ("s-maxage=10", None, None),
        ] {
            assert_eq!(
                seconds(cache_control, age),
                expected,
                "{cache_control} {age:?}"
            );
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
