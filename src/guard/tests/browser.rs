//! Tokens in cookies, and the CSRF check.

use poem::http::HeaderValue;

use super::*;
use crate::cookies::Cookies;

const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Desk {
    fn browser_app(&self) -> impl Endpoint + use<> {
        let mut cookies = Cookies::default();
        cookies.csrf.allowed_origins = vec!["https://spa.example.com".to_owned()];
        app(self
            .guards()
            .with_locations([Location::header(), Location::cookies(cookies)]))
    }

    fn cookie_token(&self, kind: Kind) -> String {
        self.sign(&Claims {
            kind,
            csrf: Some("proof".to_owned()),
            ..self.claims()
        })
    }

    async fn send(&self, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Seen {
        let request = request(method, path, headers);
        see(self.browser_app().get_response(request).await).await
    }
}

#[tokio::test]
async fn the_kind_picks_the_cookie() {
    let desk = Desk::new();
    let access = desk.cookie_token(Kind::Access);
    let refresh = desk.cookie_token(Kind::Refresh);
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
        let seen = desk
            .send(Method::GET, path, &[(header::COOKIE, cookie)])
            .await;

        assert_eq!(seen, expected, "{path} with {cookie:?}");
    }
}

#[tokio::test]
async fn either_kind_takes_the_refresh_cookie_when_it_is_alone() {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_rt={}", desk.cookie_token(Kind::Refresh));

    let seen = desk
        .send(Method::GET, "/either", &[(header::COOKIE, &cookie)])
        .await;

    assert_eq!(seen, ok("alice"));
}

#[tokio::test]
async fn cookies_are_not_read_unless_asked_for() {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Access));
    let request = request(Method::GET, "/required", &[(header::COOKIE, &cookie)]);

    let seen = see(desk.app().get_response(request).await).await;

    assert_eq!(seen, refused(401, "missing_token"));
}

#[tokio::test]
async fn two_tokens_in_one_request_are_refused() {
    let desk = Desk::new();
    let token = desk.cookie_token(Kind::Access);
    let cookie = format!("__Host-latchet_at={token}");
    let planted = desk.sign(&Claims {
        sub: "mallory".to_owned(),
        csrf: Some("proof".to_owned()),
        ..desk.claims()
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
        let seen = desk.send(Method::GET, "/optional", headers).await;

        assert_eq!(seen, refused(400, "validation_failed"), "{headers:?}");
    }
}

#[tokio::test]
async fn an_old_cookie_of_the_same_name_does_not_matter() {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Access));
    let refresh = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Refresh));

    for other in [
        cookie.as_str(),
        "__Host-latchet_at=junk",
        "__Host-latchet_at=a.b.c",
        "__Host-latchet_at=",
        &refresh,
    ] {
        for cookies in [format!("{other}; {cookie}"), format!("{cookie}; {other}")] {
            let headers = [(header::COOKIE, cookies.as_str())];
            let seen = desk.send(Method::GET, "/required", &headers).await;

            assert_eq!(seen, ok("alice"), "{cookies}");
        }
    }
}

/// Posts with a good cookie and these headers.
async fn post_with_cookie(headers: &[(HeaderName, &str)]) -> Seen {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Access));
    let headers = [&[(header::COOKIE, cookie.as_str())], headers].concat();
    desk.send(Method::POST, "/required", &headers).await
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    for wrong in ["", "other", "proo", "proofs"] {
        let seen = post_with_cookie(&[(CSRF, wrong)]).await;

        assert_eq!(seen, refused(403, "csrf_failed"), "{wrong:?}");
    }
    let without = post_with_cookie(&[(SITE, "same-origin")]).await;
    let with = post_with_cookie(&[(CSRF, "proof")]).await;

    assert_eq!(without, refused(403, "csrf_failed"));
    assert_eq!(with, ok("alice"));
}

#[tokio::test]
async fn browsers_say_which_site_a_request_comes_from() {
    let spa = (header::ORIGIN, "https://spa.example.com");
    let table: [(&[(HeaderName, &str)], Seen); 6] = [
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
async fn older_browsers_say_the_origin() {
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
async fn a_foreign_page_reads_nothing_it_can_use_but_opens_no_web_socket() {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Access));
    let open = async |headers: &[(HeaderName, &str)]| {
        let headers = [&[(header::COOKIE, cookie.as_str())], headers].concat();
        desk.send(Method::GET, "/required", &headers).await
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
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Access));

    let anonymous = desk.send(Method::POST, "/optional", &[]).await;
    let forged = desk
        .send(Method::POST, "/optional", &[(header::COOKIE, &cookie)])
        .await;

    assert_eq!(anonymous, ok("nobody"));
    assert_eq!(forged, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn a_token_without_the_claim_is_no_use_in_a_cookie() {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.token());
    let headers = [(header::COOKIE, cookie.as_str()), (CSRF, "proof")];

    let reads = desk.send(Method::GET, "/required", &headers).await;
    let writes = desk.send(Method::POST, "/required", &headers).await;

    assert_eq!(reads, ok("alice"));
    assert_eq!(writes, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn a_csrf_header_that_is_not_ascii_is_refused_not_feared() {
    let desk = Desk::new();
    let cookie = format!("__Host-latchet_at={}", desk.cookie_token(Kind::Access));
    let mut request = request(Method::POST, "/required", &[(header::COOKIE, &cookie)]);
    let value = HeaderValue::from_bytes(b"pr\xc3\xb6of").unwrap();
    request.headers_mut().insert(CSRF, value);

    let seen = see(desk.browser_app().get_response(request).await).await;

    assert_eq!(seen, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn a_token_in_the_header_needs_no_csrf_proof() {
    let desk = Desk::new();
    let (name, value) = bearer(&desk.token());
    let headers = [(name, value.as_str()), (SITE, "cross-site")];

    let seen = desk.send(Method::POST, "/required", &headers).await;

    assert_eq!(seen, ok("alice"));
}
