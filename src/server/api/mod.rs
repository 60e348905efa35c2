//! HTTP: one file per noun. Handlers read what was sent, call [`App`] and write down its answer;
//! they decide nothing.

use poem::endpoint::{BoxEndpoint, DynEndpoint};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response, Result, Route};
use poem_openapi::{OpenApiService, Tags};

use crate::guard::Guards;
use crate::server::App;
use crate::server::serve::Lifecycle;
use crate::server::web::CHANGE_PASSWORD;

mod answer;
mod basic;
mod caller;
mod cookies;
mod cors;
mod device;
mod events;
mod first_party;
mod flask_jwt;
mod health;
mod idempotency;
mod input;
mod keys;
mod login;
mod me;
mod methods;
mod oauth;
mod origin;
mod page;
mod request_tokens;
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

/// Every address of a server: operations, and pages beside them.
///
/// Not one router, in which the operations were nested: that would match every request twice, and take its
/// address apart and put it together again in between.
pub(super) struct Addresses {
    operations: BoxEndpoint<'static>,
    guards: Guards,
    pages: BoxEndpoint<'static>,
}

impl Addresses {
    /// Adds every operation to `pages`, and what is in no API document where the settings ask for it.
    pub(super) fn new(pages: Route, app: &App, lifecycle: Lifecycle) -> Self {
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
        let pages = if app.config.compat_flask_jwt {
            pages.at(flask_jwt::PATH, flask_jwt::FlaskJwtLogin(app.clone()))
        } else {
            pages
        };
        Self {
            operations: service.into_endpoint(),
            guards: app.guards.clone(),
            pages: pages.boxed(),
        }
    }
}

impl Endpoint for Addresses {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let endpoint = if is_place_of_operations(request.uri().path()) {
            request.set_data(self.guards.clone());
            &self.operations
        } else {
            &self.pages
        };
        DynEndpoint::call(&**endpoint, request)
    }
}

fn is_place_of_operations(path: &str) -> bool {
    path != CHANGE_PASSWORD
        && PLACES.iter().any(|place| {
            let below = path.strip_prefix(place);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
}

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApi;

    use super::*;

    #[test]
    fn every_operation_lives_where_operations_do_and_nothing_beside_them() {
        let paths = Api::meta().into_iter().flat_map(|api| api.paths);
        for path in paths {
            assert!(is_place_of_operations(&path.path), "{}", path.path);
        }
        for path in [
            "/",
            "/docs",
            "/v1x",
            "/v",
            "/livezz",
            "/account/v1",
            "*",
            "/auth",
            "/.well-known/change-password",
        ] {
            assert!(!is_place_of_operations(path), "{path}");
        }
    }
}
