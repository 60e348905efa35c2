//! Bodies that a guard reads: the handler receives them unchanged.

use super::*;
use poem::http::header::CONTENT_TYPE;

struct Notes;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl Notes {
    #[oai(path = "/notes", method = "post")]
    async fn add(&self, jwt: JwtOptional, body: Json<Value>) -> PlainText<String> {
        let who = name_or_nobody(jwt.claims.as_deref());
        PlainText(format!("{who} {}", body.0["text"].as_str().unwrap_or("?")))
    }

    #[oai(path = "/upside-down", method = "post")]
    async fn upside_down(&self, body: Json<Value>, _jwt: JwtOptional) -> PlainText<String> {
        PlainText(body.0.to_string())
    }
}

#[handler]
async fn plain_body(request: &Request, mut body: Body) -> poem::Result<String> {
    let claims = authenticate_with_body::<Required>(request, &mut body).await?;
    let note: Value = body.into_json().await?;
    Ok(format!("{} {}", claims.sub, note["text"]))
}

fn limited(limit: usize) -> Location {
    Location::Json {
        access: "access_token".to_owned(),
        refresh: "refresh_token".to_owned(),
        limit,
    }
}

fn app_of(guards: Guards) -> impl Endpoint {
    Route::new()
        .at("/plain", poem::post(plain))
        .at("/plain-body", poem::post(plain_body))
        .nest("/", OpenApiService::new(Notes, "test", "1"))
        .data(guards)
}

async fn post(
    app: &impl Endpoint,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Body,
) -> TestResponse {
    let mut request = request(Method::POST, path, headers);
    request.set_body(body);
    read_response(app.get_response(request).await).await
}

const JSON: (HeaderName, &str) = (CONTENT_TYPE, "application/json");

#[tokio::test]
async fn the_handler_receives_the_body_that_the_guard_read() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let body = || {
        let token = service.token();
        Body::from_json(serde_json::json!({"access_token": token, "text": "milk"})).unwrap()
    };

    assert_eq!(
        post(&app, "/notes", &[JSON], body()).await,
        ok("alice milk")
    );
    assert_eq!(
        post(&app, "/plain-body", &[JSON], body()).await,
        ok("alice \"milk\"")
    );
}

#[tokio::test]
async fn a_body_in_chunks_is_read_completely() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let text = serde_json::json!({"access_token": service.token(), "text": "milk"}).to_string();
    let (first, rest) = text.split_at(40);
    let (first, rest) = (first.to_owned().into_bytes(), rest.to_owned().into_bytes());
    let pieces =
        tokio::io::AsyncReadExt::chain(std::io::Cursor::new(first), std::io::Cursor::new(rest));

    let seen = post(&app, "/notes", &[JSON], Body::from_async_read(pieces)).await;

    assert_eq!(seen, ok("alice milk"));
}

#[tokio::test]
async fn a_body_is_read_up_to_64_kib() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let token = service.token();
    let body = |text: usize| {
        let text = "x".repeat(text);
        serde_json::json!({"access_token": token, "text": text}).to_string()
    };
    let room = 64 * 1024 - body(0).len();

    let whole = post(&app, "/notes", &[JSON], body(room).into()).await;
    let longer = post(&app, "/notes", &[JSON], body(room + 1).into()).await;

    assert_eq!(whole.0, 200);
    assert_eq!(longer, refused(413, "payload_too_large"));
}

#[tokio::test]
async fn a_body_without_a_token_is_unauthenticated() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let token = service.token();
    let good = format!(r#"{{"access_token":"{token}","text":"x"}}"#);
    let twice = format!(r#"{{"access_token":"{token}","access_token":"{token}"}}"#);
    let table = [
        (good.as_str(), ok("alice x")),
        (r#"{"text":"x"}"#, ok("nobody x")),
        (r#"{"access_token":null,"text":"x"}"#, ok("nobody x")),
        (r#"{"access_token":"","text":"x"}"#, ok("nobody x")),
        ("[1, 2]", ok("nobody ?")),
        (r#""text""#, ok("nobody ?")),
        ("null", ok("nobody ?")),
        ("", ok("nobody ?")),
        (r#"{"access_token":7}"#, refused(401, "malformed_token")),
        (r#"{"access_token":["x"]}"#, refused(401, "malformed_token")),
        (r#"{"access_token":"x"}"#, refused(401, "malformed_token")),
        (&twice, refused(400, "validation_failed")),
    ];

    for (body, expected) in table {
        let seen = post(&app, "/notes", &[JSON], body.to_owned().into()).await;

        assert_eq!(seen, expected, "{body}");
    }
}

#[tokio::test]
async fn a_body_is_json_when_its_type_says_so() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let body = serde_json::json!({"access_token": service.token(), "text": "x"}).to_string();
    let alice = || ok("alice \"x\"");
    let missing = || refused(401, "missing_token");
    let table = [
        ("application/json; charset=utf-8", alice()),
        ("APPLICATION/JSON ;x", alice()),
        ("application/jsonx", missing()),
        ("text/plain", missing()),
        ("", missing()),
    ];

    for (content_type, expected) in table {
        let headers = [(CONTENT_TYPE, content_type)];

        let seen = post(&app, "/plain-body", &headers, body.clone().into()).await;

        assert_eq!(seen, expected, "{content_type}");
    }
}

#[tokio::test]
async fn the_handler_reports_a_malformed_body() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let token = service.token();

    for body in [
        "{ not json".to_owned(),
        format!(r#"{{"access_token":"{token}","text":"#),
        format!(r#"{{"access_token":"{token}"}} and more"#),
        "{\"access_token\":\"\u{0}".to_owned(),
    ] {
        let seen = post(&app, "/notes", &[JSON], body.clone().into()).await;
        let by_plain = post(&app, "/plain-body", &[JSON], body.clone().into()).await;

        assert_eq!(seen.0, 400, "{body}");
        assert_eq!(by_plain, refused(401, "missing_token"), "{body}");
    }
}

#[tokio::test]
async fn a_long_body_is_not_searched_but_reaches_the_handler() {
    let service = TestService::new();
    let guards = service
        .guards()
        .with_locations([Location::header(), limited(1000)]);
    let app = app_of(guards);
    let (name, value) = bearer(&service.token());
    let text = "x".repeat(1_000_000);
    let body = || Body::from_json(serde_json::json!({ "text": text })).unwrap();

    let by_header = post(&app, "/notes", &[JSON, (name, &value)], body()).await;
    let stranger = post(&app, "/notes", &[JSON], body()).await;

    assert_eq!(by_header, ok(&format!("alice {text}")));
    assert_eq!(stranger, refused(413, "payload_too_large"));
}

#[tokio::test]
async fn the_limit_is_a_number_of_bytes() {
    let service = TestService::new();
    let body = serde_json::json!({"access_token": service.token(), "text": "x"}).to_string();
    let send = async |limit| {
        let app = app_of(service.guards().with_locations([limited(limit)]));
        post(&app, "/notes", &[JSON], body.clone().into()).await
    };

    assert_eq!(send(body.len()).await, ok("alice x"));
    assert_eq!(
        send(body.len() - 1).await,
        refused(413, "payload_too_large")
    );
    assert_eq!(send(0).await, refused(413, "payload_too_large"));
    assert_eq!(send(usize::MAX).await, ok("alice x"));
}

#[tokio::test]
async fn a_guard_without_access_to_the_body_refuses_every_request() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));
    let body = || Body::from_json(serde_json::json!({"access_token": service.token()})).unwrap();

    let without_body = post(&app, "/plain", &[JSON], body()).await;
    let after_the_body = post(&app, "/upside-down", &[JSON], body()).await;

    assert_eq!(without_body, refused(503, "unavailable"));
    assert_eq!(after_the_body, refused(503, "unavailable"));
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused() {
    struct BreaksOff;
    impl tokio::io::AsyncRead for BreaksOff {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
        }
    }
    let service = TestService::new();
    let app = app_of(service.guards().with_locations([Location::json()]));

    let seen = post(&app, "/notes", &[JSON], Body::from_async_read(BreaksOff)).await;

    assert_eq!(seen, refused(503, "unavailable"));
}
