//! `docs/reference/metrics.md`

use std::collections::BTreeMap;

use super::{page, push_table};
use crate::monitoring::metrics_of_both_kinds_of_server;

const INTRODUCTION: &str = "
`GET /metrics` at the address of `LATCHET_METRICS_LISTEN`, in OpenMetrics 1.0.0 or, where `Accept` prefers it, in the
text format 0.0.4 of Prometheus. Each replica counts for itself, from its start.

`operation` is an `operationId` of the [HTTP API](http-api.md), or `other` for the pages; `status` is a class such as
`4xx`. A histogram has the series `…_bucket` (with the label `le`, from 1 ms to 10 s), `…_sum` and `…_count`. Series of
Redis, TLS, PostgreSQL (`database_requests_waiting`) or SQLite (`database_disk_free_bytes`) are absent on servers without
it. [Monitoring](../how-to/monitoring.md) has a dashboard and alerts.
";

#[derive(Default)]
struct Series {
    kind: String,
    help: String,
    labels: Vec<String>,
}

/// Reads the metrics of servers that together have a sample of every series.
pub(super) async fn generate() -> String {
    let pages = metrics_of_both_kinds_of_server().await;
    let mut series = BTreeMap::new();
    for (name, found) in pages.iter().flat_map(|page| read(page)) {
        let known: &mut Series = series.entry(name).or_default();
        if found.labels.len() >= known.labels.len() {
            *known = found;
        }
    }

    let mut text = page("Metrics", INTRODUCTION);
    let rows: Vec<_> = series
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
                .filter_map(|label| label.split('=').next())
                .filter(|label| *label != "le");
            let name = name.trim_end_matches("_total");
            let name = name.trim_end_matches("_bucket");
            // The sum and the count of a histogram have the labels of its buckets.
            if let Some(series) = all.get_mut(name) {
                series.labels = labels.map(str::to_owned).collect();
            }
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
