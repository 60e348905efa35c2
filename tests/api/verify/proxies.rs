//! nginx and Caddy as `docs/how-to/forward-auth.md` sets them up, in front of a service that checks nothing.

use tokio::task::JoinSet;

use super::PAGE;
use crate::support::browser::Browser;
use crate::support::client::claims;
use crate::support::gateway::{Gateway, RunningGateway, behind_both, service};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, port};

behind_both! {
    a_request_with_a_token_is_passed_on_with_the_user,
    a_request_without_a_token_is_not_passed_on,
    a_logout_takes_effect_on_the_next_request,
    identity_headers_from_clients_are_removed,
    a_browser_without_a_token_reaches_the_sign_in_page,
    bodies_are_passed_on_and_latchet_reads_none,
    with_latchet_down_no_request_is_passed_on,
}

/// A service behind a proxy that asks Latchet.
struct Site {
    server: InProcessServer,
    proxy: Http,
    _service: JoinSet<()>,
    _running: RunningGateway,
}

impl Site {
    async fn behind(gateway: Gateway) -> Self {
        let server = InProcessServer::start(&Backend::sqlite()).await;
        let (service, address) = service().await;
        let port = port::free();
        let snippet = gateway.snippets("docs/how-to/forward-auth.md")[0]
            .replace("127.0.0.1:8080", server.http.address())
            .replace("127.0.0.1:3000", &address)
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
            .replace("app.example.org {", &format!("http://127.0.0.1:{port} {{"));
        Self {
            server,
            proxy: Http::without_redirects(format!("http://127.0.0.1:{port}")),
            _service: service,
            _running: gateway.start(&snippet, port),
        }
    }
}

/// Returns a header as the service got it; empty when it did not, which means the same.
#[track_caller]
fn got(answer: &HttpResponse, name: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let value = &answer.json()["headers"][name];
    value.as_str().unwrap_or_default().to_owned()
}

async fn a_request_with_a_token_is_passed_on_with_the_user(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    let zoe = site.server.http.administrator("zoë").await.login().await;

    for method in ["GET", "POST", "PUT", "DELETE"] {
        let request = site.proxy.request(method, "/orders").bearer(&zoe.access);
        let answer = request.send().await;

        assert_eq!(got(&answer, "remote-user"), "zo%C3%AB", "{method}");
        assert_eq!(got(&answer, "remote-roles"), "admin");
        assert_eq!(got(&answer, "remote-session"), zoe.id);
        assert_eq!(got(&answer, "authorization"), "");
        assert_eq!(answer.json()["method"], method);
        assert_eq!(answer.json()["path"], "/orders");
    }
    let head = site.proxy.request("HEAD", "/orders").bearer(&zoe.access);
    head.send().await.expect(200);
}

async fn a_request_without_a_token_is_not_passed_on(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    let alice = site.server.http.person("alice").await;
    let session = alice.login().await;
    let browser = Browser {
        http: site.proxy.clone(),
        ..Browser::login(&alice).await
    };

    let none = site.proxy.get("/orders").send().await.expect(401);
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"latchet\"");
    for method in ["GET", "POST", "HEAD", "OPTIONS"] {
        let request = site.proxy.request(method, "/orders");
        request.send().await.expect(401);
    }
    let refresh = site.proxy.get("/orders").bearer(&session.refresh);
    refresh.send().await.expect(401);
    browser.page("GET", "/orders").send().await.expect(401);
}

async fn a_logout_takes_effect_on_the_next_request(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    let alice = site.server.http.person("alice").await.login().await;
    let ask = async || {
        let request = site.proxy.get("/orders").bearer(&alice.access);
        request.send().await
    };
    ask().await.expect(200);

    alice.logout().await.expect(204);

    let refused = ask().await.expect(401);
    assert!(refused.header("www-authenticate").contains("invalid_token"));
}

async fn identity_headers_from_clients_are_removed(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    let alice = site.server.http.person("alice").await.login().await;
    let lies = ["Remote-User", "remote_user", "Remote-Roles", "Remote_Roles"];
    let lies = [
        &lies[..],
        &["REMOTE-SESSION", "remote_session", "Remote-Id", "remote_id"],
    ]
    .concat();
    let id = claims(&alice.access)["sub"].as_str().unwrap().to_owned();

    for lie in lies {
        for path in ["/orders", "/sign-in"] {
            let request = site.proxy.get(path).header(lie, "admin");
            let answer = request.bearer(&alice.access).send().await;

            let honest = match path {
                "/orders" => ["alice", &id, "", &alice.id],
                _ => ["", "", "", ""],
            };
            let names = ["remote-user", "remote-id", "remote-roles", "remote-session"];
            assert_eq!(names.map(|name| got(&answer, name)), honest, "{lie} {path}");
        }
    }
}

async fn a_browser_without_a_token_reaches_the_sign_in_page(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    for method in ["GET", "POST"] {
        let request = site.proxy.request(method, "/orders");
        let sent = request.header("accept", PAGE).send().await.expect(303);
        assert_eq!(sent.header("location"), "/sign-in", "{method}");
    }

    let page = site.proxy.get("/sign-in").header("accept", PAGE);

    assert_eq!(page.send().await.expect(200).json()["path"], "/sign-in");
}

async fn bodies_are_passed_on_and_latchet_reads_none(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    let alice = site.server.http.person("alice").await.login().await;
    // Latchet itself takes 64 KiB.
    let body = vec![b'x'; 200_000];

    let request = site.proxy.post("/orders").bearer(&alice.access);
    let answer = request.body("text/plain", body).send().await;

    assert_eq!(answer.expect(200).json()["length"], 200_000);
}

async fn with_latchet_down_no_request_is_passed_on(gateway: Gateway) {
    let site = Site::behind(gateway).await;
    let alice = site.server.http.person("alice").await.login().await;
    let request = site.proxy.get("/orders").bearer(&alice.access);
    request.send().await.expect(200);

    site.server.stop().await;

    let request = site.proxy.get("/orders").bearer(&alice.access);
    let answer = request.send().await;
    assert!(answer.status >= 500, "{}: {}", answer.status, answer.text);
    site.proxy.get("/sign-in").send().await.expect(200);
}
