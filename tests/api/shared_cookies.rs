//! Cookies of others beside ours: other programs of the host, other servers on its ports, old cookies.

use serde_json::json;

use crate::support::browser::{Browser, CSRF_COOKIE, REFRESH_COOKIE};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    cookies_of_others_do_not_matter_whatever_their_bytes,
    an_old_cookie_of_the_same_name_does_not_matter,
    the_csrf_value_selects_one_of_several_cookies,
    a_known_device_is_found_beside_cookies_of_others,
    headers_of_others_do_not_matter_whatever_their_bytes,
}

/// Cookies as other programs on a host may set them.
const OTHERS: [&[u8]; 12] = [
    "campaign=Übung".as_bytes(),
    b"latin=\xfc",
    "emoji=🍪".as_bytes(),
    "city=東京".as_bytes(),
    b"\xff=\x80",
    b"flag",
    b"",
    b"=nameless",
    b"quoted=\"a, b\"",
    b"open=\"",
    b"my_latchet_rt=a.b.c",
    b"latchet_rt=",
];

/// Sends cookies and the CSRF value of a session as a page of the server does.
async fn refresh(http: &Http, cookies: &[u8], csrf: &str) -> HttpResponse {
    post(http, "/v1/refresh", cookies, csrf).await
}

async fn post(http: &Http, path: &str, cookies: &[u8], csrf: &str) -> HttpResponse {
    let request = http.post(path).raw_header("cookie", cookies);
    let request = request
        .raw_header("x-csrf-token", csrf)
        .raw_header("origin", http.base());
    request.json(&json!({})).send().await
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    format!("{name}={value}").into_bytes()
}

fn joined(pairs: &[&[u8]]) -> Vec<u8> {
    pairs.join(b"; ".as_slice())
}

async fn cookies_of_others_do_not_matter_whatever_their_bytes(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let mut browser = Browser::login(&alice).await;

    for other in OTHERS {
        for is_first in [true, false] {
            let csrf = browser.jar[CSRF_COOKIE].clone();
            let token = pair(REFRESH_COOKIE, &browser.jar[REFRESH_COOKIE]);
            let value = pair(CSRF_COOKIE, &csrf);
            let cookies = if is_first {
                joined(&[other, &token, &value])
            } else {
                joined(&[&token, &value, other])
            };

            let answer = refresh(&server.http, &cookies, &csrf).await;

            assert_eq!(
                answer.status,
                200,
                "{}: {}",
                other.escape_ascii(),
                answer.text
            );
            browser.take(&answer);
        }
    }
    let csrf = browser.jar[CSRF_COOKIE].clone();
    let token = pair(REFRESH_COOKIE, &browser.jar[REFRESH_COOKIE]);
    let cookies = joined(&[OTHERS[1], &token, &pair(CSRF_COOKIE, &csrf)]);
    let logout = post(&server.http, "/v1/logout", &cookies, &csrf).await;
    let forgotten = logout.expect(204).set_cookies().join("\n");
    assert!(forgotten.contains("latchet_rt=;"), "{forgotten}");
}

async fn an_old_cookie_of_the_same_name_does_not_matter(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let mut browser = Browser::login(&alice).await;
    let old = browser.clone();
    for _ in 0..2 {
        let answer = browser.refresh().await.expect(200);
        browser.take(&answer);
    }
    let other = Browser::login(&alice).await;

    for (token, value) in [
        ("junk", "junk"),
        ("", ""),
        ("a.b.c", &other.jar[CSRF_COOKIE]),
        (&old.jar[REFRESH_COOKIE], &old.jar[CSRF_COOKIE]),
        (&other.jar[REFRESH_COOKIE], &other.jar[CSRF_COOKIE]),
        ("\"quoted\"", "\"quoted\""),
    ] {
        let csrf = browser.jar[CSRF_COOKIE].clone();
        let ours = [
            pair(REFRESH_COOKIE, &browser.jar[REFRESH_COOKIE]),
            pair(CSRF_COOKIE, &csrf),
        ];
        let olds = [pair(REFRESH_COOKIE, token), pair(CSRF_COOKIE, value)];
        let cookies = joined(&[&olds[0], &ours[0], &olds[1], &ours[1]]);

        let answer = refresh(&server.http, &cookies, &csrf).await;

        assert_eq!(answer.status, 200, "{token}: {}", answer.text);
        assert_eq!(answer.field("csrf_token"), csrf);
        browser.take(&answer);
    }
    // The other session was not touched.
    other.refresh().await.expect(200);
}

async fn the_csrf_value_selects_one_of_several_cookies(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let (alice, bob) = (
        server.http.person("alice").await,
        server.http.person("bob").await,
    );
    let (one, two) = (Browser::login(&alice).await, Browser::login(&bob).await);
    let both = |browsers: [&Browser; 2]| {
        let pairs = browsers.map(|browser| {
            [REFRESH_COOKIE, CSRF_COOKIE].map(|name| pair(name, &browser.jar[name]))
        });
        joined(
            &pairs
                .as_flattened()
                .iter()
                .map(Vec::as_slice)
                .collect::<Vec<_>>(),
        )
    };

    for (cookies, wanted) in [(both([&one, &two]), &two), (both([&two, &one]), &one)] {
        let csrf = &wanted.jar[CSRF_COOKIE];

        let answer = refresh(&server.http, &cookies, csrf).await.expect(200);

        let sid = crate::support::client::claims(&wanted.access)["sid"].clone();
        assert_eq!(answer.json()["session_id"], sid);
        let none = refresh(&server.http, &cookies, "x.y").await;
        none.expect_problem(403, "csrf_failed");
    }
}

/// A network that the account was never used from, so that the device alone lets it in.
const ELSEWHERE: &str = "198.51.100.7";

async fn a_known_device_is_found_beside_cookies_of_others(backend: Backend) {
    let backend = backend
        .with("LATCHET_THROTTLE_ACCOUNT", "3/15m")
        .with("LATCHET_TRUSTED_PROXIES", "127.0.0.0/8");
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let browser = Browser::login(&alice).await;
    let login = |password: &str| {
        let body = json!({"username": alice.name, "password": password, "transport": "cookie"});
        let request = server.http.post("/v1/login").json(&body);
        request.header("x-forwarded-for", ELSEWHERE)
    };
    for _ in 0..3 {
        let refused = login("a wrong password, but long").send().await;
        refused.expect_problem(401, "invalid_credentials");
    }
    let refused = login(&alice.password).send().await;
    refused.expect_problem(429, "too_many_requests");

    let device = pair("latchet_device", &browser.jar["latchet_device"]);
    for other in [b"latin=\xfc".as_slice(), b"latchet_device=junk"] {
        let cookies = joined(&[other, &device]);
        let login = login(&alice.password).raw_header("cookie", &cookies);
        login.send().await.expect(200);
    }
}

async fn headers_of_others_do_not_matter_whatever_their_bytes(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let bearer = format!("Bearer {}", session.access);

    for other in [
        b"Digest username=\"\xfc\"".as_slice(),
        b"\xff",
        "Übung".as_bytes(),
    ] {
        let check = server.http.get("/v1/me").raw_header("authorization", other);
        let check = check.raw_header("authorization", &bearer);
        check.send().await.expect(200);
        let joined = [other, b", ", bearer.as_bytes()].concat();
        let check = server
            .http
            .get("/v1/me")
            .raw_header("authorization", joined);
        check.send().await.expect(200);
        let refresh = server
            .http
            .post("/v1/refresh")
            .raw_header("authorization", other);
        let refresh = refresh.json(&json!({"refresh_token": session.refresh}));
        refresh.send().await.expect(200);
    }
    let body = json!({"username": "alice", "password": "a long password of alice"}).to_string();
    let login = server
        .http
        .post("/v1/login")
        .raw_header("user-agent", b"\xfc/1");
    let login = login.raw_header("accept", b"\xff");
    let login = login.raw_header("content-type", b"application/json; note=\"\xfc\"");
    login.raw_body(body).send().await.expect(200);
    for accept in [b"\xff, text/html".as_slice(), b"text/html, \xff"] {
        let http = Http::without_redirects(server.http.base());
        let asked = http
            .get("/v1/verify?sign_in=/account")
            .raw_header("accept", accept);
        asked.send().await.expect(303);
    }
}

/// Two servers with accounts of their own, as on two ports of one host, and a browser between them.
async fn two_servers(settings: [&[(&str, &str)]; 2]) -> [InProcessServer; 2] {
    let start = async |settings: &[(&str, &str)]| {
        let backend = settings
            .iter()
            .fold(Backend::sqlite(), |backend, (name, value)| {
                backend.with(name, value)
            });
        // By default their names differ, as do their addresses.
        InProcessServer::start(&backend.without("LATCHET_ISSUER")).await
    };
    [start(settings[0]).await, start(settings[1]).await]
}

/// Logs in at a server with the cookies of all servers of the host, and keeps those it sets.
async fn login(server: &InProcessServer, browser: &mut Browser) -> String {
    browser.http = server.http.clone();
    let admin = server.http.admin();
    let body = json!({"username": admin.name, "password": admin.password, "transport": "cookie"});
    let request = browser.cookies_only("POST", "/v1/login");
    let request = request.raw_header("origin", server.http.base());
    let answer = request.json(&body).send().await.expect(200);
    browser.take(&answer);
    answer.field("csrf_token")
}

async fn refreshed(server: &InProcessServer, browser: &mut Browser, csrf: &str) -> HttpResponse {
    browser.http = server.http.clone();
    let request = browser.cookies_only("POST", "/v1/refresh");
    let request = request
        .raw_header("origin", server.http.base())
        .raw_header("x-csrf-token", csrf);
    let answer = request.json(&json!({})).send().await;
    browser.take(&answer);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_ports_of_one_host_do_not_sign_each_others_users_out() {
    let prefixed: [&[(&str, &str)]; 2] = [&[], &[("LATCHET_COOKIE_PREFIX", "shop")]];
    for settings in [[&[] as &[_], &[]], prefixed] {
        let [first, second] = two_servers(settings).await;
        let mut browser = Browser {
            http: first.http.clone(),
            jar: std::collections::BTreeMap::new(),
            access: String::new(),
        };

        let first_csrf = login(&first, &mut browser).await;
        let second_csrf = login(&second, &mut browser).await;

        for _ in 0..2 {
            for (server, csrf) in [(&first, &first_csrf), (&second, &second_csrf)] {
                let answer = refreshed(server, &mut browser, csrf).await;
                assert_eq!(answer.status, 200, "{:?}: {}", browser.jar, answer.text);
            }
        }
        let devices = browser.jar.keys().filter(|name| name.ends_with("_device"));
        assert_eq!(devices.count(), 2, "{:?}", browser.jar);

        browser.http = second.http.clone();
        let logout = browser.cookies_only("POST", "/v1/logout");
        let logout = logout
            .raw_header("x-csrf-token", &second_csrf)
            .json(&json!({}));
        browser.take(&logout.send().await.expect(204));
        refreshed(&second, &mut browser, &second_csrf)
            .await
            .expect(401);
        refreshed(&first, &mut browser, &first_csrf)
            .await
            .expect(200);
        let again = login(&second, &mut browser).await;
        refreshed(&second, &mut browser, &again).await.expect(200);
        refreshed(&first, &mut browser, &first_csrf)
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_prefix_is_in_the_names_of_all_cookies() {
    for (url, begin) in [
        ("http://localhost", "shop-1_"),
        ("https://auth.example.org", "__Host-shop-1_"),
    ] {
        let backend = Backend::sqlite()
            .with("LATCHET_COOKIE_PREFIX", "shop-1")
            .with("LATCHET_PUBLIC_URL", url);
        let server = InProcessServer::start(&backend).await;
        let admin = server.http.admin();
        let body =
            json!({"username": admin.name, "password": admin.password, "transport": "cookie"});

        let answer = server.http.post("/v1/login").json(&body).send().await;

        let set = answer.expect(200);
        let mut names: Vec<_> = set
            .set_cookies()
            .into_iter()
            .filter_map(|cookie| cookie.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["csrf", "device", "rt"].map(|name| format!("{begin}{name}"))
        );
        let client = server.http.get("/client/latchet.js").send().await;
        assert!(client.text.contains("\"shop-1\""));
    }
}
