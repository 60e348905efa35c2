use std::sync::atomic::{AtomicBool, Ordering};

use poem::endpoint::{make, make_sync};
use poem::http::{Method, StatusCode, Uri};
use poem::{EndpointExt, Error, Route, get};
use serde_json::Value;
use tokio::sync::Notify;

use super::*;
use crate::error::ApiError;
use crate::logging::captured_log::CapturedLog;
use latchet_guard::error::AuthError;

fn config(env: &[(&str, &str)]) -> Config {
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::load(["latchet"], env).unwrap()
}

fn failing_endpoint(error: impl Fn() -> Error + Send + Sync + 'static) -> impl Endpoint {
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
        .at(
            "/expired",
            failing_endpoint(|| AuthError::TokenExpired.into()),
        )
        .at(
            "/oauth/token",
            failing_endpoint(|| ApiError::InvalidCredentials.into()),
        )
        .at(
            "/oauth/introspect",
            failing_endpoint(|| AuthError::MissingToken.into()),
        )
        .at(
            "/oauth/grant",
            failing_endpoint(|| ApiError::UnsupportedGrantType.into()),
        )
        .at(
            "/broken",
            failing_endpoint(|| ApiError::internal("hunter2").into()),
        )
        .at(
            "/foreign",
            failing_endpoint(|| Error::from_string("hunter2", StatusCode::BAD_GATEWAY)),
        )
        .at(
            "/teapot",
            failing_endpoint(|| Error::from_string("hunter2", StatusCode::IM_A_TEAPOT)),
        )
        .with(RequestLayer::new(
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

async fn send(request: Request) -> (Response, Value) {
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
        let (response, body) = send(request(method, path)).await;

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
async fn a_response_that_takes_too_long_times_out() {
    let settings = config(&[("LATCHET_REQUEST_TIMEOUT", "100ms")]);
    let slow = make(|_| std::future::pending::<&'static str>())
        .with(RequestLayer::new(&settings, Lifecycle::default()));

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
async fn a_change_runs_to_completion_after_its_request_is_dropped() {
    for (method, is_finished) in [(Method::POST, true), (Method::GET, false)] {
        let (proceed, finished) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let change = {
            let (proceed, finished) = (Arc::clone(&proceed), Arc::clone(&finished));
            make(move |_| {
                let (proceed, finished) = (Arc::clone(&proceed), Arc::clone(&finished));
                async move {
                    proceed.notified().await;
                    finished.store(true, Ordering::SeqCst);
                }
            })
        };
        let lifecycle = Lifecycle::default();
        let endpoint = change.with(RequestLayer::new(&config(&[]), lifecycle.clone()));
        let name = method.to_string();

        let dropped = endpoint.get_response(request(method, "/")).now_or_never();
        proceed.notify_one();
        lifecycle.close_and_finish_work().await;

        assert!(dropped.is_none(), "{name}");
        assert_eq!(finished.load(Ordering::SeqCst), is_finished, "{name}");
    }
}

#[tokio::test]
async fn errors_below_oauth_have_the_format_of_rfc_6749() {
    let table = [
        ("/oauth/token", 400, "invalid_grant"),
        ("/oauth/introspect", 401, "invalid_token"),
        ("/oauth/grant", 400, "unsupported_grant_type"),
        ("/oauth/nowhere", 404, "invalid_request"),
    ];

    for (path, status, error) in table {
        let (response, body) = send(request(Method::POST, path)).await;

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
async fn a_body_above_the_limit_is_refused() {
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

            let (response, _) = send(builder.body(vec![b'x'; length])).await;

            assert_eq!(response.status().as_u16(), status, "{length} {declared}");
        }
    }
}

#[tokio::test]
async fn a_safe_request_id_is_kept_and_an_unsafe_one_replaced() {
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

        let (response, _) = send(request).await;

        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        assert_eq!(id == given, is_taken, "{given}");
        assert!(!id.is_empty());
    }
}

#[tokio::test]
async fn the_access_log_describes_the_request_without_secrets() {
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

    let log = CapturedLog::begin();
    send(request).await;

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
async fn a_long_request_has_a_short_log_line() {
    let endless = "x".repeat(10_000);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/{endless}").parse().unwrap())
        .header("host", "localhost")
        .header("user-agent", &endless)
        .header("origin", &endless)
        .finish();

    let log = CapturedLog::begin();
    let (response, _) = send(request).await;

    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(log.text().len() < 1500, "{}", log.text());
}

#[tokio::test]
async fn a_request_without_a_host_is_refused_on_every_path() {
    for path in ["/ok", "/nowhere", "/oauth/token", "/panic"] {
        let request = Request::builder().uri(Uri::from_static(path)).finish();

        let (response, body) = send(request).await;

        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(body["code"], "validation_failed", "{path}");
        assert!(body.to_string().contains("`Host` is missing"), "{body}");
    }
}

#[tokio::test]
async fn a_cause_is_logged_once_with_the_request_id_of_the_response() {
    let log = CapturedLog::begin();
    let (_, body) = send(request(Method::GET, "/broken")).await;

    let mut logged = log.lines();
    logged.retain(|line| line["level"] == "ERROR");
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0]["error"], "hunter2");
    assert_eq!(logged[0]["request.id"], body["request_id"]);
}

#[tokio::test]
async fn every_response_has_the_security_headers_unless_it_sets_its_own() {
    let layered = Route::new()
        .at(
            "/",
            make_sync(|_| "page".with_header("content-security-policy", "script-src 'self'")),
        )
        .with(RequestLayer::new(
            &config(&[("LATCHET_PUBLIC_URL", "https://auth.example.org")]),
            Lifecycle::default(),
        ));

    let custom = layered.get_response(request(Method::GET, "/")).await;
    let (missing, _) = send(request(Method::GET, "/nowhere")).await;

    let policy = |response: &Response| response.headers()["content-security-policy"].clone();
    assert_eq!(policy(&custom), "script-src 'self'");
    assert_eq!(
        policy(&missing),
        "default-src 'none'; frame-ancestors 'none'"
    );
    assert_eq!(missing.headers()["x-content-type-options"], "nosniff");
    assert!(custom.headers().contains_key("strict-transport-security"));
    assert!(!missing.headers().contains_key("strict-transport-security"));
}
