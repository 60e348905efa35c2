//! The dashboard and the alerts of `assets/monitoring`, compared with the metrics of real servers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::Backend;
use crate::support::child::{Child, EndSignal};
use crate::support::http::Http;
use crate::support::server::{Replica, command};
use crate::support::tls::Authority;
use crate::support::tool::{assert_passes, root};
use crate::support::{poll, port};

/// Returns the metrics of two servers after some traffic: one on PostgreSQL with Redis, and one on SQLite with
/// TLS. Together they have every series.
pub(crate) async fn metrics_of_both_kinds_of_server() -> [String; 2] {
    [metrics_with_redis().await, metrics_with_tls().await]
}

async fn metrics_with_redis() -> String {
    let address = format!("127.0.0.1:{}", port::free());
    let backend = Backend::postgres().with("LATCHET_METRICS_LISTEN", &address);
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    alice.try_login("wrong, but long enough").await.expect(401);
    session.rotate().await;
    let metrics = Http::new(format!("http://{address}"));
    poll::until_some("Redis to be filled", async || {
        let page = metrics.get("/metrics").send().await.expect(200);
        let is_trusted = page.text.contains("\nlatchet_denylist_trusted 1\n");
        is_trusted.then_some(page.text)
    })
    .await
}

async fn metrics_with_tls() -> String {
    let (port, metrics_port) = (port::free(), port::free());
    let backend = Backend::sqlite();
    let folder = backend.folder.path();
    let certificate = Authority::new().sign("DNS:localhost");
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&chain, certificate.chain).unwrap();
    std::fs::write(&key, certificate.key).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = command(&backend);
    command
        .env("LATCHET_LISTEN", format!("127.0.0.1:{port}"))
        .env("LATCHET_PUBLIC_URL", format!("https://localhost:{port}"))
        .env(
            "LATCHET_METRICS_LISTEN",
            format!("127.0.0.1:{metrics_port}"),
        )
        .env("LATCHET_TLS_CERT", chain)
        .env("LATCHET_TLS_KEY", key)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let _server = Child::start(&mut command, EndSignal::Kill);
    let metrics = Http::new(format!("http://127.0.0.1:{metrics_port}"));
    poll::until_some("the server to be ready", async || {
        let page = metrics.get("/metrics").try_send().await.ok()?;
        page.text
            .contains("\nlatchet_ready 1\n")
            .then_some(page.text)
    })
    .await
}

fn asset(name: &str) -> PathBuf {
    root().join("assets/monitoring").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(asset(name)).unwrap()
}

/// Returns the names of series in a query or another text.
fn series_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c != '_' && c != ':' && !c.is_ascii_alphanumeric());
    let series = words.filter(|word| word.starts_with("latchet_") || word.starts_with("process_"));
    series.map(str::to_owned).collect()
}

/// Returns the names of the samples of a page of metrics.
fn samples(pages: &[String]) -> BTreeSet<String> {
    let lines = pages.iter().flat_map(|page| page.lines());
    let lines = lines.filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

/// Returns every query of the dashboard.
fn queries(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.iter().filter(|(name, value)| {
                ["expr", "query", "definition"].contains(&name.as_str()) && value.is_string()
            });
            let own = own.filter_map(|(_, value)| value.as_str().map(str::to_owned));
            own.chain(fields.values().flat_map(queries)).collect()
        }
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

/// Returns the expressions of the alerts.
fn expressions() -> String {
    let text = read("alerts.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.array_windows();
    let expressions = pairs.filter(|[line, _]| line.trim() == "expr: |-");
    expressions
        .map(|[_, expression]| (*expression).to_owned() + "\n")
        .collect()
}

fn alerts() -> Vec<String> {
    let text = read("alerts.yaml");
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_and_alerts_name_series_that_exist_and_show_all_of_them() {
    let pages = metrics_of_both_kinds_of_server().await;
    let samples = samples(&pages);
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let in_dashboard = series_in(&queries(&dashboard).join("\n"));
    let in_alerts = series_in(&expressions());
    assert!(in_alerts.len() > 15 && in_dashboard.len() > 25);

    let named: BTreeSet<String> = in_dashboard.union(&in_alerts).cloned().collect();
    let unknown: Vec<_> = named.difference(&samples).collect();
    assert!(unknown.is_empty(), "no server has {unknown:?}");
    let unused: Vec<_> = samples.difference(&in_dashboard).collect();
    assert!(unused.is_empty(), "the dashboard does not show {unused:?}");
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests_pass() {
    for arguments in [["check", "alerts.yaml"], ["test", "alerts-test.yaml"]] {
        let [verb, file] = arguments;
        let mut promtool = Command::new("promtool");
        promtool.args([verb, "rules"]).arg(asset(file));
        assert_passes(&mut promtool);
    }
}

#[test]
fn every_alert_has_a_test_and_a_section_of_the_guide() {
    let tests = read("alerts-test.yaml");
    let guide = std::fs::read_to_string(root().join("docs/how-to/monitoring.md")).unwrap();
    let alerts = alerts();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}");
        assert!(guide.contains(&format!("\n### {alert}\n")), "{alert}");
        let link = format!("docs/how-to/monitoring.md#{}\n", alert.to_lowercase());
        assert!(read("alerts.yaml").contains(&link), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durations_are_counted_by_operation_and_class_of_the_status() {
    let page = metrics_with_redis().await;

    let count = "latchet_request_duration_seconds_count";
    let bucket = "latchet_request_duration_seconds_bucket";
    for (series, value) in [
        (
            format!("{count}{{operation=\"login\",status=\"2xx\"}}"),
            "2",
        ),
        (
            format!("{count}{{operation=\"login\",status=\"4xx\"}}"),
            "1",
        ),
        (
            format!("{bucket}{{le=\"+Inf\",operation=\"login\",status=\"2xx\"}}"),
            "2",
        ),
    ] {
        let line = format!("\n{series} {value}\n");
        assert!(page.contains(&line), "{series}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_reports_the_expiry_of_its_certificate() {
    let page = metrics_with_tls().await;

    let name = "latchet_tls_certificate_expiry_timestamp_seconds{";
    let line = page.lines().find(|line| line.starts_with(name)).unwrap();
    let (series, seconds) = line.rsplit_once(' ').unwrap();
    assert!(series.ends_with("cert.pem\"}"), "{line}");
    let start = "process_start_time_seconds ";
    let start = page.lines().find_map(|line| line.strip_prefix(start));
    let start: i64 = start.unwrap().parse().unwrap();
    let left = seconds.parse::<i64>().unwrap() - start;
    // The authority of the tests signs for two days.
    assert!((86_400..=2 * 86_400).contains(&left), "{left}");
}
