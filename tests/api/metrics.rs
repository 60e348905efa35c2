//! Numbers for Prometheus.

use crate::support::http::Http;
use crate::support::server::Replica;
use crate::support::{Backend, on_both, poll, port};

on_both! {
    metrics_are_served_at_their_own_address,
}

/// Returns the value of a series, `None` where there is none.
fn value(text: &str, series: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map(|value| value.trim().parse().expect("a whole number"))
}

async fn metrics_are_served_at_their_own_address(backend: Backend) {
    let address = format!("127.0.0.1:{}", port::free());
    let backend = backend.with("LATCHET_METRICS_LISTEN", &address);
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    alice.try_login("wrong, but long enough").await.expect(401);
    session.rotate().await;
    session.rotate().await;
    session.logout().await.expect(204);
    session.refresh().await.expect(401);
    server.http.get("/v1/nowhere").send().await.expect(404);

    let metrics = Http::new(format!("http://{address}"));
    let page = poll::until_some("Redis to be filled", async || {
        let page = metrics.get("/metrics").send().await.expect(200);
        (value(&page.text, "latchet_denylist_trusted ") == Some(1)).then_some(page)
    })
    .await;

    let expected = [
        ("logins_total{outcome=\"accepted\"}", 2),
        ("logins_total{outcome=\"refused\"}", 1),
        ("refreshes_total{outcome=\"rotated\"}", 1),
        ("refreshes_total{outcome=\"replayed\"}", 1),
        ("refreshes_total{outcome=\"ended\"}", 1),
        ("denials_total", 1),
        ("requests_total{operation=\"login\",status=\"2xx\"}", 2),
        ("requests_total{operation=\"login\",status=\"4xx\"}", 1),
        ("requests_total{operation=\"createUser\",status=\"2xx\"}", 1),
        ("requests_total{operation=\"other\",status=\"4xx\"}", 1),
        ("passwords_waiting", 0),
    ];
    for (series, count) in expected {
        let found = value(&page.text, &format!("latchet_{series} "));
        assert_eq!(found, Some(count), "{series}: {}", page.text);
    }
    assert!(page.header("content-type").contains("openmetrics-text"));
    assert!(page.text.ends_with("# EOF\n"), "{}", page.text);
    let older = metrics
        .get("/metrics")
        .header("accept", "text/plain;version=0.0.4")
        .send()
        .await
        .expect(200);
    assert_eq!(
        older.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let counter = "# TYPE latchet_requests_total counter\n";
    assert!(older.text.contains(counter), "{}", older.text);
    assert!(!older.text.contains("# EOF"), "{}", older.text);
    assert_eq!(value(&older.text, "latchet_denials_total "), Some(1));
    server.http.get("/metrics").send().await.expect(404);
    metrics.get("/v1/me").send().await.expect(404);
}
