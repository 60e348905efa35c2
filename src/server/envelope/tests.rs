use std::sync::atomic::{AtomicBool, Ordering};

use poem::endpoint::{make, make_sync};
use poem::http::{Method, StatusCode, Uri};
use poem::{EndpointExt, Error, Route, get};
use serde_json::Value;
use tokio::sync::Notify;

use super::*;
use crate::error::AuthError;
use crate::server::error::ApiError;
use crate::server::logging::captured::Captured;

fn config(env: &[(&str, &str)]) -> Config {
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::load(["latchet"], env).unwrap()
}

fn failing(error: impl Fn() -> Error + Send + Sync + 'static) -> impl Endpoint {
    make_sync(move |_| Err::<Response, _>(error()))
}

fn routes() -> impl Endpoint {
    Route::new()
        .at("/ok", get(make_sync(|_| "ok")))
        .at(
            "/echo",
            make(|request: Request| async move { request.into_body().into_vec().await }),
        )
        .at(
            "/panic",
            make_sync(|_| -> &'static str { panic!("on purpose") }),
        )
        .at("/expired", failing(|| AuthError::TokenExpired.into()))
        .at(
            "/oauth/token",
            failing(|| ApiError::InvalidCredentials.into()),
        )
        .at(
            "/oauth/introspect",
            failing(|| AuthError::MissingToken.into()),
        )
        .at(
            "/oauth/grant",
            failing(|| ApiError::UnsupportedGrantType.into()),
        )
        .at("/broken", failing(|| ApiError::internal("hunter2").into()))
        .at(
            "/foreign",
            failing(|| Error::from_string("hunter2", StatusCode::BAD_GATEWAY)),
        )
        .at(
            "/teapot",
            failing(|| Error::from_string("hunter2", StatusCode::IM_A_TEAPOT)),
        )
        .with(Envelope::new(
            &config(&[("LATCHET_BODY_LIMIT", "1KiB")]),
            Lifecycle::default(),
        ))
}

fn request(method: Method, path: &'static str) -> Request {
    Request::builder()
        .method(method)
        .uri(Uri::from_static(path))
        .header("host", "localhost")
        .finish()
}

async fn answer(request: Request) -> (Response, Value) {
    let mut response = routes().get_response(request).await;
    let body = response.take_body().into_vec().await.unwrap();
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (response, value)
}

#[tokio::test]
async fn every_failure_is_a_problem_with_its_code() {
    let table = [
        (Method::GET, "/nowhere", 404, "not_found"),
        (Method::POST, "/ok", 405, "method_not_allowed"),
        (Method::GET, "/expired", 401, "token_expired"),
        (Method::GET, "/panic", 500, "internal"),
        (Method::POST, "/panic", 500, "internal"),
        (Method::GET, "/broken", 500, "internal"),
        (Method::GET, "/foreign", 500, "internal"),
        (Method::GET, "/teapot", 418, "validation_failed"),
    ];

    for (method, path, status, code) in table {
        let (response, body) = answer(request(method, path)).await;

        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(
            response.content_type(),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(body["code"], code, "{path}");
        assert_eq!(body["status"], status, "{path}");
        assert_eq!(
            body["request_id"].as_str(),
            response.headers()[REQUEST_ID].to_str().ok(),
            "{path}"
        );
        assert!(!body.to_string().contains("hunter2"), "{path}: {body}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let settings = config(&[("LATCHET_REQUEST_TIMEOUT", "100ms")]);
    let slow = make(|_| std::future::pending::<&'static str>())
        .with(Envelope::new(&settings, Lifecycle::default()));

    for method in [Method::GET, Method::POST] {
        let response = slow.get_response(request(method, "/")).await;

        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        let body = response.into_body().into_string().await.unwrap();
        assert!(body.contains(r#""code":"unavailable""#), "{body}");
    }
}

/// As at a timeout, or when an HTTP/2 stream is reset.
#[tokio::test]
async fn what_changes_something_is_finished_though_it_is_given_up() {
    for (method, is_finished) in [(Method::POST, true), (Method::GET, false)] {
        let (go_on, finished) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let change = {
            let (go_on, finished) = (Arc::clone(&go_on), Arc::clone(&finished));
            make(move |_| {
                let (go_on, finished) = (Arc::clone(&go_on), Arc::clone(&finished));
                async move {
                    go_on.notified().await;
                    finished.store(true, Ordering::SeqCst);
                }
            })
        };
        let lifecycle = Lifecycle::default();
        let endpoint = change.with(Envelope::new(&config(&[]), lifecycle.clone()));
        let name = method.to_string();

        let given_up = endpoint.get_response(request(method, "/")).now_or_never();
        go_on.notify_one();
        lifecycle.work_is_complete().await;

        assert!(given_up.is_none(), "{name}");
        assert_eq!(finished.load(Ordering::SeqCst), is_finished, "{name}");
    }
}

#[tokio::test]
async fn below_oauth_errors_have_the_form_of_rfc_6749() {
    let table = [
        ("/oauth/token", 400, "invalid_grant"),
        ("/oauth/introspect", 401, "invalid_token"),
        ("/oauth/grant", 400, "unsupported_grant_type"),
        ("/oauth/nowhere", 404, "invalid_request"),
    ];

    for (path, status, error) in table {
        let (response, body) = answer(request(Method::POST, path)).await;

        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(body["error"], error, "{path}");
        assert_eq!(
            response.headers().contains_key(header::WWW_AUTHENTICATE),
            status == 401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_up_to_the_limit_passes_and_a_larger_one_does_not() {
    for declared in [true, false] {
        for (length, status) in [(1024, 200), (1025, 413)] {
            let mut builder = Request::builder()
                .method(Method::POST)
                .header("host", "localhost")
                .uri(Uri::from_static("/echo"));
            builder = if declared {
                builder.header("content-length", length.to_string())
            } else {
                builder.header("transfer-encoding", "chunked")
            };

            let (response, _) = answer(builder.body(vec![b'x'; length])).await;

            assert_eq!(response.status().as_u16(), status, "{length} {declared}");
        }
    }
}

#[tokio::test]
async fn a_request_id_is_taken_when_it_is_safe_and_made_otherwise() {
    let long = "x".repeat(65);
    let table = [
        ("abc-1_2.3", true),
        ("a b", false),
        ("", false),
        (long.as_str(), false),
    ];

    for (given, is_taken) in table {
        let request = Request::builder()
            .uri(Uri::from_static("/ok"))
            .header("host", "localhost")
            .header(REQUEST_ID, given)
            .finish();

        let (response, _) = answer(request).await;

        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        assert_eq!(id == given, is_taken, "{given}");
        assert!(!id.is_empty());
    }
}

#[tokio::test]
async fn the_log_tells_what_was_asked_and_no_secret() {
    let request = Request::builder()
        .method(Method::POST)
        .uri(Uri::from_static("/expired?token=hunter2"))
        .header("host", "localhost")
        .header("user-agent", "Firefox/1")
        .header("authorization", "Bearer hunter2")
        .header("cookie", "latchet_rt=hunter2")
        .header("content-length", "22")
        .header(REQUEST_ID, "r1")
        .body(r#"{"password":"hunter2"}"#);

    let log = Captured::begin();
    answer(request).await;

    let text = log.text();
    let line = log.lines().pop().unwrap();
    assert_eq!(line["request.id"], "r1");
    assert_eq!(line["http.method"], "POST");
    assert_eq!(line["http.path"], "/expired");
    assert_eq!(line["http.status"], 401);
    assert_eq!(line["code"], "token_expired");
    assert_eq!(line["client.address"], "0.0.0.0");
    assert_eq!(line["user_agent"], "Firefox/1");
    assert!(line["duration_ms"].is_number());
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_request_of_any_length_has_a_short_line() {
    let endless = "x".repeat(10_000);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/{endless}").parse().unwrap())
        .header("host", "localhost")
        .header("user-agent", &endless)
        .header("origin", &endless)
        .finish();

    let log = Captured::begin();
    let (response, _) = answer(request).await;

    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(log.text().len() < 1500, "{}", log.text());
}

#[tokio::test]
async fn a_request_without_the_one_host_is_refused_by_every_address() {
    for path in ["/ok", "/nowhere", "/oauth/token", "/panic"] {
        let request = Request::builder().uri(Uri::from_static(path)).finish();

        let (response, body) = answer(request).await;

        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(body["code"], "validation_failed", "{path}");
        assert!(body.to_string().contains("`Host` is missing"), "{body}");
    }
}

#[tokio::test]
async fn a_cause_is_logged_once_with_the_id_that_the_client_was_told() {
    let log = Captured::begin();
    let (_, body) = answer(request(Method::GET, "/broken")).await;

    let mut told = log.lines();
    told.retain(|line| line["level"] == "ERROR");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["error"], "hunter2");
    assert_eq!(told[0]["request.id"], body["request_id"]);
}

#[tokio::test]
async fn every_answer_has_the_security_headers_unless_it_sets_its_own() {
    let own = Route::new()
        .at(
            "/",
            make_sync(|_| "page".with_header("content-security-policy", "script-src 'self'")),
        )
        .with(Envelope::new(
            &config(&[("LATCHET_PUBLIC_URL", "https://auth.example.org")]),
            Lifecycle::default(),
        ));

    let ours = own.get_response(request(Method::GET, "/")).await;
    let (missing, _) = answer(request(Method::GET, "/nowhere")).await;

    let policy = |response: &Response| response.headers()["content-security-policy"].clone();
    assert_eq!(policy(&ours), "script-src 'self'");
    assert_eq!(
        policy(&missing),
        "default-src 'none'; frame-ancestors 'none'"
    );
    assert_eq!(missing.headers()["x-content-type-options"], "nosniff");
    assert!(ours.headers().contains_key("strict-transport-security"));
    assert!(!missing.headers().contains_key("strict-transport-security"));
}
