use poem::{EndpointExt, RequestBuilder, endpoint::make_sync};

use super::*;

const LISTED: [&str; 4] = [
    "https://app.example.org",
    "capacitor://localhost",
    "tauri://localhost",
    "app://-",
];

async fn response(listed: &[&str], request: RequestBuilder) -> Response {
    let origins: Vec<AllowedOrigin> = listed.iter().map(|text| text.parse().unwrap()).collect();
    let server = make_sync(|_| "answer").with(Cors::new(&origins));
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

fn names(response: &Response, header: HeaderName) -> Vec<String> {
    let value = response.headers()[header].to_str().unwrap();
    value.split(", ").map(str::to_ascii_lowercase).collect()
}

fn vary(response: &Response) -> Vec<&HeaderValue> {
    response.headers().get_all(VARY).iter().collect()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_with_cookies() {
    for origin in LISTED {
        let asked = response(&LISTED, preflight("/v1/login", origin)).await;
        let called = response(&LISTED, request(Method::POST, "/v1/login", origin)).await;

        assert_eq!(asked.status(), StatusCode::NO_CONTENT);
        for answer in [&asked, &called] {
            assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
            assert!(vary(answer).contains(&&HeaderValue::from_static("Origin")));
        }
        let headers = names(&asked, ACCESS_CONTROL_ALLOW_HEADERS);
        for sent in ["content-type", "idempotency-key", "x-csrf-token"] {
            assert!(headers.iter().any(|header| header == sent), "{sent}");
        }
        let methods = names(&asked, ACCESS_CONTROL_ALLOW_METHODS);
        assert!(methods.iter().any(|method| method == "delete"));
        assert_eq!(called.into_body().into_string().await.unwrap(), "answer");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_the_headers_that_it_asks_for() {
    for asked in [
        "content-type,x-csrf-token,traceparent,tracestate,baggage,sentry-trace,x-requested-with",
        "authorization",
        "x-anything, newrelic, x-datadog-trace-id, b3, ngsw-bypass, cache-control, pragma",
        " traceparent ,, baggage,",
    ] {
        let preflight = preflight("/v1/refresh", LISTED[0]);
        let preflight = preflight.header(ACCESS_CONTROL_REQUEST_HEADERS, asked);
        let answer = response(&LISTED, preflight).await;

        let allowed = names(&answer, ACCESS_CONTROL_ALLOW_HEADERS);
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
async fn what_is_no_name_of_a_header_is_not_repeated() {
    let preflight = preflight("/v1/refresh", LISTED[0]);
    let preflight = preflight.header(
        ACCESS_CONTROL_REQUEST_HEADERS,
        "a b, traceparent, <x>, \"q\"",
    );
    let answer = response(&LISTED, preflight).await;

    assert_eq!(
        names(&answer, ACCESS_CONTROL_ALLOW_HEADERS),
        ["traceparent"]
    );
}

#[tokio::test]
async fn a_page_of_another_origin_reads_nothing_that_is_not_public() {
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
            let answer = response(&LISTED, request).await;

            for header in [
                ACCESS_CONTROL_ALLOW_ORIGIN,
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ] {
                assert!(!answer.headers().contains_key(header), "{origin}");
            }
            assert_eq!(answer.into_body().into_string().await.unwrap(), "answer");
        }
    }
}

#[tokio::test]
async fn public_documents_are_readable_by_pages_of_every_origin() {
    for listed in [&LISTED[..], &[]] {
        for path in PUBLIC {
            for origin in ["https://anybody.example", "null", "capacitor://other"] {
                let called = response(listed, request(Method::GET, path, origin)).await;
                assert_eq!(called.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
                let shows = called
                    .headers()
                    .contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS);
                assert!(!shows, "{path}");

                let preflight = preflight(path, origin);
                let preflight = preflight.header(ACCESS_CONTROL_REQUEST_HEADERS, "traceparent");
                let asked = response(listed, preflight).await;
                assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{path}");
                assert_eq!(asked.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
                assert_eq!(names(&asked, ACCESS_CONTROL_ALLOW_HEADERS), ["traceparent"]);
                assert_eq!(names(&asked, ACCESS_CONTROL_ALLOW_METHODS), ["get", "head"]);
            }
        }
    }
}

#[tokio::test]
async fn a_cache_may_give_a_public_document_to_all_where_no_origin_is_listed() {
    let alike = response(
        &[],
        request(Method::GET, PUBLIC[0], "https://anybody.example"),
    )
    .await;
    let apart = response(
        &LISTED,
        request(Method::GET, PUBLIC[0], "https://anybody.example"),
    )
    .await;

    assert!(vary(&alike).is_empty());
    assert_eq!(vary(&apart), ["Origin"]);
}
