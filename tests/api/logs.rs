//! The log as others read it: collectors that hang or die, full disks, programs that ban addresses.

use std::io::{PipeReader, PipeWriter, Read};
use std::process::Stdio;

use serde_json::Value;

use crate::support::http::Http;
use crate::support::server::{Replica, command, run};
use crate::support::{Backend, on_both, poll, port};

on_both! {
    a_refused_login_is_one_line_with_the_address_before_the_name_as_typed,
    a_login_that_the_throttle_refuses_says_which_budget_is_used_up,
}

fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().unwrap()
}

fn both(writer: PipeWriter) -> (Stdio, Stdio) {
    (writer.try_clone().unwrap().into(), writer.into())
}

async fn refused_requests(server: &Replica, count: usize) {
    for _ in 0..count {
        server.http.get("/v1/me").send().await.expect(401);
    }
}

async fn lost_lines(metrics: &Http) -> u64 {
    let page = metrics.get("/metrics").send().await.expect(200);
    let line = page
        .text
        .lines()
        .find_map(|line| line.strip_prefix("latchet_log_lines_lost_total "));
    line.expect("the number is shown").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_survives_a_closed_log_and_counts_lost_lines() {
    let address = format!("127.0.0.1:{}", port::free());
    let backend = Backend::sqlite().with("LATCHET_METRICS_LISTEN", &address);
    let (reader, writer) = pipe();
    let (stdout, stderr) = both(writer);
    let mut server = Replica::start_into(&backend, stdout, stderr).await;

    drop(reader);
    refused_requests(&server, 20).await;

    let metrics = Http::new(format!("http://{address}"));
    poll::until_some("lost lines to be counted", async || {
        (lost_lines(&metrics).await >= 20).then_some(())
    })
    .await;
    server.terminate();
    assert!(server.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_of_the_log_delays_no_request() {
    // The pipe holds 64 KiB, less what is left of its pages.
    const FULL: usize = 48 << 10;
    let (mut reader, writer) = pipe();
    let (stdout, stderr) = both(writer);
    let backend = Backend::sqlite();
    let mut server = Replica::start_into(&backend, stdout, stderr).await;

    refused_requests(&server, 600).await;
    server.terminate();
    // The end of the program waits for its last lines, but not for ever.
    assert!(server.wait().success());

    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.len() >= FULL, "{} bytes", text.len());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_log_keeps_no_server_from_starting_serving_and_stopping() {
    for format in ["auto", "json", "pretty"] {
        let full = || {
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap()
        };
        let backend = Backend::sqlite()
            .with("LATCHET_LOG_FORMAT", format)
            .without("LATCHET_BOOTSTRAP_ADMIN")
            .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE");
        let mut server = Replica::start_into(&backend, full().into(), full().into()).await;

        refused_requests(&server, 20).await;

        server.terminate();
        assert!(server.wait().success(), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_log_contains_only_json() {
    let backend = Backend::sqlite()
        .with("LATCHET_LOG_FORMAT", "json")
        .with("LATCHET_LOG_LEVEL", "debug")
        .without("LATCHET_BOOTSTRAP_ADMIN")
        .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE");
    let mut server = Replica::start(&backend).await;
    refused_requests(&server, 1).await;
    server.terminate();
    assert!(server.wait().success());

    let log = server.written_log();

    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let listening = lines.iter().find(|line| line["event"] == "listening");
    let listening = listening.expect("the address is logged");
    assert_eq!(listening["address"], server.http.address());
    assert_eq!(listening["public_url"], server.http.base());
    assert!(log.contains("`latchet setup-link` prints a link"), "{log}");
}

#[test]
fn a_refused_start_is_reported_in_json_when_the_log_is_json() {
    let file = "/nowhere/certificate.pem";
    let table = [
        (vec![("LATCHET_GRACE", "61s")], 2, "grace is 61s"),
        (
            vec![
                ("LATCHET_TLS_CERT", file),
                ("LATCHET_TLS_KEY", file),
                ("LATCHET_PUBLIC_URL", "https://localhost"),
            ],
            1,
            file,
        ),
    ];

    for (env, code, said) in table {
        let output = command(&Backend::sqlite())
            .env("LATCHET_LOG_FORMAT", "json")
            .env("LATCHET_LISTEN", "127.0.0.1:0")
            .envs(env)
            .output()
            .unwrap();

        let text = String::from_utf8(output.stderr).unwrap();
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["event"], "cannot_serve");
        assert!(line["error"].as_str().unwrap().contains(said), "{text}");
        assert_eq!(output.status.code(), Some(code));
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setup_link_is_not_logged_and_ends_with_the_first_administrator() {
    for format in ["auto", "json", "pretty"] {
        let backend = Backend::sqlite()
            .with("LATCHET_LOG_FORMAT", format)
            .without("LATCHET_BOOTSTRAP_ADMIN")
            .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE");
        let server = Replica::start(&backend).await;
        let link = server.setup_link();
        let (page, secret) = link.split_once('#').unwrap();
        assert_eq!(page, format!("{}/setup", server.http.base()));
        let log = server.log().await;
        assert!(log.contains("latchet setup-link"), "{log}");
        assert!(!log.contains("/setup#"), "{log}");

        let password = backend.folder.path().join("password");
        std::fs::write(&password, "a long password of grace").unwrap();
        let file = password.to_str().unwrap();
        run(
            &backend,
            &["user", "add", "grace", "--admin", "--password-file", file],
        );

        let body = serde_json::json!({
            "link": secret, "username": "mallory", "password": "a long password of mallory"
        });
        let refused = server.http.post("/v1/setup").json(&body).send().await;
        refused.expect_problem(404, "not_found");
        let another = command(&backend).arg("setup-link").output().unwrap();
        assert!(!another.status.success());
        let said = String::from_utf8_lossy(&another.stderr);
        assert!(said.contains("latchet user add NAME --admin"), "{said}");
    }
}

/// Returns the lines of the log with this event, once there are as many.
async fn events(server: &Replica, event: &str, count: usize) -> Vec<String> {
    let what = format!("{count} lines of {event}");
    poll::until_some(&what, async || {
        let mark = format!("\"event\":\"{event}\"");
        let log = server.written_log();
        let lines = log.lines().filter(|line| line.contains(&mark));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

async fn a_refused_login_is_one_line_with_the_address_before_the_name_as_typed(backend: Backend) {
    let backend = backend.with("LATCHET_TRUSTED_PROXIES", "127.0.0.1");
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let forged = "x\"\n{\"event\":\"login_failed\",\"client.address\":\"192.0.2.1\"}";
    let long = "n".repeat(250);
    let table = [
        (alice.name.as_str(), "203.0.113.77", "alice"),
        ("nobody", "2001:db8::7", "nobody"),
        (
            forged,
            "203.0.113.78",
            "x\\u{22}\\u{a}{\\u{22}event\\u{22}:\\u{22}login_failed\\u{22},\\u{22}client.address\\u{22}:",
        ),
        (&long, "203.0.113.79", &long[..64]),
    ];

    for (name, address, shown) in table {
        for path in ["/v1/login", "/oauth/token"] {
            let before = server.log().await.matches("\"login_failed\"").count();
            let request = server.http.post(path).header("x-forwarded-for", address);
            let password = "wrong, but long enough";
            let request = if path == "/v1/login" {
                request.json(&serde_json::json!({"username": name, "password": password}))
            } else {
                request.form(&[
                    ("grant_type", "password"),
                    ("username", name),
                    ("password", password),
                ])
            };
            let answer = request.send().await;
            assert!([400, 401].contains(&answer.status), "{}", answer.text);

            let lines = events(&server, "login_failed", before + 1).await;
            let line = &lines[before];
            let fields: Value = serde_json::from_str(line).unwrap();
            assert_eq!(fields["client.address"], address);
            let logged = fields["user.name"].as_str().unwrap();
            assert!(logged.starts_with(shown), "{logged}");
            assert!(logged.chars().count() <= 64 * 6 + 1, "{logged}");
            let start = format!(
                "\"level\":\"INFO\",\"message\":\"login failed\",\"event\":\"login_failed\",\"client.address\":\"{address}\""
            );
            assert!(line.contains(&start), "{line}");
        }
    }
}

async fn a_login_that_the_throttle_refuses_says_which_budget_is_used_up(backend: Backend) {
    let table = [
        ("LATCHET_THROTTLE_IP", "ip", "throttle_ip"),
        (
            "LATCHET_THROTTLE_ACCOUNT_IP",
            "account-ip",
            "throttle_account_ip",
        ),
        ("LATCHET_THROTTLE_ACCOUNT", "account", "throttle_account"),
    ];
    for (index, (setting, budget, named)) in table.into_iter().enumerate() {
        let server = Replica::start(&backend.clone().with(setting, "1/15m")).await;
        let name = format!("nobody{index}");
        let attempt = async || {
            let body = serde_json::json!({"username": name, "password": "wrong, but long enough"});
            let address = format!("127.0.0.{index}");
            let request = server
                .http
                .post("/v1/login")
                .header("x-forwarded-for", &address);
            request.json(&body).send().await
        };
        attempt().await;
        // Once by the database, once from memory.
        for count in 1..=2 {
            attempt().await.expect(429);
            let lines = events(&server, "login_throttled", count).await;
            let fields: Value = serde_json::from_str(&lines[count - 1]).unwrap();
            assert_eq!(fields["budget"], budget);
            assert_eq!(fields["setting"], named);
            assert_eq!(fields["user.name"], name);
            assert_eq!(fields["client.address"], "127.0.0.1");
            assert!(fields["retry_after_s"].as_u64().unwrap() > 0);
        }
        server.kill();
    }
}

#[test]
fn a_command_with_a_closed_output_ends_without_a_panic() {
    let backend = Backend::sqlite();

    for arguments in [
        &["--help"][..],
        &["openapi"],
        &["secret"],
        &["key", "list"],
        &["user", "list"],
        &["doctor"],
    ] {
        let (reader, writer) = pipe();
        drop(reader);
        let output = command(&backend)
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();

        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code().is_some_and(|code| code < 3),
            "{arguments:?}: {said}"
        );
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}
