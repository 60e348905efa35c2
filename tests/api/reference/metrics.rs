//! `docs/reference/metrics.md`

use std::collections::BTreeMap;

use super::{page, push_table};
use crate::support::Backend;
use crate::support::http::Http;
use crate::support::port;
use crate::support::server::Replica;

const INTRODUCTION: &str = "
`GET /metrics` at the address of `LATCHET_METRICS_LISTEN`, in OpenMetrics 1.0.0 or, where `Accept` prefers it, in the
text format 0.0.4 of Prometheus. Each replica counts for itself, from its start.

All names begin with `latchet_`. `operation` is an `operationId` of the [HTTP API](http-api.md), or `other` for the
pages; `status` is a class such as `4xx`.
";

#[derive(Default)]
struct Series {
    kind: String,
    help: String,
    labels: Vec<String>,
}

/// Starts a server, uses it so that every series has a sample, and reads its metrics.
pub(super) async fn generate() -> String {
    let address = format!("127.0.0.1:{}", port::free());
    let backend = Backend::sqlite().with("LATCHET_METRICS_LISTEN", &address);
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.rotate().await;
    let metrics = Http::new(format!("http://{address}"));
    let response = metrics.get("/metrics").send().await.expect(200);

    let mut text = page("Metrics", INTRODUCTION);
    let rows: Vec<_> = read(&response.text)
        .into_iter()
        .map(|(name, series)| {
            let suffix = match series.kind.as_str() {
                "counter" => "_total",
                _ => "",
            };
            let labels = match series.labels.as_slice() {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            vec![
                format!("`{name}{suffix}{labels}`"),
                series.kind,
                series.help,
            ]
        })
        .collect();
    push_table(&mut text, &["series", "type", "meaning"], &rows);
    text
}

/// Reads the descriptions and the labels from the text format.
fn read(text: &str) -> BTreeMap<String, Series> {
    let mut all = BTreeMap::<String, Series>::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let series = all.entry(name.to_owned()).or_default();
            help.clone_into(&mut series.help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let series = all.entry(name.to_owned()).or_default();
            kind.clone_into(&mut series.kind);
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split('=').next());
            let name = name.trim_end_matches("_total");
            all.entry(name.to_owned()).or_default().labels = labels.map(str::to_owned).collect();
        }
    }
    all
}

#[test]
fn every_series_of_the_registry_is_read() {
    let text = "# HELP latchet_logins Logins.\n# TYPE latchet_logins counter\n\
                latchet_logins_total{outcome=\"refused\",kind=\"a\"} 1\n# EOF\n";

    let series = &read(text)["latchet_logins"];

    assert_eq!(series.kind, "counter");
    assert_eq!(series.help, "Logins.");
    assert_eq!(series.labels, ["outcome", "kind"]);
}
