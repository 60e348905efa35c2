//! HTTP: one file per noun. Handlers read what was sent, call [`App`] and write down its answer;
//! they decide nothing.

use std::sync::Arc;

use poem::{IntoEndpoint, Route};
use poem_openapi::{OpenApiService, Tags};

use crate::server::App;
use crate::server::serve::Lifecycle;

mod answer;
mod basic;
mod caller;
mod cookies;
mod cors;
mod events;
mod flask_jwt;
mod health;
mod idempotency;
mod input;
mod keys;
mod login;
mod me;
mod methods;
mod oauth;
mod page;
mod reset;
mod secret;
mod session;
pub mod spec;
mod tokens;
mod user_sessions;
mod users;
mod verify;
mod wellknown;

pub use cors::Cors;
pub use methods::Methods;

/// Groups of operations.
#[derive(Tags)]
enum Tag {
    /// Log in, refresh, log out.
    Sessions,
    /// One's own account and devices.
    Account,
    /// Administration of accounts.
    Users,
    /// Sessions of all users, signing keys, security events.
    Administration,
    /// The standard endpoints.
    #[oai(rename = "OAuth")]
    Oauth,
    /// Tokens for other parties.
    Tokens,
    /// Keys, metadata and probes.
    Server,
}

type Api = (
    login::LoginApi,
    session::SessionApi,
    verify::VerifyApi,
    me::MeApi,
    users::UsersApi,
    reset::ResetApi,
    user_sessions::UserSessionsApi,
    keys::KeysApi,
    events::EventsApi,
    oauth::OauthApi,
    tokens::TokensApi,
    wellknown::WellKnownApi,
    health::HealthApi,
);

/// Where operations live; the rest of the address space is for pages.
const PLACES: [&str; 5] = ["/v1", "/oauth", "/.well-known", "/livez", "/readyz"];

/// Adds every operation to `route`.
pub(super) fn mount(route: Route, app: &App, lifecycle: Lifecycle) -> Route {
    let api: Api = (
        login::LoginApi(app.clone()),
        session::SessionApi(app.clone()),
        verify::VerifyApi(app.clone()),
        me::MeApi(app.clone()),
        users::UsersApi(app.clone()),
        reset::ResetApi(app.clone()),
        user_sessions::UserSessionsApi(app.clone()),
        keys::KeysApi(app.clone()),
        events::EventsApi(app.clone()),
        oauth::OauthApi(app.clone()),
        tokens::TokensApi(app.clone()),
        wellknown::WellKnownApi(app.clone()),
        health::HealthApi {
            app: app.clone(),
            lifecycle,
        },
    );
    let service = OpenApiService::new(api, "Latchet", env!("CARGO_PKG_VERSION"));
    let service = Arc::new(service.into_endpoint());
    let route = PLACES.iter().fold(route, |route, place| {
        route.nest_no_strip(place, Arc::clone(&service))
    });
    if app.config.compat_flask_jwt {
        return route.at(flask_jwt::PATH, flask_jwt::FlaskJwtLogin(app.clone()));
    }
    route
}
