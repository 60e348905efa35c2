//! Pages of other origins behind a proxy: its headers and Latchet's together are what a browser reads.

use serde_json::json;

use crate::spa;
use crate::support::gateway::{Gateway, RunningGateway, behind_both};
use crate::support::http::{Http, HttpResponse};
use crate::support::port;
use crate::support::server::Replica;

behind_both! {
    a_listed_page_may_ask_and_read_and_every_header_is_there_once,
    pages_that_are_not_listed_read_public_documents_alone,
}

const LISTED: &str = "https://app.example.org";

/// Latchet for pages of another origin, behind the proxy of `docs/how-to/spa.md` without its TLS.
struct Site {
    http: Http,
    _latchet: Replica,
    _running: RunningGateway,
}

impl Site {
    async fn start(gateway: Gateway) -> Self {
        let latchet = Replica::start(&spa::settings(1)).await;
        let port = port::free();
        let snippet = gateway.snippets(spa::PAGE)[1].clone();
        let lines = snippet
            .lines()
            .filter(|line| !line.contains("ssl_certificate"));
        let snippet = lines.collect::<Vec<_>>().join("\n");
        let snippet = snippet
            .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port};"))
            .replace("auth.example.org {", &format!("http://127.0.0.1:{port} {{"))
            .replace("127.0.0.1:8080", latchet.http.address());
        assert!(snippet.contains(&port.to_string()), "{snippet}");
        Self {
            http: Http::new(format!("http://127.0.0.1:{port}")),
            _running: gateway.start(&snippet, port),
            _latchet: latchet,
        }
    }

    async fn preflight(&self, path: &str, origin: &str, headers: &str) -> HttpResponse {
        self.http
            .request("OPTIONS", path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", headers)
            .send()
            .await
    }
}

/// Returns the one value of a header; empty when it is missing.
#[track_caller]
fn only<'a>(answer: &'a HttpResponse, name: &str) -> &'a str {
    assert!(
        answer.headers.get_all(name).iter().count() <= 1,
        "{:?}",
        answer.headers
    );
    answer.header(name)
}

#[track_caller]
fn assert_readable(answer: &HttpResponse) {
    assert_eq!(only(answer, "access-control-allow-origin"), LISTED);
    assert_eq!(only(answer, "access-control-allow-credentials"), "true");
    let vary = answer.headers.get_all("vary").iter();
    let mut names = vary.flat_map(|line| line.to_str().unwrap().split(',').map(str::trim));
    assert!(names.any(|name| name == "Origin"), "{:?}", answer.headers);
}

async fn a_listed_page_may_ask_and_read_and_every_header_is_there_once(gateway: Gateway) {
    let site = Site::start(gateway).await;
    for path in ["/v1/login", "/v1/refresh", "/v1/logout", "/oauth/token"] {
        let answer = site
            .preflight(path, LISTED, "x-csrf-token,traceparent,content-type")
            .await
            .expect(204);

        assert_readable(&answer);
        assert!(only(&answer, "access-control-allow-methods").contains("POST"));
        let headers = only(&answer, "access-control-allow-headers");
        assert!(headers.contains("traceparent"), "{headers}");
        assert_eq!(only(&answer, "access-control-max-age"), "600");
    }
    // A refusal is read too, with how long to wait or what to send.
    let body = json!({"username": "nobody", "password": "wrong, but long enough"});
    let login = site.http.post("/v1/login").header("origin", LISTED);
    let refused = login.json(&body).send().await.expect(401);
    assert_readable(&refused);
    assert!(only(&refused, "access-control-expose-headers").contains("Retry-After"));
    for path in ["/v1/me", "/v1/nowhere", "/.well-known/jwks.json"] {
        let answer = site.http.get(path).header("origin", LISTED).send().await;
        assert_readable(&answer);
    }
}

async fn pages_that_are_not_listed_read_public_documents_alone(gateway: Gateway) {
    let site = Site::start(gateway).await;
    for origin in [
        "https://app.example.org.evil.test",
        "https://APP.example.org",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org/",
        "null",
    ] {
        for path in ["/v1/me", "/v1/login"] {
            let asked = site.preflight(path, origin, "content-type").await;
            let got = site.http.get(path).header("origin", origin).send().await;
            for answer in [asked, got] {
                assert_eq!(only(&answer, "access-control-allow-origin"), "", "{origin}");
            }
        }
        for path in [
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
        ] {
            let got = site.http.get(path).header("origin", origin).send().await;
            let got = got.expect(200);
            assert_eq!(only(&got, "access-control-allow-origin"), "*", "{path}");
            assert_eq!(only(&got, "access-control-allow-credentials"), "");
        }
    }
}
