//! `/account`, which returns to another page after the sign-in if its address asks for that.
//!
//! The page takes the address from an attribute that this module writes, and never from its own URL: what was
//! checked here is what the browser uses.

use poem::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use poem::http::{HeaderValue, StatusCode};
use poem::{Endpoint, Request, Response, Result};

use super::asset::Asset;
use super::{HTML_TYPE, PAGE_POLICY, page};
use crate::config::WebOrigin;
use crate::site_address::is_allowed_address;

/// The parameter of the address after the sign-in.
const RETURN_TO: &str = "return_to";

/// Element of the page that gets the address.
const BODY: &str = "<body>";

/// Page for an address that is not allowed.
const REFUSAL: &str = include_str!("account/unknown_site.html");

/// The account page.
pub(super) struct AccountPage {
    html: &'static str,
    /// The page without an address, which browsers cache.
    plain: Asset,
    /// Sites that the page may return to.
    sites: Vec<WebOrigin>,
}

/// The address in a query.
#[derive(Debug, PartialEq, Eq)]
enum ReturnAddress {
    Absent,
    Allowed(String),
    /// It is of an unknown site, or there are several.
    Refused,
}

impl AccountPage {
    pub(super) fn new(html: &'static str, sites: &[WebOrigin]) -> Self {
        Self {
            html,
            plain: page(PAGE_POLICY, html),
            sites: sites.to_vec(),
        }
    }

    fn return_address(&self, query: &str) -> ReturnAddress {
        let mut addresses = form_urlencoded::parse(query.as_bytes())
            .filter_map(|(name, value)| (name == RETURN_TO).then_some(value));
        match (addresses.next(), addresses.next()) {
            (None, _) => ReturnAddress::Absent,
            (Some(address), None) if is_allowed_address(&address, &self.sites) => {
                ReturnAddress::Allowed(address.into_owned())
            }
            (Some(_), _) => ReturnAddress::Refused,
        }
    }
}

impl Endpoint for AccountPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let query = request.uri().query().unwrap_or_default();
        match self.return_address(query) {
            ReturnAddress::Absent => self.plain.call(request).await,
            ReturnAddress::Allowed(address) => {
                let body = format!("<body data-return-to=\"{}\">", escaped(&address));
                let html = self.html.replacen(BODY, &body, 1);
                Ok(uncached_page(StatusCode::OK, html))
            }
            ReturnAddress::Refused => {
                Ok(uncached_page(StatusCode::BAD_REQUEST, REFUSAL.to_owned()))
            }
        }
    }
}

/// Returns a page that depends on the query.
fn uncached_page(status: StatusCode, html: String) -> Response {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, HTML_TYPE)
        .header(CACHE_CONTROL, "no-store")
        .header(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(PAGE_POLICY),
        )
        .body(html)
}

/// Escapes a text for an attribute in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account_page() -> AccountPage {
        let site = "https://app.example.org".parse().unwrap();
        AccountPage::new(include_str!("account/account.html"), &[site])
    }

    async fn open(query: &str) -> (StatusCode, String, String) {
        let uri = format!("/account?{query}");
        let request = Request::builder().uri_str(uri).finish();
        let response = account_page().get_response(request).await;
        let cache = response.headers()[CACHE_CONTROL]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], PAGE_POLICY);
        assert!(!response.headers().contains_key("location"));
        let status = response.status();
        (
            status,
            cache,
            response.into_body().into_string().await.unwrap(),
        )
    }

    #[tokio::test]
    async fn the_page_gets_an_allowed_address() {
        for (query, address) in [
            ("return_to=/admin", "/admin"),
            (
                "return_to=%2Fadmin%3Fa%3D1%26b%3D2%23c",
                "/admin?a=1&amp;b=2#c",
            ),
            (
                "from=mail&return_to=https://app.example.org",
                "https://app.example.org",
            ),
            (
                "return_to=https%3A%2F%2Fapp.example.org%2F%22onload%3D%22alert(1)%3C",
                "https://app.example.org/&quot;onload=&quot;alert(1)&lt;",
            ),
        ] {
            let (status, cache, html) = open(query).await;

            assert_eq!((status, &*cache), (StatusCode::OK, "no-store"), "{query}");
            let body = format!("<body data-return-to=\"{address}\">");
            assert_eq!(html.matches(&body).count(), 1, "{query}");
        }
    }

    #[tokio::test]
    async fn another_address_is_refused() {
        for query in [
            "return_to=",
            "return_to",
            "return_to=admin",
            "return_to=//evil.example",
            "return_to=/%5Cevil.example",
            "return_to=/%09/evil.example",
            "return_to=%20/admin",
            "return_to=https://evil.example/",
            "return_to=https://app.example.org.evil.example/",
            "return_to=http://app.example.org/",
            "return_to=javascript:alert(1)",
            "return_to=/admin&return_to=https://evil.example/",
            "return_to=/admin&return%5Fto=/admin",
        ] {
            let (status, cache, html) = open(query).await;

            assert_eq!(
                (status, &*cache),
                (StatusCode::BAD_REQUEST, "no-store"),
                "{query}"
            );
            assert_eq!(html, REFUSAL, "{query}");
        }
    }

    #[tokio::test]
    async fn without_an_address_the_page_is_the_cached_one() {
        for query in ["", "returnto=https://evil.example/", "from=return_to"] {
            let (status, cache, html) = open(query).await;

            assert_eq!((status, &*cache), (StatusCode::OK, "no-cache"), "{query}");
            assert_eq!(html.matches(BODY).count(), 1, "{query}");
        }
    }
}
