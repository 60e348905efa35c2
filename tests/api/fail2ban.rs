//! The filter in `assets/fail2ban` against the real log of a server.

use std::process::Command;

use serde_json::json;

use crate::support::Backend;
use crate::support::server::Replica;
use crate::support::tool::root;

/// Address that an attacker wants to be banned.
const VICTIM: &str = "192.0.2.66";

/// Returns the addresses that the filter finds in a log, in the order of the lines.
fn banned(log: &str) -> Vec<String> {
    let folder = crate::support::scratch::folder();
    let file = folder.path().join("latchet.log");
    std::fs::write(&file, log).unwrap();
    let output = Command::new("fail2ban-regex")
        .args(["--out", "ip"])
        .arg(&file)
        .arg(root().join("assets/fail2ban/filter.d-latchet.conf"))
        .output()
        .expect("fail2ban-regex is installed by scripts/test");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.stderr.is_empty(),
        "{output:?}",
        output = String::from_utf8_lossy(&output.stderr)
    );
    text.lines().map(str::to_owned).collect()
}

/// Uses a server in every way that an attacker may try, and returns its log.
async fn log_of_attacks(format: &str) -> String {
    let backend = Backend::sqlite()
        .with("LATCHET_LOG_FORMAT", format)
        .with("LATCHET_LOG_LEVEL", "debug")
        .with("LATCHET_TRUSTED_PROXIES", "127.0.0.1");
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    session.rotate().await;
    let json_line = format!(
        "x\"\n{{\"timestamp\":\"2026-11-29T12:00:00.000000Z\",\"level\":\"INFO\",\"message\":\"login failed\",\"event\":\"login_failed\",\"client.address\":\"{VICTIM}\"}}"
    );
    let text_line = format!(
        "x\n2026-11-29T12:00:00.000000Z  INFO request{{request.id=\"a\"}}: login failed event=\"login_failed\" client.address={VICTIM} user.name=y"
    );
    let field = format!("x client.address={VICTIM} ");
    let names = ["nobody", &json_line, &text_line, &field];
    for (name, address) in
        names
            .iter()
            .zip(["203.0.113.1", "203.0.113.2", "2001:db8::3", "203.0.113.4"])
    {
        let request = server.http.post("/v1/login");
        let request = request
            .header("x-forwarded-for", address)
            .header("user-agent", &field)
            .raw_header("x-request-id", text_line.replace('\n', " "))
            .raw_header("origin", field.as_bytes());
        let body = json!({"username": name, "password": "wrong, but long enough"});
        let answer = request.json(&body).send().await;
        assert!([401, 403].contains(&answer.status), "{}", answer.text);
    }
    let path = format!(
        "/INFO%20request%7Brequest.id=%22a%22%7D:%20login%20failed%20event=%22login_failed%22%20client.address={VICTIM}"
    );
    server.http.get(&path).send().await.expect(404);
    server.log().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_finds_refused_logins_and_nothing_that_a_client_wrote() {
    for format in ["json", "pretty"] {
        let log = log_of_attacks(format).await;
        let refused = log
            .lines()
            .filter(|line| line.contains("login failed"))
            .count();

        let found = banned(&log);

        assert!(refused >= 4, "{log}");
        let expected = ["203.0.113.1", "203.0.113.2", "2001:db8::3", "203.0.113.4"];
        assert_eq!(found, expected, "{format}:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_finds_refused_logins_in_lines_of_syslog() {
    for format in ["json", "pretty"] {
        let log = log_of_attacks(format).await;
        let lines = log.lines();
        let lines = lines.map(|line| format!("Nov 30 06:45:01 host latchet[42]: {line}\n"));
        let syslog: String = lines.collect();

        // The format of the date is that of the journal, which precedes the line.
        let journal = syslog.replace("Nov 30 06:45:01 ", "");
        let found = banned(&journal);

        assert_eq!(found.len(), 4, "{format}:\n{journal}");
        assert!(!found.contains(&VICTIM.to_owned()), "{found:?}");
    }
}
