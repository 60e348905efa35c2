//! Latchet, an auth server: sessions whose refresh token has one successor, and a logout that takes effect at
//! the next request.
//!
//! The program `latchet` is this library with a command line ([`cli`]). A program of your own mounts the
//! server beside its routes: [`App::open`] and [`routes`]. Services that only check tokens use the crate
//! [`latchet_guard`].
//!
//! | topic | module |
//! |---|---|
//! | HTTP: requests, responses, the API document | [`api`], [`middleware`], [`serve`] |
//! | decisions | [`sessions`], [`accounts`], [`rotation`] |
//! | SQL | [`store`] |
//! | revocation | [`denylist`] |
//! | signing keys | [`keyring`] |
//! | settings | [`config`] |
//!
//! [`api`] implements HTTP and calls the parts of an [`App`], such as [`Sessions`](sessions::Sessions) and
//! [`Accounts`](accounts::Accounts), which decide. Their SQL statements are in [`store`].

use poem::{Endpoint, EndpointExt, Route};

use middleware::RequestLayer;
use serve::Lifecycle;
use site_address::known_sites;

pub mod accounts;
pub mod addresses;
pub mod api;
mod app;
mod background_tasks;
mod backup;
pub mod cli;
mod client_address;
pub mod clock_check;
pub mod clock_skew;
pub mod config;
pub mod database_check;
pub mod denylist;
pub mod derived_keys;
mod end_everything;
pub mod error;
mod header_list;
pub mod ids;
mod installation;
pub mod introspection;
pub mod keyring;
pub mod locale;
pub mod logging;
pub mod mail;
pub mod mailed_secrets;
pub mod mailer;
pub mod metrics;
pub mod middleware;
pub mod names;
pub mod password;
pub mod password_reset;
mod password_verification;
pub mod problem_codes;
pub mod queue_level;
mod readiness;
pub mod refresh_token;
mod refused_attempts;
pub mod registration;
pub mod root_secret_rotation;
pub mod rotation;
pub mod security_events;
pub mod serve;
pub mod services;
pub mod sessions;
mod site_address;
pub mod store;
#[cfg(test)]
mod test_app;
mod text_file;
pub mod third_party_tokens;
pub mod throttle;
pub mod token_issuer;
pub mod token_lifetimes;
mod web;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/tutorials/protect-a-route.md")]
struct ProtectARoute;

pub use app::{App, AppParts};
pub use installation::OpenError;

/// Returns all routes of a server; `lifecycle` announces its end.
pub fn routes(app: &App, lifecycle: Lifecycle) -> impl Endpoint + 'static {
    let document = api::spec::document();
    let prefix = &app.config.cookie_prefix;
    let sites: Vec<_> = known_sites(&app.config).cloned().collect();
    let pages = web::mount(
        Route::new(),
        &document.json(),
        &document.yaml(),
        prefix,
        &sites,
    );
    api::ApiRouter::new(pages, app, lifecycle.clone())
        .with(api::AllowHeaderLayer)
        .with(RequestLayer::new(&app.config, lifecycle).with_metrics(app.metrics.clone()))
        // Outermost: a page of another origin may read refusals too.
        .with(api::Cors::new(&app.config.allowed_origins))
}
