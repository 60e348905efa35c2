//! Ambiguous requests, which are refused before any handler interprets them: a proxy in front may have
//! interpreted them differently.

use std::net::IpAddr;

use poem::Request;
use poem::http::uri::Authority;
use poem::http::{HeaderName, StatusCode, Uri, Version, header};

use super::error_reply::{ErrorReply, unreadable_head};
use super::random_request_id;
use latchet_guard::error::{FieldError, Problem};

/// Headers that have one value. List headers are not among them, and neither is `Authorization`, in which
/// clients send several credentials: the code that reads it refuses two of one kind.
const SINGLE_VALUED_HEADERS: [(HeaderName, &str); 7] = [
    (header::HOST, "Host"),
    (header::CONTENT_TYPE, "Content-Type"),
    (header::CONTENT_LENGTH, "Content-Length"),
    (header::TRANSFER_ENCODING, "Transfer-Encoding"),
    (header::ORIGIN, "Origin"),
    (HeaderName::from_static("x-csrf-token"), "X-CSRF-Token"),
    (HeaderName::from_static("sec-fetch-site"), "Sec-Fetch-Site"),
];

/// Refuses a request without the `Host` header that HTTP/1.1 requires (RFC 9112, 3.2) or with another host than
/// its address has, one that repeats a single-valued header, and one whose body has another coding than `chunked`.
///
/// # Errors
/// `validation_failed` with the name of the header.
pub(super) fn check_headers(request: &Request) -> Result<(), Box<ErrorReply>> {
    let headers = request.headers();
    for (name, display_name) in SINGLE_VALUED_HEADERS {
        let mut lines = headers.get_all(name).iter();
        if lines.next().is_some() && lines.next().is_some() {
            return Err(header_error(display_name, "is given twice"));
        }
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    // Each coding changes where the body ends, and nobody needs another, or the same one twice.
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(header_error("Transfer-Encoding", "is not `chunked` alone"));
    }
    let Some(host) = headers.get(header::HOST) else {
        // HTTP/2 has `:authority` instead, and HTTP/1.0 does not require it.
        return match request.version() {
            Version::HTTP_11 => Err(header_error("Host", "is missing")),
            _ => Ok(()),
        };
    };
    // RFC 9112 requires an empty value where the target URI has no host.
    let authority = Authority::try_from(host.as_bytes())
        .ok()
        .filter(|authority| !authority.as_str().contains(['@', ',']));
    if authority.is_none() && !host.is_empty() {
        return Err(header_error("Host", "is no host"));
    }
    if is_elsewhere(request.uri(), authority.as_ref()) {
        return Err(header_error("Host", "is not the host in the address"));
    }
    Ok(())
}

/// Returns whether an address with a host has another one than `given`.
fn is_elsewhere(address: &Uri, given: Option<&Authority>) -> bool {
    let usual = match address.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let place = |authority: &Authority| {
        let port = authority.port_u16().unwrap_or(usual);
        (authority.host().to_ascii_lowercase(), port)
    };
    let target = address.authority().map(place);
    target.is_some_and(|target| given.map(place) != Some(target))
}

/// Logs the refusal of an unreadable request head, and returns the response as HTTP/1.1 bytes. It is the
/// last response of its connection.
pub(crate) fn unreadable_head_response(status: StatusCode, peer: IpAddr) -> Vec<u8> {
    let problem = unreadable_head(status);
    let id = random_request_id();
    tracing::info!(
        request.id = id,
        http.status = problem.status.as_u16(),
        code = problem.code,
        client.address = %peer.to_canonical(),
        "request completed"
    );
    let body = problem.to_json(Some(&id));
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem.status.as_u16(),
        problem.title(),
        body.len(),
    );
    [head.into_bytes(), body].concat()
}

fn header_error(header: &str, detail: &str) -> Box<ErrorReply> {
    let mut problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "validation_failed",
        format!("the header `{header}` {detail}"),
    );
    problem.errors.push(FieldError {
        field: header.to_owned(),
        detail: detail.to_owned(),
    });
    Box::new(problem.into())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn check_request(version: Version, lines: &[(&str, &[u8])]) -> Result<(), String> {
        check_at("/", version, lines)
    }

    fn check_at(address: &str, version: Version, lines: &[(&str, &[u8])]) -> Result<(), String> {
        let address = Uri::try_from(address).unwrap();
        let mut request = Request::builder().uri(address).version(version).finish();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(name, value);
        }
        check_headers(&request).map_err(|reply| reply.problem.detail)
    }

    #[test]
    fn a_request_of_http_1_1_has_one_host() {
        for good in [
            b"localhost:8080".as_slice(),
            b"auth.example.org",
            b"[::1]:80",
            b"127.0.0.1",
            b"",
        ] {
            assert_eq!(check_request(Version::HTTP_11, &[("host", good)]), Ok(()));
        }
        for (values, text) in [
            (vec![], "the header `Host` is missing"),
            (
                vec![b"a".as_slice(), b"a"],
                "the header `Host` is given twice",
            ),
            (
                vec![b"a".as_slice(), b"b"],
                "the header `Host` is given twice",
            ),
            (vec![b"a b".as_slice()], "the header `Host` is no host"),
            (vec![b"a,b".as_slice()], "the header `Host` is no host"),
            (vec![b"a/b".as_slice()], "the header `Host` is no host"),
            (vec![b"u@a".as_slice()], "the header `Host` is no host"),
            (vec![b"\xff".as_slice()], "the header `Host` is no host"),
        ] {
            let lines: Vec<_> = values.into_iter().map(|value| ("host", value)).collect();

            assert_eq!(
                check_request(Version::HTTP_11, &lines),
                Err(text.to_owned()),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn other_versions_need_no_host() {
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(check_request(version, &[]), Ok(()));
        }
    }

    #[test]
    fn the_host_is_that_of_an_address_with_one() {
        let other = Err("the header `Host` is not the host in the address".to_owned());
        for (address, host, wanted) in [
            ("/v1/me", b"a".as_slice(), &Ok(())),
            ("http://a/v1/me", b"a", &Ok(())),
            ("http://a/v1/me", b"A:80", &Ok(())),
            ("https://a:443/v1/me", b"a", &Ok(())),
            ("http://a:8080/v1/me", b"a:8080", &Ok(())),
            ("http://a/v1/me", b"b", &other),
            ("http://a/v1/me", b"a:8080", &other),
            ("http://a:8080/v1/me", b"a", &other),
            ("http://a/v1/me", b"", &other),
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let checked = check_at(address, version, &[("host", host)]);
                assert_eq!(&checked, wanted, "{address} {host:?}");
            }
        }
        assert_eq!(check_at("https://a/v1/me", Version::HTTP_2, &[]), Ok(()));
    }

    #[test]
    fn a_body_is_chunked_or_has_no_coding() {
        let host: (&str, &[u8]) = ("host", b"a");
        for (coding, is_good) in [
            (b"chunked".as_slice(), true),
            (b"Chunked", true),
            (b"gzip, chunked", false),
            (b"chunked, chunked", false),
            (b"identity, chunked", false),
            (b", chunked", false),
            (b"chunked;q=1", false),
        ] {
            let lines = [host, ("transfer-encoding", coding)];
            let checked = check_request(Version::HTTP_11, &lines);
            assert_eq!(checked.is_ok(), is_good, "{coding:?}: {checked:?}");
        }
    }

    #[test]
    fn a_repeated_single_valued_header_is_refused() {
        let host: (&str, &[u8]) = ("host", b"a");
        for (name, display_name) in SINGLE_VALUED_HEADERS {
            let line: (&str, &[u8]) = (name.as_str(), b"1");

            let text = check_request(Version::HTTP_11, &[host, line, line]).unwrap_err();

            assert_eq!(text, format!("the header `{display_name}` is given twice"));
        }
        for name in ["cookie", "authorization", "accept", "x-forwarded-for"] {
            let line: (&str, &[u8]) = (name, b"1");

            assert_eq!(check_request(Version::HTTP_11, &[host, line, line]), Ok(()));
        }
    }
}
