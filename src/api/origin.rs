//! Origin check: whether a page may send requests with cookies.

use poem::Request;
use poem::http::HeaderValue;

use crate::config::{AllowedOrigin, Config, WebOrigin};
use crate::error::ApiError;
use latchet_guard::cookies::{self, ForeignOrigin, OwnScheme, request_host};

/// Longest part of a header that an error repeats.
const MAX_ECHOED_LENGTH: usize = 128;

/// Refuses a request from a page of a foreign origin. Its own origin is the public URL, and the host that
/// the request was sent to: this admits `localhost` beside `127.0.0.1`.
///
/// # Errors
/// `csrf_failed`, with the origin of the request, the expected one and the setting to change.
pub(super) fn check_origin(request: &Request, config: &Config) -> Result<(), ApiError> {
    let own_scheme = if config.is_https() {
        OwnScheme::Https
    } else {
        OwnScheme::Http
    };
    let listed = config.allowed_origins.iter().map(AllowedOrigin::as_str);
    let allowed = std::iter::once(config.public_url.as_str()).chain(listed);
    cookies::check_origin(request, own_scheme, allowed).map_err(|foreign| {
        let sender = match foreign {
            ForeignOrigin::Origin(origin) => format!("from the origin `{}`", printable(origin)),
            ForeignOrigin::FetchSite(site) => format!(
                "from another origin (`Sec-Fetch-Site: {}`)",
                printable(site)
            ),
        };
        foreign_origin(&sender, request, config)
    })
}

fn scheme(config: &Config) -> &'static str {
    if config.is_https() {
        "https://"
    } else {
        "http://"
    }
}

fn foreign_origin(sender: &str, request: &Request, config: &Config) -> ApiError {
    let own = &config.public_url;
    let scheme = scheme(config);
    let sent_to = request_host(request).map(|host| format!("{scheme}{}", printable_text(host)));
    let sent_to = sent_to.filter(|sent_to| sent_to != own.as_str());
    let sent_to = sent_to.map_or_else(String::new, |sent_to| {
        format!(" and the request was sent to `{sent_to}`")
    });
    ApiError::ForeignOrigin(format!(
        "the CSRF check failed: the request comes {sender}, but this server is `{own}`{sent_to}: set LATCHET_PUBLIC_URL to the URL that browsers show, or add the origin to LATCHET_ALLOWED_ORIGINS; a proxy in between must not change the header `Host`"
    ))
}

/// Returns a header value in a form that an error may repeat.
pub(super) fn printable(value: &HeaderValue) -> String {
    printable_text(&String::from_utf8_lossy(value.as_bytes()))
}

fn printable_text(text: &str) -> String {
    let text = text
        .chars()
        .take(MAX_ECHOED_LENGTH)
        .flat_map(char::escape_debug);
    text.filter(|char| *char != '`').collect()
}

/// Returns whether a host is a loopback address or name.
pub(super) fn is_loopback_host(host: &str) -> bool {
    format!("http://{host}")
        .parse::<WebOrigin>()
        .is_ok_and(|origin| origin.is_loopback())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderName;
    use poem::http::header::{HOST, ORIGIN};

    use super::*;

    const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

    #[test]
    fn only_local_hosts_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "a.localhost",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "10.0.0.1:80",
            "[::2]",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    fn config() -> Config {
        let settings = [
            ("LATCHET_PUBLIC_URL", "https://auth.example.org"),
            ("LATCHET_ALLOWED_ORIGINS", "https://app.example.org"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(["latchet"], settings).unwrap()
    }

    fn check_header(name: HeaderName, value: &[u8], host: &str) -> Result<(), String> {
        let mut request = Request::builder().header(HOST, host).finish();
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().insert(name, value);
        check_origin(&request, &config()).map_err(|error| error.to_string())
    }

    #[test]
    fn own_and_listed_origins_are_admitted() {
        for origin in [
            "https://auth.example.org",
            "https://app.example.org",
            "https://inner:8080",
        ] {
            let checked = check_header(ORIGIN, origin.as_bytes(), "inner:8080");

            assert_eq!(checked, Ok(()), "{origin}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(check_header(FETCH_SITE, site.as_bytes(), "inner"), Ok(()));
        }
    }

    #[test]
    fn the_error_for_a_foreign_origin_names_it_and_the_settings() {
        for origin in [
            "https://evil.example",
            "http://auth.example.org",
            "http://localhost:5173",
            "null",
            "https://auth.example.org\u{fc}",
        ] {
            let text = check_header(ORIGIN, origin.as_bytes(), "127.0.0.1:8080").unwrap_err();

            for part in [
                origin,
                "https://auth.example.org",
                "https://127.0.0.1:8080",
                "LATCHET_PUBLIC_URL",
                "LATCHET_ALLOWED_ORIGINS",
            ] {
                assert!(text.contains(part), "{part} is missing in: {text}");
            }
        }
        let long = format!("https://{}", "x".repeat(5000));
        let text = check_header(ORIGIN, long.as_bytes(), "a").unwrap_err();
        assert!(text.len() < 700, "{} bytes", text.len());
        let text = check_header(FETCH_SITE, b"cross-site", "a").unwrap_err();
        assert!(text.contains("cross-site"), "{text}");
    }
}
