//! Tokens in cookies, and the CSRF check.

use poem::http::HeaderValue;

use super::*;
use latchet_guard::cookies::Cookies;

const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl TestService {
    fn browser_app(&self) -> impl Endpoint + use<> {
        let mut cookies = Cookies::default();
        cookies.csrf.allowed_origins = vec!["https://spa.example.com".to_owned()];
        app(self
            .guards()
            .with_locations([Location::header(), Location::cookies(cookies)]))
    }

    fn cookie_token(&self, kind: TokenKind) -> String {
        self.sign(&Claims {
            kind,
            csrf: Some("proof".to_owned()),
            ..self.claims()
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> TestResponse {
        let request = request(method, path, headers);
        read_response(self.browser_app().get_response(request).await).await
    }
}

#[tokio::test]
async fn the_kind_selects_the_cookie() {
    let service = TestService::new();
    let access = service.cookie_token(TokenKind::Access);
    let refresh = service.cookie_token(TokenKind::Refresh);
    let both = format!("a=1; __Host-latchet_at={access}; __Host-latchet_rt={refresh}; b");
    let table = [
        ("/required", both.as_str(), ok("alice")),
        ("/refresh", &both, ok("alice")),
        ("/either", &both, ok("alice")),
        ("/plain", &both, ok("alice")),
        ("/optional", &both, ok("alice")),
        ("/optional", "__Host-latchet_at=", ok("nobody")),
        ("/optional", "__Host-latchet_at", ok("nobody")),
        ("/optional", "; ;=;==", ok("nobody")),
        (
            "/optional",
            "__Host-latchet_at=junk",
            refused(401, "malformed_token"),
        ),
        (
            "/required",
            "x__Host-latchet_at=junk",
            refused(401, "missing_token"),
        ),
    ];

    for (path, cookie, expected) in table {
        let seen = service
            .send(Method::GET, path, &[(header::COOKIE, cookie)])
            .await;

        assert_eq!(seen, expected, "{path} with {cookie:?}");
    }
}

#[tokio::test]
async fn either_kind_accepts_a_single_refresh_cookie() {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_rt={}",
        service.cookie_token(TokenKind::Refresh)
    );

    let seen = service
        .send(Method::GET, "/either", &[(header::COOKIE, &cookie)])
        .await;

    assert_eq!(seen, ok("alice"));
}

#[tokio::test]
async fn cookies_are_not_read_unless_configured() {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Access)
    );
    let request = request(Method::GET, "/required", &[(header::COOKIE, &cookie)]);

    let seen = read_response(service.app().get_response(request).await).await;

    assert_eq!(seen, refused(401, "missing_token"));
}

#[tokio::test]
async fn two_tokens_in_one_request_are_refused() {
    let service = TestService::new();
    let token = service.cookie_token(TokenKind::Access);
    let cookie = format!("__Host-latchet_at={token}");
    let planted = service.sign(&Claims {
        sub: "mallory".to_owned(),
        csrf: Some("proof".to_owned()),
        ..service.claims()
    });
    let other = format!("__Host-latchet_at={planted}");
    let both = format!("{cookie}; {other}");
    let (authorization, bearer) = bearer(&token);

    let cases: [&[(HeaderName, &str)]; 3] = [
        &[(authorization, &bearer), (header::COOKIE, &cookie)],
        &[(header::COOKIE, &both)],
        &[(header::COOKIE, &cookie), (header::COOKIE, &other)],
    ];
    for headers in cases {
        let seen = service.send(Method::GET, "/optional", headers).await;

        assert_eq!(seen, refused(400, "validation_failed"), "{headers:?}");
    }
}

#[tokio::test]
async fn an_old_cookie_of_the_same_name_does_not_matter() {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Access)
    );
    let refresh = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Refresh)
    );

    for other in [
        cookie.as_str(),
        "__Host-latchet_at=junk",
        "__Host-latchet_at=a.b.c",
        "__Host-latchet_at=",
        &refresh,
    ] {
        for cookies in [format!("{other}; {cookie}"), format!("{cookie}; {other}")] {
            let headers = [(header::COOKIE, cookies.as_str())];
            let seen = service.send(Method::GET, "/required", &headers).await;

            assert_eq!(seen, ok("alice"), "{cookies}");
        }
    }
}

/// Posts with a good cookie and these headers.
async fn post_with_cookie(headers: &[(HeaderName, &str)]) -> TestResponse {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Access)
    );
    let headers = [&[(header::COOKIE, cookie.as_str())], headers].concat();
    service.send(Method::POST, "/required", &headers).await
}

#[tokio::test]
async fn a_cookie_without_a_csrf_value_changes_nothing() {
    for defective_token in ["", "other", "proo", "proofs"] {
        let seen = post_with_cookie(&[(CSRF, defective_token)]).await;

        assert_eq!(seen, refused(403, "csrf_failed"), "{defective_token:?}");
    }
    let without = post_with_cookie(&[(SITE, "same-origin")]).await;
    let with = post_with_cookie(&[(CSRF, "proof")]).await;

    assert_eq!(without, refused(403, "csrf_failed"));
    assert_eq!(with, ok("alice"));
}

#[tokio::test]
async fn the_sec_fetch_site_header_is_checked() {
    let spa = (header::ORIGIN, "https://spa.example.com");
    let table: [(&[(HeaderName, &str)], TestResponse); 6] = [
        (&[(SITE, "same-origin")], ok("alice")),
        (&[(SITE, "none")], ok("alice")),
        (&[(SITE, "same-site")], refused(403, "csrf_failed")),
        (&[(SITE, "cross-site")], refused(403, "csrf_failed")),
        (&[(SITE, "")], refused(403, "csrf_failed")),
        (&[(SITE, "cross-site"), spa], ok("alice")),
    ];

    for (headers, expected) in table {
        let headers = [&[(CSRF, "proof")], headers].concat();

        assert_eq!(post_with_cookie(&headers).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn the_origin_header_is_checked_without_sec_fetch_site() {
    let table = [
        ("https://app.example.com", ok("alice")),
        ("https://spa.example.com", ok("alice")),
        ("https://evil.example.com", refused(403, "csrf_failed")),
        (
            "https://app.example.com.evil.com",
            refused(403, "csrf_failed"),
        ),
        ("https://app.example.com:8443", refused(403, "csrf_failed")),
        ("ftp://app.example.com", refused(403, "csrf_failed")),
        ("app.example.com", refused(403, "csrf_failed")),
        ("null", refused(403, "csrf_failed")),
        ("", refused(403, "csrf_failed")),
    ];

    for (origin, expected) in table {
        let headers = [
            (CSRF, "proof"),
            (header::ORIGIN, origin),
            (header::HOST, "app.example.com"),
        ];

        assert_eq!(post_with_cookie(&headers).await, expected, "{origin:?}");
    }
}

#[tokio::test]
async fn a_foreign_page_cannot_open_a_web_socket() {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Access)
    );
    let open = async |headers: &[(HeaderName, &str)]| {
        let headers = [&[(header::COOKIE, cookie.as_str())], headers].concat();
        service.send(Method::GET, "/required", &headers).await
    };
    let upgrade = (header::UPGRADE, "websocket");
    let own = (header::ORIGIN, "https://spa.example.com");
    let foreign = (header::ORIGIN, "https://evil.example.com");

    assert_eq!(open(std::slice::from_ref(&foreign)).await, ok("alice"));
    assert_eq!(open(&[upgrade.clone(), own]).await, ok("alice"));
    assert_eq!(open(&[upgrade, foreign]).await, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn an_optional_route_checks_cookies_as_well() {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Access)
    );

    let anonymous = service.send(Method::POST, "/optional", &[]).await;
    let forged = service
        .send(Method::POST, "/optional", &[(header::COOKIE, &cookie)])
        .await;

    assert_eq!(anonymous, ok("nobody"));
    assert_eq!(forged, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn a_token_without_a_csrf_claim_cannot_write_from_a_cookie() {
    let service = TestService::new();
    let cookie = format!("__Host-latchet_at={}", service.token());
    let headers = [(header::COOKIE, cookie.as_str()), (CSRF, "proof")];

    let reads = service.send(Method::GET, "/required", &headers).await;
    let writes = service.send(Method::POST, "/required", &headers).await;

    assert_eq!(reads, ok("alice"));
    assert_eq!(writes, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn a_csrf_header_that_is_not_ascii_is_refused_without_a_panic() {
    let service = TestService::new();
    let cookie = format!(
        "__Host-latchet_at={}",
        service.cookie_token(TokenKind::Access)
    );
    let mut request = request(Method::POST, "/required", &[(header::COOKIE, &cookie)]);
    let value = HeaderValue::from_bytes(b"pr\xc3\xb6of").unwrap();
    request.headers_mut().insert(CSRF, value);

    let seen = read_response(service.browser_app().get_response(request).await).await;

    assert_eq!(seen, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn a_token_in_the_header_needs_no_csrf_proof() {
    let service = TestService::new();
    let (name, value) = bearer(&service.token());
    let headers = [(name, value.as_str()), (SITE, "cross-site")];

    let seen = service.send(Method::POST, "/required", &headers).await;

    assert_eq!(seen, ok("alice"));
}
