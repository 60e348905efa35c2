//! The `Allow` header of 405 responses, which RFC 9110 (15.5.6) requires and poem's router does not send.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use poem::error::MethodNotAllowedError;
use poem::http::{HeaderValue, Method};
use poem::{Endpoint, Error, Middleware, Request, Result};
use poem_openapi::OpenApi;

use super::Api;
use crate::middleware::AllowHeader;

/// Middleware that adds [`AllowHeader`] to the error for an unsupported method.
#[derive(Clone, Copy, Debug)]
pub struct AllowHeaderLayer;

impl<E: Endpoint> Middleware<E> for AllowHeaderLayer {
    type Output = AllowHeaderEndpoint<E>;

    fn transform(&self, inner: E) -> AllowHeaderEndpoint<E> {
        AllowHeaderEndpoint {
            inner,
            documented: documented_methods(),
        }
    }
}

/// See [`AllowHeaderLayer`].
#[derive(Debug)]
pub struct AllowHeaderEndpoint<E> {
    inner: E,
    /// Path templates, with the methods that they support.
    documented: Vec<(String, HeaderValue)>,
}

impl<E: Endpoint> Endpoint for AllowHeaderEndpoint<E> {
    type Output = E::Output;

    fn call(&self, request: Request) -> impl Future<Output = Result<E::Output>> + Send {
        let path = request.uri().path().to_owned();
        let result = self.inner.call(request);
        result.map(move |result| result.map_err(|error| self.add_allow_header(error, &path)))
    }
}

impl<E> AllowHeaderEndpoint<E> {
    fn add_allow_header(&self, mut error: Error, path: &str) -> Error {
        if error.is::<MethodNotAllowedError>() && error.data::<AllowHeader>().is_none() {
            let found = self
                .documented
                .iter()
                .find(|(template, _)| matches_template(template, path));
            // A path that is no operation, and names no methods itself, is a page.
            let allowed = found.map_or(HeaderValue::from_static("GET, HEAD"), |(_, allowed)| {
                allowed.clone()
            });
            error.set_data(AllowHeader(allowed));
        }
        error
    }
}

fn documented_methods() -> Vec<(String, HeaderValue)> {
    let mut methods = BTreeMap::<String, Vec<String>>::new();
    for path in Api::meta().into_iter().flat_map(|api| api.paths) {
        let known = methods.entry(path.path).or_default();
        for operation in path.operations {
            known.push(operation.method.to_string());
            if operation.method == Method::GET {
                known.push(Method::HEAD.to_string());
            }
        }
    }
    methods
        .into_iter()
        .filter_map(|(path, methods)| Some((path, methods.join(", ").parse().ok()?)))
        .collect()
}

fn matches_template(template: &str, path: &str) -> bool {
    let mut given = path.split('/');
    let fits = template.split('/').all(|wanted| {
        given
            .next()
            .is_some_and(|part| wanted == part || wanted.starts_with('{'))
    });
    fits && given.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_allows_the_methods_of_its_operations() {
        let documented = documented_methods();
        let allowed = |path: &str| {
            let found = documented
                .iter()
                .find(|(template, _)| matches_template(template, path));
            found.map(|(_, methods)| methods.to_str().unwrap())
        };

        assert_eq!(allowed("/v1/users"), Some("GET, HEAD, POST"));
        assert_eq!(allowed("/v1/users/x"), Some("GET, HEAD, DELETE"));
        assert_eq!(allowed("/v1/users/x/roles"), Some("PUT"));
        assert_eq!(allowed("/v1/me/sessions/x"), Some("DELETE"));
        assert_eq!(allowed("/v1/users/x/y/z"), None);
        assert_eq!(allowed("/docs"), None);
    }
}
