//! The pages as users see them, in Chromium.
//!
//! With `SCREENSHOTS` naming a folder, each state of each page is drawn there at 320, 768 and 1280
//! pixels in both colour schemes.

use crate::support::tool::{assert_passes_alone, browser_script};
use crate::support::{Backend, port, server::Replica};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_and_manages_the_account() {
    let backend = Backend::sqlite().with("LATCHET_THROTTLE_ACCOUNT", "6/15m");
    let server = Replica::start(&backend).await;

    assert_passes_alone(&mut browser_script("account.mjs", server.http.base()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setup_link_creates_the_first_administrator() {
    let backend = Backend::sqlite()
        .without("LATCHET_BOOTSTRAP_ADMIN")
        .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE");
    let server = Replica::start(&backend).await;
    let link = server.setup_link();

    assert_passes_alone(browser_script("setup.mjs", server.http.base()).env("SETUP_LINK", link));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_manages_users_sessions_and_keys() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;

    assert_passes_alone(&mut browser_script("admin.mjs", server.http.base()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_create_accounts_in_english_and_german() {
    let backend = Backend::sqlite().with("LATCHET_REGISTRATION", "open");
    let server = Replica::start(&backend).await;
    let mails = format!("{}/mails", backend.settings()["LATCHET_DATA_DIR"]);

    assert_passes_alone(browser_script("accounts.mjs", server.http.base()).env("MAILS", mails));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_confirms_addresses_and_resets_a_forgotten_password() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let mails = format!("{}/mails", backend.settings()["LATCHET_DATA_DIR"]);

    assert_passes_alone(browser_script("addresses.mjs", server.http.base()).env("MAILS", mails));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_is_not_the_sessions_keeps_nobody_out() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;

    assert_passes_alone(&mut browser_script(
        "spoiled_cookie.mjs",
        server.http.base(),
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_find_cookies_with_a_custom_prefix() {
    let backend = Backend::sqlite().with("LATCHET_COOKIE_PREFIX", "shop-1");
    let server = Replica::start(&backend).await;

    assert_passes_alone(&mut browser_script("prefix.mjs", server.http.base()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_sign_in_the_browser_returns_to_allowed_addresses_only() {
    let site = format!("http://127.0.0.1:{}", port::free());
    let backend = Backend::sqlite().with("LATCHET_ALLOWED_ORIGINS", &site);
    let server = Replica::start(&backend).await;

    assert_passes_alone(browser_script("return.mjs", server.http.base()).env("SITE", site));
}
