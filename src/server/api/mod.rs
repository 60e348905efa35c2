//! The HTTP API: one file per resource. Handlers parse the request, call [`App`] and write the response;
//! they make no decisions.

use std::collections::HashSet;

use futures_util::future::{Either, ready};
use poem::endpoint::{BoxEndpoint, DynEndpoint};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response, Result, Route};
use poem_openapi::{OpenApiService, Tags};

use crate::guard::Guards;
use crate::server::App;
use crate::server::error::ApiError;
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
    /// The caller's own account and sessions.
    Account,
    /// Administration of accounts.
    Users,
    /// Sessions of all users, signing keys, security events.
    Administration,
    /// Endpoints of the OAuth standards.
    #[oai(rename = "OAuth")]
    Oauth,
    /// Tokens for third parties.
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

/// Path prefixes of the operations; all other paths are for pages.
const PLACES: [&str; 5] = ["/v1", "/oauth", "/.well-known", "/livez", "/readyz"];

/// Router for all paths of a server: operations and pages.
///
/// The operations are not nested in the router of the pages: that would match every request twice, and
/// rewrite its URI in between.
pub(super) struct Addresses {
    operations: BoxEndpoint<'static>,
    guards: Guards,
    pages: BoxEndpoint<'static>,
}

impl Addresses {
    /// Adds every operation to `pages`, and the login of Flask-JWT if the settings enable it.
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
            if let Some(name) = request.uri().query().and_then(repeated_parameter) {
                let refused = ApiError::invalid_field(&name, "is given twice in the query");
                return Either::Left(ready(Err(refused.into())));
            }
            request.set_data(self.guards.clone());
            &self.operations
        } else {
            &self.pages
        };
        Either::Right(DynEndpoint::call(&**endpoint, request))
    }
}

/// Returns a repeated parameter of a query: to choose one of the two values would be a guess.
fn repeated_parameter(query: &str) -> Option<String> {
    const LONGEST_SHOWN: usize = 64;
    let mut known = HashSet::new();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let repeated = names.find(|name| !known.insert(name.clone()))?;
    Some(repeated.chars().take(LONGEST_SHOWN).collect())
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
    fn a_parameter_that_is_given_twice_is_found() {
        for (query, name) in [
            ("limit=1&limit=2", "limit"),
            ("limit=1&limit=1", "limit"),
            ("a=1&%61=2", "a"),
            ("a&b&a", "a"),
            ("after=&limit=1&after=x", "after"),
        ] {
            assert_eq!(repeated_parameter(query).as_deref(), Some(name), "{query}");
        }
        for query in ["", "a=1", "a=1&A=2", "a=b&b=a"] {
            assert_eq!(repeated_parameter(query), None, "{query}");
        }
    }

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
