//! The HTTP API: one file per resource. Handlers parse the request, call [`App`] and write the response;
//! they make no decisions.

use std::collections::HashSet;

use futures_util::future::{Either, ready};
use poem::endpoint::{BoxEndpoint, DynEndpoint};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request, Response, Result, Route};
use poem_openapi::{OpenApiService, Tags};

use crate::App;
use crate::error::ApiError;
use crate::serve::Lifecycle;
use crate::web::CHANGE_PASSWORD;
use latchet_guard::Guards;

mod account_export;
mod allow_header;
mod basic_auth;
mod client;
mod cookies;
mod cors;
mod email_addresses;
mod first_party;
mod flask_jwt_login;
mod forward_auth;
mod health;
mod idempotency;
mod input;
mod login;
mod oauth;
mod origin;
mod own_account;
mod pagination;
mod password_reset;
mod refresh_logout;
mod responses;
mod secret_field;
mod security_events;
mod session_administration;
mod sign_in_address;
mod sign_in_options;
mod signing_keys;
pub mod spec;
mod token_profiles;
mod user_or_service;
mod users;
mod well_known;

pub use allow_header::AllowHeaderLayer;
pub use cors::Cors;
pub(crate) use security_events::event_json;

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

/// Declares the resources, each once: the type of the API, its value, and the additions to its document.
macro_rules! resources {
    ($($module:ident::$resource:ident),* $(,)?) => {
        type Api = ($($module::$resource,)* health::HealthApi);

        fn api(app: &App, lifecycle: Lifecycle) -> Api {
            let health = health::HealthApi { app: app.clone(), lifecycle };
            ($($module::$resource(app.clone()),)* health)
        }

        fn operation_specs() -> Vec<spec::OperationSpec> {
            [$($module::operation_specs(),)* health::operation_specs()].concat()
        }
    };
}

resources! {
    login::LoginApi,
    refresh_logout::RefreshLogoutApi,
    forward_auth::ForwardAuthApi,
    own_account::OwnAccountApi,
    email_addresses::EmailAddressesApi,
    account_export::AccountExportApi,
    sign_in_options::SignInOptionsApi,
    users::UsersApi,
    password_reset::PasswordResetApi,
    session_administration::SessionAdministrationApi,
    signing_keys::SigningKeysApi,
    security_events::SecurityEventsApi,
    oauth::OauthApi,
    token_profiles::TokenProfilesApi,
    well_known::WellKnownApi,
}

/// Path prefixes of the operations; all other paths are for pages.
const API_PREFIXES: [&str; 5] = ["/v1", "/oauth", "/.well-known", "/livez", "/readyz"];

/// Router for all paths of a server: operations and pages.
///
/// The operations are not nested in the router of the pages: that would match every request twice, and
/// rewrite its URI in between.
pub(super) struct ApiRouter {
    operations: BoxEndpoint<'static>,
    guards: Guards,
    pages: BoxEndpoint<'static>,
}

impl ApiRouter {
    /// Adds every operation to `pages`, and the login of Flask-JWT if the settings enable it.
    pub(super) fn new(pages: Route, app: &App, lifecycle: Lifecycle) -> Self {
        let service =
            OpenApiService::new(api(app, lifecycle), "Latchet", env!("CARGO_PKG_VERSION"));
        let pages = if app.config.compat_flask_jwt {
            pages.at(
                flask_jwt_login::LOGIN_PATH,
                flask_jwt_login::FlaskJwtLogin(app.clone()),
            )
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

impl Endpoint for ApiRouter {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let endpoint = if is_api_path(request.uri().path()) {
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
    const MAX_NAME_LENGTH: usize = 64;
    let mut known = HashSet::new();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let repeated = names.find(|name| !known.insert(name.clone()))?;
    Some(repeated.chars().take(MAX_NAME_LENGTH).collect())
}

fn is_api_path(path: &str) -> bool {
    path != CHANGE_PASSWORD
        && API_PREFIXES.iter().any(|prefix| {
            let below = path.strip_prefix(prefix);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
}

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApi;

    use super::*;

    #[test]
    fn a_repeated_query_parameter_is_found() {
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
    fn the_api_prefixes_cover_all_operations_and_no_page() {
        let paths = Api::meta().into_iter().flat_map(|api| api.paths);
        for path in paths {
            assert!(is_api_path(&path.path), "{}", path.path);
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
            assert!(!is_api_path(path), "{path}");
        }
    }
}
