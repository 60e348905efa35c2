//! `/docs` as a user sees it, in Chromium.

use crate::support::tool::assert_passes_in_browser;
use crate::support::{Backend, server::Replica};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_calls_reloads_calls_and_signs_out() {
    let backend = Backend::sqlite().with("LATCHET_ACCESS_TTL", "30s");
    let server = Replica::start(&backend).await;

    assert_passes_in_browser("docs.mjs", &backend, &server);
}
