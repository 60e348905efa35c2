//! The layouts of `docs/how-to/spa.md`: its settings, its nginx and Caddy, its page, in Chromium over TLS.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::readme::snippets;
use crate::support::client::ADMIN;
use crate::support::gateway::{Gateway, RunningGateway, behind_both, service};
use crate::support::server::Replica;
use crate::support::tool::{assert_passes_alone, browser_script, root};
use crate::support::{Backend, port, scratch};

pub(crate) const PAGE: &str = "docs/how-to/spa.md";

behind_both! {
    on_one_origin_a_page_stays_signed_in,
    a_sibling_stays_signed_in_while_a_tab_is_open_and_another_site_does_not,
}

#[test]
fn the_guide_for_proxies_has_the_settings_that_are_run_here() {
    for gateway in [Gateway::Nginx, Gateway::Caddy] {
        let of_the_guide = gateway.snippets("docs/how-to/reverse-proxies.md");

        assert_eq!(of_the_guide, [gateway.snippets(PAGE)[1].clone()]);
    }
}

/// Latchet as the page says, with its proxy, an API and the files of a page.
struct Layout {
    latchet: Replica,
    port: u16,
    /// Script that the page of this layout runs.
    script: String,
    _running: RunningGateway,
    _service: JoinSet<()>,
    _files: TempDir,
}

impl Layout {
    /// Starts the layout that the `number`th snippets are about, with a page of the first.
    async fn start(gateway: Gateway, number: usize, backend: Backend) -> Self {
        let latchet = Replica::start(&backend).await;
        let (service, address) = service().await;
        let files = scratch::folder();
        let page = "<!doctype html><title>the page</title>";
        std::fs::write(files.path().join("index.html"), page).unwrap();
        let port = port::free();
        let snippet = gateway.snippets(PAGE)[..=number].concat();
        let snippet = on_this_machine(&snippet, port, files.path())
            .replace("127.0.0.1:8080", latchet.http.address())
            .replace("127.0.0.1:3000", &address);
        Self {
            latchet,
            port,
            script: snippets(PAGE, "js")[number].clone(),
            _running: gateway.start(&snippet, port),
            _service: service,
            _files: files,
        }
    }

    /// Returns a script for Chromium, to which every host is this machine.
    fn browser(&self, script: &str) -> Command {
        let mut command = browser_script(script, "https://app.example.org");
        command
            .env("SCRIPT", &self.script)
            .env("RULES", format!("MAP *:443 127.0.0.1:{}", self.port));
        command
    }
}

/// Returns a backend with the settings of the `number`th shell snippet.
pub(crate) fn settings(number: usize) -> Backend {
    let lines = snippets(PAGE, "sh")[number].clone();
    let exports = lines
        .lines()
        .filter_map(|line| line.strip_prefix("export "));
    let pairs: Vec<_> = exports.filter_map(|pair| pair.split_once('=')).collect();
    assert!(pairs.len() >= 2, "{lines}");
    pairs
        .iter()
        .fold(Backend::sqlite(), |backend, (name, value)| {
            backend.with(name, value)
        })
}

/// Puts certificates, files and a port of this machine in place of those that a reader has.
fn on_this_machine(snippet: &str, port: u16, files: &Path) -> String {
    let certificates = root().join("src/serve/testdata");
    let certificate = certificates.join("localhost.cert.pem");
    let key = certificates.join("localhost.key.pem");
    let host = |name: &str| format!("https://{name}:{port} {{\n\ttls internal");
    // Caddy answers hosts that it knows, nginx all.
    let others = format!("https://app.example.net:{port}, https://evil.example.org:{port}, ");
    snippet
        .replace("/etc/ssl/example.org.pem", certificate.to_str().unwrap())
        .replace("/etc/ssl/example.org.key", key.to_str().unwrap())
        .replace("/srv/app", files.to_str().unwrap())
        .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;"))
        .replace("app.example.org {", &(others + &host("app.example.org")))
        .replace("auth.example.org {", &host("auth.example.org"))
}

async fn on_one_origin_a_page_stays_signed_in(gateway: Gateway) {
    let layout = Layout::start(gateway, 0, settings(0)).await;
    // Past the proxy, from an address that Latchet trusts.
    let body = json!({"username": ADMIN.name, "password": ADMIN.password, "label": "past"});
    let past = layout.latchet.http.post("/v1/login").json(&body);
    let past = past.header("x-forwarded-for", "203.0.113.1").send().await;
    past.expect(200);

    assert_passes_alone(&mut layout.browser("one_origin.mjs"));
}

async fn a_sibling_stays_signed_in_while_a_tab_is_open_and_another_site_does_not(gateway: Gateway) {
    // Listing a site does not make its cookies travel.
    let backend = settings(1);
    let listed = backend.settings()["LATCHET_ALLOWED_ORIGINS"].clone() + ",https://app.example.net";
    let backend = backend.with("LATCHET_ALLOWED_ORIGINS", &listed);
    let layout = Layout::start(gateway, 1, backend).await;

    assert_passes_alone(&mut layout.browser("sites.mjs"));
}
