//! The CSRF check with other names, for other methods, and in forms.

use super::*;
use latchet_guard::cookies::{Cookies, CsrfMethods};
use poem::http::header::{CONTENT_TYPE, COOKIE, ORIGIN, UPGRADE};

const FORM: (HeaderName, &str) = (CONTENT_TYPE, "application/x-www-form-urlencoded");

struct Forms;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl Forms {
    #[oai(path = "/", method = "post", method = "get", method = "put")]
    async fn write(&self, jwt: JwtRequired, body: Body) -> PlainText<String> {
        PlainText(format!(
            "{} {}",
            jwt.claims.sub,
            body.into_string().await.unwrap()
        ))
    }

    #[oai(path = "/refresh", method = "post")]
    async fn refresh(&self, jwt: JwtRefresh) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/either", method = "post")]
    async fn either(&self, jwt: Jwt<EitherKind>) -> PlainText<String> {
        PlainText(format!("{:?}", jwt.claims.kind))
    }
}

#[handler]
async fn plain_form(request: &Request, mut body: Body) -> poem::Result<String> {
    let jwt = Jwt::<Required>::authenticate_with_body(request, &mut body).await?;
    Ok(format!("{} {}", jwt.claims.sub, body.into_string().await?))
}

/// A browser with both cookies of a service that uses this configuration.
struct Browser {
    service: TestService,
    cookies: Cookies,
}

impl Browser {
    fn new(cookies: Cookies) -> Self {
        Self {
            service: TestService::new(),
            cookies,
        }
    }

    fn token(&self, kind: TokenKind, csrf: &str) -> String {
        self.service.sign(&Claims {
            kind,
            csrf: Some(csrf.to_owned()),
            ..self.service.claims()
        })
    }

    async fn send(
        &self,
        to: (Method, &str),
        headers: &[(HeaderName, &str)],
        body: &str,
    ) -> TestResponse {
        let location = Location::cookies(self.cookies.clone());
        let app = Route::new()
            .at("/plain", poem::post(plain_form))
            .nest("/", OpenApiService::new(Forms, "test", "1"))
            .data(self.service.guards().with_locations([location]));
        let cookie = format!(
            "{}={}; {}={}",
            self.cookies.access.name,
            self.token(TokenKind::Access, "of-access"),
            self.cookies.refresh.name,
            self.token(TokenKind::Refresh, "of-refresh"),
        );
        let headers = [&[(COOKIE, cookie.as_str())], headers].concat();
        let mut request = request(to.0, to.1, &headers);
        request.set_body(body.to_owned());
        read_response(app.get_response(request).await).await
    }
}

#[tokio::test]
async fn each_kind_has_its_own_csrf_header_and_value() {
    let mut cookies = Cookies::default();
    cookies.access.csrf_header = HeaderName::from_static("x-access");
    cookies.refresh.csrf_header = HeaderName::from_static("x-refresh");
    let browser = Browser::new(cookies);
    let failed = || refused(403, "csrf_failed");
    let table = [
        ("/either", "x-access", "of-access", ok("Access")),
        ("/refresh", "x-refresh", "of-refresh", ok("alice")),
        ("/refresh", "x-refresh", "of-access", failed()),
        ("/refresh", "x-access", "of-refresh", failed()),
        ("/either", "x-csrf-token", "of-access", failed()),
    ];

    for (path, header, value, expected) in table {
        let header = HeaderName::from_static(header);

        let seen = browser
            .send((Method::POST, path), &[(header, value)], "")
            .await;

        assert_eq!(seen, expected, "{path} {value}");
    }
}

fn with_field(field: &str) -> Browser {
    let mut cookies = Cookies::default();
    cookies.access.csrf_field = Some(field.to_owned());
    Browser::new(cookies)
}

#[tokio::test]
async fn a_form_may_repeat_the_csrf_value_and_reaches_the_handler_complete() {
    let browser = with_field("csrf_token");
    let good = "text=milk&csrf_token=of-access";
    let table = [
        (good, ok("alice text=milk&csrf_token=of-access")),
        ("csrf_token=of%2Daccess", ok("alice csrf_token=of%2Daccess")),
        ("csrf_token=other", refused(403, "csrf_failed")),
        ("csrf_token=", refused(403, "csrf_failed")),
        ("text=milk", refused(403, "csrf_failed")),
        ("", refused(403, "csrf_failed")),
        ("%FF=%FF&&&=", refused(403, "csrf_failed")),
    ];

    for (form, expected) in table {
        for path in ["/", "/plain"] {
            let seen = browser.send((Method::POST, path), &[FORM], form).await;

            assert_eq!(seen.0, expected.0, "{form}");
            assert_eq!(seen, expected, "{form}");
        }
    }
}

#[tokio::test]
async fn a_form_is_read_up_to_64_kib() {
    let browser = with_field("csrf_token");
    let form = |text: usize| format!("text={}&csrf_token=of-access", "x".repeat(text));
    let room = 64 * 1024 - form(0).len();

    let longest = form(room);
    let seen = browser.send((Method::POST, "/"), &[FORM], &longest).await;
    assert_eq!(seen, ok(&format!("alice {longest}")));
    let seen = browser
        .send((Method::POST, "/"), &[FORM], &form(room + 1))
        .await;
    assert_eq!(seen, refused(413, "payload_too_large"));
}

#[tokio::test]
async fn only_forms_are_read_as_forms_and_only_if_configured() {
    let form = "csrf_token=of-access";
    let to = || (Method::POST, "/");
    let text = (CONTENT_TYPE, "text/plain");

    let as_text = with_field("csrf_token").send(to(), &[text], form).await;
    let other_field = with_field("other").send(to(), &[FORM], form).await;
    let not_chosen = Browser::new(Cookies::default())
        .send(to(), &[FORM], form)
        .await;

    for seen in [as_text, other_field, not_chosen] {
        assert_eq!(seen, refused(403, "csrf_failed"));
    }
}

#[tokio::test]
async fn the_csrf_header_takes_precedence_over_the_form() {
    let browser = with_field("csrf_token");
    let header = |value: &'static str| [FORM, (HeaderName::from_static("x-csrf-token"), value)];

    let good = browser
        .send((Method::POST, "/"), &header("of-access"), "csrf_token=x")
        .await;
    let bad = browser
        .send((Method::POST, "/"), &header("x"), "csrf_token=of-access")
        .await;

    assert_eq!(good, ok("alice csrf_token=x"));
    assert_eq!(bad, refused(403, "csrf_failed"));
}

#[tokio::test]
async fn the_methods_of_the_csrf_check_are_configurable() {
    let choosing = |methods: CsrfMethods| {
        let mut cookies = Cookies::default();
        cookies.csrf.methods = methods;
        Browser::new(cookies)
    };
    let all = [Method::GET, Method::POST, Method::PUT];
    let table = [
        (CsrfMethods::Unsafe, [200, 403, 403]),
        (CsrfMethods::Only(vec![Method::GET]), [403, 200, 200]),
        (CsrfMethods::Only(vec![Method::PUT]), [200, 200, 403]),
        (CsrfMethods::Only(Vec::new()), [200, 200, 200]),
    ];

    for (methods, statuses) in table {
        let browser = choosing(methods.clone());
        for (method, status) in all.iter().zip(statuses) {
            let text = (CONTENT_TYPE, "text/plain");

            let seen = browser.send((method.clone(), "/"), &[text], "x").await;

            assert_eq!(seen.0, status, "{method} with {methods:?}");
        }
    }
}

#[tokio::test]
async fn web_sockets_are_checked_with_any_method_setting() {
    let mut cookies = Cookies::default();
    cookies.csrf.methods = CsrfMethods::Only(Vec::new());
    let browser = Browser::new(cookies);
    let headers = [
        (UPGRADE, "websocket"),
        (ORIGIN, "https://evil.example.com"),
        (CONTENT_TYPE, "text/plain"),
    ];

    let seen = browser.send((Method::GET, "/"), &headers, "x").await;

    assert_eq!(seen, refused(403, "csrf_failed"));
}
