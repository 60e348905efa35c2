//! The `Allow` header of 405 responses, which RFC 9110 (15.5.6) requires and poem's router does not send.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use poem::error::MethodNotAllowedError;
use poem::http::{HeaderValue, Method};
use poem::{Endpoint, Error, Middleware, Request, Result};
use poem_openapi::OpenApi;

use super::Api;
use crate::server::envelope::Allow;

/// Middleware that adds [`Allow`] to the error for an unsupported method.
#[derive(Clone, Copy, Debug)]
pub struct Methods;

impl<E: Endpoint> Middleware<E> for Methods {
    type Output = MethodsEndpoint<E>;

    fn transform(&self, inner: E) -> MethodsEndpoint<E> {
        MethodsEndpoint {
            inner,
            documented: documented(),
        }
    }
}

/// See [`Methods`].
#[derive(Debug)]
pub struct MethodsEndpoint<E> {
    inner: E,
    /// Path templates, with the methods that they support.
    documented: Vec<(String, HeaderValue)>,
}

impl<E: Endpoint> Endpoint for MethodsEndpoint<E> {
    type Output = E::Output;

    fn call(&self, request: Request) -> impl Future<Output = Result<E::Output>> + Send {
        let path = request.uri().path().to_owned();
        let answer = self.inner.call(request);
        answer.map(move |answer| answer.map_err(|error| self.tell(error, &path)))
    }
}

impl<E> MethodsEndpoint<E> {
    fn tell(&self, mut error: Error, path: &str) -> Error {
        if error.is::<MethodNotAllowedError>() && error.data::<Allow>().is_none() {
            let found = self
                .documented
                .iter()
                .find(|(template, _)| matches(template, path));
            // A path that is no operation, and names no methods itself, is a page.
            let allowed = found.map_or(HeaderValue::from_static("GET, HEAD"), |(_, allowed)| {
                allowed.clone()
            });
            error.set_data(Allow(allowed));
        }
        error
    }
}

fn documented() -> Vec<(String, HeaderValue)> {
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

fn matches(template: &str, path: &str) -> bool {
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
    fn a_path_has_the_methods_of_its_operations() {
        let documented = documented();
        let allowed = |path: &str| {
            let found = documented
                .iter()
                .find(|(template, _)| matches(template, path));
            found.map(|(_, methods)| methods.to_str().unwrap())
        };

        assert_eq!(allowed("/v1/users"), Some("GET, HEAD, POST"));
        assert_eq!(allowed("/v1/users/x"), Some("GET, HEAD"));
        assert_eq!(allowed("/v1/users/x/roles"), Some("PUT"));
        assert_eq!(allowed("/v1/me/sessions/x"), Some("DELETE"));
        assert_eq!(allowed("/v1/users/x/y/z"), None);
        assert_eq!(allowed("/docs"), None);
    }
}
