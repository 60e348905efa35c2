//! `Set-Cookie` headers, and guards that read the cookies back.

use std::sync::Arc;
use std::time::Duration;

use poem::http::header::{COOKIE, SET_COOKIE};
use poem::http::{HeaderMap, Method};
use poem::{Endpoint, EndpointExt, Request, Response, Route, handler};

use latchet_guard::clock::{Clock, Time};
use latchet_guard::cookies::*;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{Claims, Issuer, TokenKind, Typ, Verifier, VerifierSettings};
use latchet_guard::{EitherKind, Guards, Location, authenticate};

mod renewal;
mod shop;

const NOW: Time = Time::from_secs(4_000_000_000);

fn claims(kind: TokenKind) -> Claims {
    Claims {
        kind,
        csrf: Some("proof".to_owned()),
        ..Claims::access(NOW, Duration::from_mins(15))
    }
}

fn lines(set: SetCookies) -> Vec<String> {
    let mut headers = HeaderMap::new();
    set.add_to(&mut headers);
    let lines = headers.get_all(SET_COOKIE).into_iter();
    lines
        .map(|line| line.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn cookies_are_secure_and_expire_with_their_token() {
    let cookies = Cookies::default();

    assert_eq!(
        lines(
            cookies
                .set("a.b.c", &claims(TokenKind::Access), NOW)
                .unwrap()
        ),
        [
            "__Host-latchet_at=a.b.c; Path=/; Max-Age=900; SameSite=Strict; Secure; HttpOnly",
            "__Host-latchet_at_csrf=proof; Path=/; Max-Age=900; SameSite=Strict; Secure",
        ]
    );
    assert_eq!(
        lines(
            cookies
                .set("a.b.c", &claims(TokenKind::Refresh), NOW)
                .unwrap()
        ),
        [
            "__Host-latchet_rt=a.b.c; Path=/; Max-Age=900; SameSite=Strict; Secure; HttpOnly",
            "__Host-latchet_rt_csrf=proof; Path=/; Max-Age=900; SameSite=Strict; Secure",
        ]
    );
}

#[test]
fn a_cookie_set_late_expires_with_its_token() {
    let set = |now| {
        lines(
            Cookies::default()
                .set("t", &claims(TokenKind::Access), now)
                .unwrap(),
        )
    };

    assert!(set(NOW + Duration::from_mins(10))[0].contains("; Max-Age=300;"));
    assert!(set(NOW + Duration::from_mins(15))[0].contains("; Max-Age=0;"));
    assert!(set(NOW + Duration::from_secs(999))[0].contains("; Max-Age=0;"));
}

#[test]
fn a_cookie_can_be_a_session_cookie_and_is_one_without_exp() {
    let until_closed = Cookies {
        lifetime: CookieLifetime::UntilBrowserCloses,
        ..Cookies::default()
    };
    let endless = Claims::access_without_expiry(NOW).with_csrf();

    let closed = lines(
        until_closed
            .set("t", &claims(TokenKind::Access), NOW)
            .unwrap(),
    );
    let without_end = lines(Cookies::default().set("t", &endless, NOW).unwrap());

    for line in closed.iter().chain(&without_end) {
        assert!(!line.contains("Max-Age"), "{line}");
    }
}

#[test]
fn one_kind_or_both_can_be_cleared() {
    let cookies = Cookies::default();
    let access = [
        "__Host-latchet_at=; Path=/; Max-Age=0; SameSite=Strict; Secure; HttpOnly",
        "__Host-latchet_at_csrf=; Path=/; Max-Age=0; SameSite=Strict; Secure",
    ];
    let refresh = [
        "__Host-latchet_rt=; Path=/; Max-Age=0; SameSite=Strict; Secure; HttpOnly",
        "__Host-latchet_rt_csrf=; Path=/; Max-Age=0; SameSite=Strict; Secure",
    ];

    assert_eq!(lines(cookies.unset(TokenKind::Access).unwrap()), access);
    assert_eq!(lines(cookies.unset(TokenKind::Refresh).unwrap()), refresh);
    assert_eq!(
        lines(cookies.unset_all().unwrap()),
        [access, refresh].concat()
    );
}

#[test]
fn names_paths_and_attributes_are_configurable() {
    let mut cookies = Cookies {
        domain: Some("example.com".to_owned()),
        same_site: SameSite::Lax,
        ..Cookies::flask_jwt_extended()
    };
    cookies.access.path = "/api".to_owned();

    assert_eq!(
        lines(cookies.set("t", &claims(TokenKind::Access), NOW).unwrap()),
        [
            "access_token_cookie=t; Path=/api; Domain=example.com; Max-Age=900; SameSite=Lax; Secure; HttpOnly",
            "csrf_access_token=proof; Path=/; Domain=example.com; Max-Age=900; SameSite=Lax; Secure",
        ]
    );
    assert_eq!(
        lines(cookies.unset(TokenKind::Access).unwrap())[0],
        "access_token_cookie=; Path=/api; Domain=example.com; Max-Age=0; SameSite=Lax; Secure; HttpOnly"
    );
    assert!(
        lines(cookies.unset(TokenKind::Refresh).unwrap())[1].starts_with("csrf_refresh_token=;")
    );
}

#[test]
fn cookies_for_plain_http_are_not_secure_and_have_no_prefix() {
    let set = Cookies::plain_http().set("t", &claims(TokenKind::Access), NOW);

    assert_eq!(
        lines(set.unwrap())[0],
        "latchet_at=t; Path=/; Max-Age=900; SameSite=Strict; HttpOnly"
    );
}

#[test]
fn the_csrf_value_can_stay_out_of_cookies() {
    let mut cookies = Cookies::default();
    cookies.access.csrf_cookie = None;
    let without_csrf = Claims::access(NOW, Duration::from_mins(15));

    let one = lines(cookies.set("t", &without_csrf, NOW).unwrap());
    let none_to_unset = lines(cookies.unset(TokenKind::Access).unwrap());

    assert_eq!((one.len(), none_to_unset.len()), (1, 1));
    assert_eq!(
        Cookies::default().set("t", &without_csrf, NOW),
        Err(CookieError::NoCsrf)
    );
}

#[test]
fn a_cookie_that_browsers_would_drop_is_refused() {
    let mut elsewhere = Cookies::default();
    elsewhere.access.path = "/api".to_owned();
    let broken = [
        elsewhere,
        Cookies {
            secure: false,
            ..Cookies::default()
        },
        Cookies {
            domain: Some("example.com".to_owned()),
            ..Cookies::default()
        },
        Cookies {
            same_site: SameSite::None,
            ..Cookies::plain_http()
        },
    ];

    for cookies in broken {
        let set = cookies.set("t", &claims(TokenKind::Access), NOW);

        assert!(
            matches!(set, Err(CookieError::Dropped { .. })),
            "{cookies:?}"
        );
        assert!(matches!(
            cookies.unset(TokenKind::Access),
            Err(CookieError::Dropped { .. })
        ));
    }
}

#[test]
fn forbidden_characters_in_a_cookie_are_refused() {
    for bad in ["a b", "a;b", "a\r\nb", "a,b", "ä", "\"", "a\\b"] {
        let mut named = Cookies::plain_http();
        named.access.name = bad.to_owned();
        let mut pathed = Cookies::plain_http();
        pathed.access.path = format!("/{bad}");
        let hosted = Cookies {
            domain: Some(bad.to_owned()),
            ..Cookies::plain_http()
        };
        let good = claims(TokenKind::Access);
        let csrf = Claims {
            csrf: Some(bad.to_owned()),
            ..claims(TokenKind::Access)
        };

        for (cookies, token, claims) in [
            (named, "t", &good),
            (pathed, "t", &good),
            (hosted, "t", &good),
            (Cookies::plain_http(), bad, &good),
            (Cookies::plain_http(), "t", &csrf),
        ] {
            let set = cookies.set(token, claims, NOW);

            assert!(matches!(set, Err(CookieError::Unwritable(_))), "{bad:?}");
        }
    }
}

#[handler]
async fn who(request: &Request) -> poem::Result<String> {
    let claims = authenticate::<EitherKind>(request).await?;
    Ok(format!("{:?} {}", claims.kind, claims.sub))
}

/// Returns the `Cookie` header that a browser sends after this response, and the CSRF value.
fn stored_cookies(response: &Response) -> (String, String) {
    let lines = response.headers().get_all(SET_COOKIE).into_iter();
    let pairs: Vec<_> = lines
        .map(|line| line.to_str().unwrap().split(';').next().unwrap())
        .collect();
    let csrf = pairs[1].split_once('=').unwrap().1;
    (pairs.join("; "), csrf.to_owned())
}

#[tokio::test]
async fn guards_accept_the_cookies_that_were_set() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let settings = VerifierSettings {
        typ: vec![Typ::Access, Typ::Refresh],
        ..VerifierSettings::new("https://shop", ["https://shop"])
    };
    let verifier = Verifier::new(KeySet::new([key.verifying_key()]), settings);
    let clock = Clock::system();
    let guards = Guards::new(
        Arc::new(verifier),
        Arc::new(MemoryDenylist::new()),
        clock.clone(),
    );
    for cookies in [
        Cookies::default(),
        Cookies::plain_http(),
        Cookies::flask_jwt_extended(),
    ] {
        for (kind, typ) in [
            (TokenKind::Access, Typ::Access),
            (TokenKind::Refresh, Typ::Refresh),
        ] {
            let location = Location::cookies(cookies.clone());
            let app = Route::new()
                .at("/", poem::post(who))
                .data(guards.clone().with_locations([location]));
            let claims = Claims {
                iss: "https://shop".to_owned(),
                aud: vec!["https://shop".to_owned()],
                sub: "alice".to_owned(),
                kind,
                ..Claims::access(clock.now(), Duration::from_mins(15)).with_csrf()
            };
            let token = Issuer::with_typ(typ, key.clone()).sign(&claims).unwrap();
            let mut login = Response::default();
            let set = cookies.set(&token, &claims, clock.now()).unwrap();
            set.add_to(login.headers_mut());
            let (cookie, csrf) = stored_cookies(&login);
            let request = Request::builder()
                .method(Method::POST)
                .header(COOKIE, cookie)
                .header("x-csrf-token", csrf);

            let answer = app.get_response(request.finish()).await;

            assert_eq!(answer.status(), 200);
            let body = answer.into_body().into_string().await.unwrap();
            assert_eq!(body, format!("{kind:?} alice"));
        }
    }
}
