//! The page that forward authentication redirects browsers to, and the address that they return to.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::Request;

use crate::config::Config;
use crate::error::ApiError;
use crate::site_address::{is_allowed_address, is_allowed_url, known_sites};
use crate::web::ACCOUNT;

/// Longest address that is passed on, in bytes. Proxies limit a header to 4 or 8 KiB, and encoding may
/// triple the length.
const MAX_RETURN_LENGTH: usize = 1024;

/// Address of a sign-in page. Only sites that the operator has configured are allowed: an attacker can set
/// `sign_in=` in a link.
pub(super) struct SignInAddress(String);

impl SignInAddress {
    /// Returns the address of a parameter.
    ///
    /// # Errors
    /// `validation_failed` for an address that is not allowed.
    pub(super) fn parse(text: String, config: &Config) -> Result<Self, ApiError> {
        if is_allowed_address(&text, known_sites(config)) {
            return Ok(Self(text));
        }
        Err(ApiError::invalid_field(
            "sign_in",
            "must be a path, or a URL of this server or of an allowed origin",
        ))
    }

    /// Returns the address for the browser that sent a request. The account page of this server gets the
    /// address of the request, and returns to it after the sign-in; other pages have parameters of their own.
    pub(super) fn for_request(self, request: &Request, config: &Config) -> String {
        let own = self.0.strip_prefix(config.public_url.as_str());
        if own.unwrap_or(&self.0) != ACCOUNT {
            return self.0;
        }
        match original_url(request, config) {
            Some(url) => {
                let encoded = utf8_percent_encode(&url, NON_ALPHANUMERIC);
                format!("{}?return_to={encoded}", self.0)
            }
            None => self.0,
        }
    }
}

/// Returns the address that the browser has opened, if the proxy names it and it is on a known site.
///
/// The headers need no trusted proxy: a client that sends them itself changes only the address that its own
/// response leads to, and no link can make a browser send them.
fn original_url(request: &Request, config: &Config) -> Option<String> {
    let forwarded = || {
        let [scheme, host, uri] = ["proto", "host", "uri"]
            .map(|part| single_header(request, &format!("x-forwarded-{part}")));
        Some(format!("{}://{}{}", scheme?, host?, uri?))
    };
    let url = single_header(request, "x-original-url").map(ToOwned::to_owned);
    let url = url.or_else(forwarded)?;
    let is_short = url.len() <= MAX_RETURN_LENGTH;
    (is_short && is_allowed_url(&url, known_sites(config))).then_some(url)
}

/// Returns the value of a header that a request has exactly once.
fn single_header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let mut lines = request.headers().get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let settings = [
            ("LATCHET_PUBLIC_URL", "https://auth.example.org"),
            ("LATCHET_ALLOWED_ORIGINS", "https://app.example.org:8443"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(["latchet"], settings).unwrap()
    }

    /// Returns where a browser is sent whose request has these headers.
    fn location(sign_in: &str, headers: &[(&str, &str)]) -> String {
        let builder = headers
            .iter()
            .fold(Request::builder(), |builder, (name, value)| {
                builder.header(*name, *value)
            });
        let config = config();
        let address = SignInAddress::parse(sign_in.to_owned(), &config).unwrap();
        address.for_request(&builder.finish(), &config)
    }

    /// Headers of a proxy in front of `https://app.example.org:8443`.
    fn forwarded(uri: &str) -> [(&str, &str); 3] {
        [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.example.org:8443"),
            ("x-forwarded-uri", uri),
        ]
    }

    #[test]
    fn a_sign_in_address_may_be_on_a_configured_site() {
        for address in [
            "/",
            "/sign-in?from=proxy#form",
            "https://auth.example.org",
            "https://auth.example.org/docs",
            "https://auth.example.org?page=sign-in",
            "https://app.example.org:8443/sign-in",
        ] {
            let parsed = SignInAddress::parse(address.to_owned(), &config());

            assert_eq!(parsed.unwrap().0, address);
        }
    }

    #[test]
    fn a_sign_in_address_on_another_site_is_refused() {
        for address in [
            "",
            "sign-in",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\r\nSet-Cookie: a=b",
            " /",
            "/ä",
            "javascript:alert(1)",
            "https://evil.example/",
            "http://auth.example.org/",
            "https://auth.example.org.evil.example/",
            "https://auth.example.org:8443/",
            "https://auth.example.org@evil.example/",
            "https://auth.example.org\\.evil.example/",
            "https://app.example.org/",
            "https://app.example.org:84430/",
        ] {
            let parsed = SignInAddress::parse(address.to_owned(), &config());

            assert!(parsed.is_err(), "{address:?}");
        }
    }

    #[test]
    fn the_account_page_gets_the_address_of_the_request() {
        let encoded = "https%3A%2F%2Fapp%2Eexample%2Eorg%3A8443%2Forders%3Fa%3D1%26b%3D%2520";
        let original = [(
            "x-original-url",
            "https://app.example.org:8443/orders?a=1&b=%20",
        )];
        for page in ["/account", "https://auth.example.org/account"] {
            let expected = format!("{page}?return_to={encoded}");
            for headers in [&forwarded("/orders?a=1&b=%20")[..], &original] {
                assert_eq!(location(page, headers), expected);
            }
        }
    }

    #[test]
    fn another_page_gets_no_address() {
        for page in [
            "/sign-in",
            "/account/",
            "/account?theme=dark",
            "https://app.example.org:8443/account",
            "https://auth.example.org/docs",
        ] {
            assert_eq!(location(page, &forwarded("/orders")), page);
        }
    }

    #[test]
    fn an_address_of_another_site_is_not_passed_on() {
        let of = |scheme, host, uri| {
            vec![
                ("x-forwarded-proto", scheme),
                ("x-forwarded-host", host),
                ("x-forwarded-uri", uri),
            ]
        };
        let long = format!("/{}", "a".repeat(MAX_RETURN_LENGTH));
        for headers in [
            vec![],
            forwarded("/orders")[..2].to_vec(),
            of("https", "evil.example", "/"),
            of("http", "app.example.org:8443", "/"),
            of("https", "app.example.org:8443", "@evil.example/"),
            of("https", "app.example.org:8443", ".evil.example/"),
            of("https", "app.example.org:8443, evil.example", "/"),
            of("https", "app.example.org:8443", &long),
            of("javascript", "alert(1)", "/"),
            [
                of("https", "app.example.org:8443", "/"),
                of("https", "evil.example", "/"),
            ]
            .concat(),
            vec![("x-original-url", "/orders")],
            vec![("x-original-url", "https://evil.example/")],
            [
                vec![("x-original-url", "https://evil.example/")],
                forwarded("/").to_vec(),
            ]
            .concat(),
        ] {
            assert_eq!(location("/account", &headers), "/account", "{headers:?}");
        }
    }
}
