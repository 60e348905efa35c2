use poem::{EndpointExt, RequestBuilder, endpoint::make_sync};

use super::*;

const ALLOWED: [&str; 4] = [
    "https://app.example.org",
    "capacitor://localhost",
    "tauri://localhost",
    "app://-",
];

async fn send(listed: &[&str], request: RequestBuilder) -> Response {
    let origins: Vec<AllowedOrigin> = listed.iter().map(|text| text.parse().unwrap()).collect();
    let server = make_sync(|_| "response").with(Cors::new(&origins));
    server.get_response(request.finish()).await
}

fn request(method: Method, path: &str, origin: &str) -> RequestBuilder {
    Request::builder()
        .method(method)
        .uri_str(path)
        .header(ORIGIN, origin)
}

fn preflight(path: &str, origin: &str) -> RequestBuilder {
    request(Method::OPTIONS, path, origin).header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
}

fn listed_names(response: &Response, header: HeaderName) -> Vec<String> {
    let value = response.headers()[header].to_str().unwrap();
    value.split(", ").map(str::to_ascii_lowercase).collect()
}

fn vary(response: &Response) -> Vec<&HeaderValue> {
    response.headers().get_all(VARY).iter().collect()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_with_cookies() {
    for origin in ALLOWED {
        let asked = send(&ALLOWED, preflight("/v1/login", origin)).await;
        let called = send(&ALLOWED, request(Method::POST, "/v1/login", origin)).await;

        assert_eq!(asked.status(), StatusCode::NO_CONTENT);
        for response in [&asked, &called] {
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
            assert!(vary(response).contains(&&HeaderValue::from_static("Origin")));
        }
        let headers = listed_names(&asked, ACCESS_CONTROL_ALLOW_HEADERS);
        for sent in ["content-type", "idempotency-key", "x-csrf-token"] {
            assert!(headers.iter().any(|header| header == sent), "{sent}");
        }
        let methods = listed_names(&asked, ACCESS_CONTROL_ALLOW_METHODS);
        assert!(methods.iter().any(|method| method == "delete"));
        assert_eq!(called.into_body().into_string().await.unwrap(), "response");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_the_headers_that_it_requests() {
    for asked in [
        "content-type,x-csrf-token,traceparent,tracestate,baggage,sentry-trace,x-requested-with",
        "authorization",
        "x-anything, newrelic, x-datadog-trace-id, b3, ngsw-bypass, cache-control, pragma",
        " traceparent ,, baggage,",
    ] {
        let preflight = preflight("/v1/refresh", ALLOWED[0]);
        let preflight = preflight.header(ACCESS_CONTROL_REQUEST_HEADERS, asked);
        let response = send(&ALLOWED, preflight).await;

        let allowed = listed_names(&response, ACCESS_CONTROL_ALLOW_HEADERS);
        for header in asked
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            assert!(allowed.contains(&header.to_owned()), "{header} of {asked}");
        }
    }
}

#[tokio::test]
async fn invalid_header_names_are_not_repeated() {
    let preflight = preflight("/v1/refresh", ALLOWED[0]);
    let preflight = preflight.header(
        ACCESS_CONTROL_REQUEST_HEADERS,
        "a b, traceparent, <x>, \"q\"",
    );
    let response = send(&ALLOWED, preflight).await;

    assert_eq!(
        listed_names(&response, ACCESS_CONTROL_ALLOW_HEADERS),
        ["traceparent"]
    );
}

#[tokio::test]
async fn a_page_of_another_origin_reads_only_public_documents() {
    for origin in [
        "https://evil.example.org",
        "null",
        "https://app.example.org.evil.net",
        "http://app.example.org",
        "https://app.example.org:8443",
        "capacitor://localhost.evil.net",
        "capacitor://127.0.0.1",
        "tauri://evil",
    ] {
        for request in [
            request(Method::POST, "/v1/refresh", origin),
            preflight("/v1/refresh", origin),
        ] {
            let response = send(&ALLOWED, request).await;

            for header in [
                ACCESS_CONTROL_ALLOW_ORIGIN,
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ] {
                assert!(!response.headers().contains_key(header), "{origin}");
            }
            assert_eq!(
                response.into_body().into_string().await.unwrap(),
                "response"
            );
        }
    }
}

#[tokio::test]
async fn public_documents_are_readable_by_pages_of_every_origin() {
    for listed in [&ALLOWED[..], &[]] {
        for path in PUBLIC_PATHS {
            for origin in ["https://anybody.example", "null", "capacitor://other"] {
                let called = send(listed, request(Method::GET, path, origin)).await;
                assert_eq!(called.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
                let allows_credentials = called
                    .headers()
                    .contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS);
                assert!(!allows_credentials, "{path}");

                let preflight = preflight(path, origin);
                let preflight = preflight.header(ACCESS_CONTROL_REQUEST_HEADERS, "traceparent");
                let asked = send(listed, preflight).await;
                assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{path}");
                assert_eq!(asked.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
                assert_eq!(
                    listed_names(&asked, ACCESS_CONTROL_ALLOW_HEADERS),
                    ["traceparent"]
                );
                assert_eq!(
                    listed_names(&asked, ACCESS_CONTROL_ALLOW_METHODS),
                    ["get", "head"]
                );
            }
        }
    }
}

#[tokio::test]
async fn without_allowed_origins_public_documents_do_not_vary_by_origin() {
    let without_origins = send(
        &[],
        request(Method::GET, PUBLIC_PATHS[0], "https://anybody.example"),
    )
    .await;
    let with_origins = send(
        &ALLOWED,
        request(Method::GET, PUBLIC_PATHS[0], "https://anybody.example"),
    )
    .await;

    assert!(vary(&without_origins).is_empty());
    assert_eq!(vary(&with_origins), ["Origin"]);
}
