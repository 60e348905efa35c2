//! Origin of a request: the page that sent it, as browsers report it and pages cannot forge it.

use poem::Request;
use poem::http::HeaderValue;
use poem::http::header::{HOST, HeaderName, ORIGIN};
use poem::http::uri::Authority;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme of the service's own origin, which decides how the origin of a page is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnScheme {
    /// The service does not know it, as behind a proxy: an origin is compared without its scheme, and
    /// `Sec-Fetch-Site`, which takes the scheme into account, has precedence over `Origin`.
    Unknown,
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// Header by which the browser reports that a page of another origin sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignOrigin<'r> {
    /// `Origin`.
    Origin(&'r HeaderValue),
    /// `Sec-Fetch-Site`.
    FetchSite(&'r HeaderValue),
}

/// Refuses a request from a page whose origin is neither in `allowed` nor the host that the request was
/// sent to. The browser sets `Host`, a page cannot.
///
/// Programs other than browsers send neither header and are not vulnerable to CSRF: they pass.
///
/// # Errors
/// The header with the foreign origin.
pub fn check_origin<'r, 'a>(
    request: &'r Request,
    own_scheme: OwnScheme,
    allowed: impl IntoIterator<Item = &'a str>,
) -> Result<(), ForeignOrigin<'r>> {
    let (origin, site) = (
        request.headers().get(ORIGIN),
        request.headers().get(FETCH_SITE),
    );
    let is_allowed = |origin: &HeaderValue| {
        let mut allowed = allowed.into_iter();
        allowed.any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
    };
    if origin.is_some_and(is_allowed) {
        return Ok(());
    }
    match (origin, site) {
        (Some(origin), None) => check_own_origin(origin, own_scheme, request),
        (Some(origin), Some(_)) if own_scheme != OwnScheme::Unknown => {
            check_own_origin(origin, own_scheme, request)
        }
        (_, Some(site)) => check_fetch_site(site),
        (None, None) => Ok(()),
    }
}

fn check_own_origin<'r>(
    origin: &'r HeaderValue,
    own_scheme: OwnScheme,
    request: &Request,
) -> Result<(), ForeignOrigin<'r>> {
    let strip = |scheme: &str| origin.as_bytes().strip_prefix(scheme.as_bytes());
    let authority = match own_scheme {
        OwnScheme::Unknown => strip("https://").or_else(|| strip("http://")),
        OwnScheme::Http => strip("http://"),
        OwnScheme::Https => strip("https://"),
    };
    let host = request_host(request).map(str::as_bytes);
    let is_own = authority
        .zip(host)
        .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
    if is_own {
        return Ok(());
    }
    Err(ForeignOrigin::Origin(origin))
}

fn check_fetch_site(site: &HeaderValue) -> Result<(), ForeignOrigin<'_>> {
    match site.as_bytes() {
        b"same-origin" | b"none" => Ok(()),
        _ => Err(ForeignOrigin::FetchSite(site)),
    }
}

/// Returns the host and port that a request was sent to.
pub fn request_host(request: &Request) -> Option<&str> {
    // HTTP/2 sends it as a part of the URI.
    let authority = request.uri().authority().map(Authority::as_str);
    authority.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [&str; 1] = ["https://app.example"];

    fn request(host: &str, origin: Option<&str>, site: Option<&str>) -> Request {
        let mut request = Request::builder().header(HOST, host).finish();
        let headers = [(ORIGIN, origin), (FETCH_SITE, site)];
        for (name, value) in headers {
            let value = value.map(|value| value.parse().unwrap());
            request
                .headers_mut()
                .extend(value.map(|value| (name, value)));
        }
        request
    }

    fn is_accepted(own_scheme: OwnScheme, origin: Option<&str>, site: Option<&str>) -> bool {
        check_origin(&request("own.example", origin, site), own_scheme, ALLOWED).is_ok()
    }

    #[test]
    fn pages_of_the_own_host_and_of_allowed_origins_are_accepted() {
        for own_scheme in [OwnScheme::Unknown, OwnScheme::Https] {
            for origin in [
                "https://own.example",
                "https://app.example",
                "https://APP.example",
            ] {
                assert!(is_accepted(own_scheme, Some(origin), None), "{origin}");
            }
            for origin in [
                "https://evil.example",
                "https://own.example:8443",
                "null",
                "",
            ] {
                assert!(!is_accepted(own_scheme, Some(origin), None), "{origin}");
            }
            assert!(is_accepted(own_scheme, None, None));
        }
    }

    #[test]
    fn the_scheme_of_an_origin_counts_if_the_own_scheme_is_known() {
        let origin = Some("http://own.example");

        assert!(is_accepted(OwnScheme::Unknown, origin, None));
        assert!(is_accepted(OwnScheme::Http, origin, None));
        assert!(!is_accepted(OwnScheme::Https, origin, None));
        assert!(!is_accepted(
            OwnScheme::Http,
            Some("https://own.example"),
            None
        ));
    }

    #[test]
    fn without_an_origin_the_site_decides() {
        for own_scheme in [OwnScheme::Unknown, OwnScheme::Https] {
            for (site, expected) in [
                ("same-origin", true),
                ("none", true),
                ("same-site", false),
                ("cross-site", false),
                ("", false),
            ] {
                assert_eq!(
                    is_accepted(own_scheme, None, Some(site)),
                    expected,
                    "{site}"
                );
            }
        }
    }

    #[test]
    fn the_site_has_precedence_over_the_origin_only_if_the_own_scheme_is_unknown() {
        let (own, foreign) = (Some("https://own.example"), Some("https://evil.example"));

        assert!(!is_accepted(OwnScheme::Unknown, own, Some("cross-site")));
        assert!(is_accepted(
            OwnScheme::Unknown,
            foreign,
            Some("same-origin")
        ));
        assert!(is_accepted(OwnScheme::Https, own, Some("cross-site")));
        assert!(!is_accepted(OwnScheme::Https, foreign, Some("same-origin")));
        let allowed = Some("https://app.example");
        assert!(is_accepted(OwnScheme::Unknown, allowed, Some("cross-site")));
    }

    #[test]
    fn the_refusal_contains_the_foreign_header() {
        let request = request("own.example", Some("null"), Some("cross-site"));
        let (origin, site) = (&request.headers()[ORIGIN], &request.headers()[FETCH_SITE]);

        let by_origin = check_origin(&request, OwnScheme::Https, ALLOWED);
        let by_site = check_origin(&request, OwnScheme::Unknown, ALLOWED);

        assert_eq!(by_origin, Err(ForeignOrigin::Origin(origin)));
        assert_eq!(by_site, Err(ForeignOrigin::FetchSite(site)));
    }

    #[test]
    fn the_host_of_http_2_is_in_the_uri() {
        let uri: poem::http::Uri = "https://own.example:8443/path".parse().unwrap();
        let request = Request::builder().uri(uri).header(HOST, "other").finish();

        assert_eq!(request_host(&request), Some("own.example:8443"));
    }
}
