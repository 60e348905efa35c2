//! Addresses: the listening address of a server, and the address that it announces.

use std::process::Stdio;

use crate::support::child::{Child, EndSignal};
use crate::support::http::Http;
use crate::support::server::{Replica, command, complete_log};
use crate::support::{Backend, poll, port};

/// A server that chose its address by itself.
struct Started {
    http: Http,
    log: std::path::PathBuf,
    _child: Child,
}

impl Started {
    /// Starts a server and reads in its log where it listens.
    fn start(backend: &Backend, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let log = backend.folder.path().join(format!("{}.log", port::free()));
        let file = std::fs::File::create(&log).unwrap();
        let mut command = command(backend);
        command
            .args(arguments)
            .envs(env.iter().copied())
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(file);
        let child = Child::start(&mut command, EndSignal::Kill);
        let mut address = None;
        poll::until("the address to be printed", || {
            let text = std::fs::read_to_string(&log).unwrap();
            let rest = text.split_once(" listens on ").map(|(_, rest)| rest);
            address = rest.and_then(|rest| rest.split(['\n', '"']).next().map(str::to_owned));
            address.is_some()
        });
        Self {
            http: Http::new(format!("http://{}", address.unwrap())),
            log,
            _child: child,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_port_0_the_log_the_issuer_and_the_metadata_name_the_real_port() {
    for format in ["json", "pretty"] {
        for (listen, host) in [
            ("127.0.0.1:0", "127.0.0.1:"),
            ("localhost:0", "127.0.0.1:"),
            ("0", "127.0.0.1:"),
            (":0", "127.0.0.1:"),
            ("[::1]:0", "[::1]:"),
        ] {
            let backend = Backend::sqlite()
                .with("LATCHET_LOG_FORMAT", format)
                .with("LATCHET_METRICS_LISTEN", "127.0.0.1:0")
                .without("LATCHET_ISSUER");
            let server = Started::start(&backend, &["--listen", listen], &[]);
            let base = server.http.base().to_owned();
            assert!(base.starts_with(&format!("http://{host}")), "{base}");
            assert!(!base.ends_with(":0"), "{base}");

            for path in [
                "/.well-known/oauth-authorization-server",
                "/.well-known/openid-configuration",
            ] {
                let metadata = server.http.get(path).send().await.expect(200).json();
                assert_eq!(metadata["issuer"], base);
                let jwks = metadata["jwks_uri"].as_str().unwrap();
                Http::new(jwks).get("").send().await.expect(200);
            }
            let session = server.http.admin().login().await;
            let claims = crate::support::client::claims(&session.access);
            assert_eq!(claims["iss"], base);
            assert_eq!(claims["aud"], base);
            session.check().await.expect(200);
            let log = complete_log(&server.http, &server.log).await;
            assert!(!log.contains(":0/") && !log.contains(":0\""), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_of_the_platform_is_listened_on() {
    let port = port::free().to_string();
    let server = Started::start(&Backend::sqlite(), &[], &[("PORT", &port)]);

    assert_eq!(server.http.base(), format!("http://127.0.0.1:{port}"));
    server.http.get("/livez").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_for_a_test_in_an_office_signs_in_with_cookies_and_warns() {
    let port = port::free();
    let url = format!("http://auth.office.test:{port}");
    let backend = Backend::sqlite()
        .with("LATCHET_PUBLIC_URL", &url)
        .with("LATCHET_ALLOW_PLAIN_HTTP", "true");
    let listen = format!("0.0.0.0:{port}");
    let server = Started::start(&backend, &["--listen", &listen], &[]);
    let http = Http::new(format!("http://127.0.0.1:{port}"));

    let admin = http.admin();
    let body = serde_json::json!({
        "username": admin.name, "password": admin.password, "transport": "cookie"
    });
    let host = format!("auth.office.test:{port}");
    let login = http
        .post("/v1/login")
        .header("host", &host)
        .header("origin", &url);
    let login = login.json(&body).send().await.expect(200);

    let cookies = login.set_cookies();
    let pair = |name: &str| {
        let line = cookies.iter().find(|line| line.starts_with(name)).unwrap();
        assert!(!line.contains("Secure"), "{line}");
        line.split(';').next().unwrap().to_owned()
    };
    let (token, csrf) = (pair("latchet_rt="), pair("latchet_csrf="));
    let value = csrf.split_once('=').unwrap().1.to_owned();
    let refresh = http
        .post("/v1/refresh")
        .header("host", &host)
        .header("origin", &url);
    let refresh = refresh.header("x-csrf-token", &value);
    refresh
        .header("cookie", &format!("{token}; {csrf}"))
        .send()
        .await
        .expect(200);
    let log = complete_log(&http, &server.log).await;
    assert!(log.contains("allow_plain_http is set"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_found_with_a_slash_after_their_name() {
    let server = Replica::start(&Backend::sqlite()).await;
    let strict = Http::without_redirects(server.http.base());

    for page in ["account", "admin", "setup", "reset", "docs"] {
        let redirect = strict
            .get(&format!("/{page}/?a=b"))
            .send()
            .await
            .expect(308);
        assert_eq!(redirect.header("location"), format!("/{page}?a=b"));
        let shown = server
            .http
            .get(&format!("/{page}/"))
            .send()
            .await
            .expect(200);
        assert!(shown.header("content-type").starts_with("text/html"));
    }
    strict.get("/nowhere/").send().await.expect(404);
}
