//! Pages: static files, clients of the JSON API like any other. Knows nothing of users or tokens.
//!
//! Everything is in the binary. What is large was compressed beforehand and is inflated only for a
//! client that cannot take gzip.

use poem::http::HeaderValue;
use poem::http::StatusCode;
use poem::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, LOCATION};
use poem::{IntoResponse, Response, Route, endpoint::make_sync, get};

use asset::{Asset, Cache};

pub(super) use asset::names_tag;

mod asset;

/// Scripts and sheets come from this server alone, none of them inline. `data:` is for the icons in
/// Swagger UI's sheet.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const SHEET: &str = "text/css; charset=utf-8";

/// The client for pages: `latchet-client` as `web/client/build.mjs` makes it.
const CLIENT: &str = include_str!("../../../web/client/dist/latchet.js");

/// The client under a path that changes with it, which browsers may keep.
const CLIENT_OF_THIS_VERSION: &str = concat!("/client/", env!("CARGO_PKG_VERSION"), "/latchet.js");

/// Adds the pages, the client for pages of others and the API document to `route`.
pub(super) fn mount(route: Route, openapi_json: &str, openapi_yaml: &str) -> Route {
    let bundle = include_bytes!("vendor/swagger-ui-5.35.0/swagger-ui-bundle.js.gz");
    let sheet = include_bytes!("vendor/swagger-ui-5.35.0/swagger-ui.css.gz");
    let vendored = [
        (
            "/docs/swagger-ui-5.35.0/swagger-ui-bundle.js",
            SCRIPT,
            bundle.as_slice(),
        ),
        (
            "/docs/swagger-ui-5.35.0/swagger-ui.css",
            SHEET,
            sheet.as_slice(),
        ),
    ];
    let own = [
        ("/docs/docs.js", SCRIPT, include_str!("docs.js")),
        ("/docs/docs.css", SHEET, include_str!("docs.css")),
        ("/setup/setup.js", SCRIPT, include_str!("setup.js")),
        ("/setup/setup.css", SHEET, include_str!("setup.css")),
        ("/openapi.json", "application/json", openapi_json),
        ("/openapi.yaml", "application/yaml", openapi_yaml),
    ];
    let route = route
        .at("/", get(make_sync(|_| redirect("/docs"))))
        .at("/docs", get(page(include_str!("docs.html"))))
        .at("/setup", get(page(include_str!("setup.html"))))
        .at("/client/latchet.js", get(client()))
        .at(CLIENT_OF_THIS_VERSION, get(client().forever()));
    let route = vendored
        .into_iter()
        .fold(route, |route, (path, content_type, file)| {
            route.at(
                path,
                get(Asset::gzipped(content_type, file, Cache::Forever)),
            )
        });
    own.into_iter()
        .fold(route, |route, (path, content_type, text)| {
            route.at(path, get(Asset::text(content_type, text)))
        })
}

fn page(html: &'static str) -> Asset {
    Asset::text("text/html; charset=utf-8", html).with_header(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    )
}

/// Pages of every origin may import it: it is public, and a script module is fetched by CORS.
fn client() -> Asset {
    Asset::text(SCRIPT, CLIENT)
        .with_header(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
}

fn redirect(to: &'static str) -> Response {
    StatusCode::FOUND.with_header(LOCATION, to).into_response()
}

#[cfg(test)]
mod tests {
    use poem::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
    use poem::{Endpoint, Request};

    use super::*;

    const PAGES: [(&str, &str); 2] = [
        ("/docs", include_str!("docs.html")),
        ("/setup", include_str!("setup.html")),
    ];

    #[tokio::test]
    async fn every_file_that_a_page_names_is_served() {
        let pages = mount(Route::new(), "{}", "{}");
        let ask = |path: &str| pages.get_response(Request::builder().uri_str(path).finish());

        for (page, html) in PAGES {
            let files = html.split('"').filter(|text| text.starts_with('/'));
            for path in files.chain([page]) {
                let file = ask(path).await;
                assert_eq!(file.status(), StatusCode::OK, "{path}");
                assert!(
                    !file.into_body().into_vec().await.unwrap().is_empty(),
                    "{path}"
                );
            }
            assert_eq!(
                ask(page).await.headers()[CONTENT_SECURITY_POLICY],
                PAGE_POLICY
            );
        }
    }

    #[tokio::test]
    async fn the_client_may_be_imported_by_every_page_and_kept_by_its_version() {
        let pages = mount(Route::new(), "{}", "{}");

        for (path, kept) in [
            ("/client/latchet.js", "no-cache"),
            (
                CLIENT_OF_THIS_VERSION,
                "public, max-age=31536000, immutable",
            ),
        ] {
            let request = Request::builder().uri_str(path).finish();
            let file = pages.get_response(request).await;

            let header = |name| file.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(file.status(), StatusCode::OK, "{path}");
            assert_eq!(header(CACHE_CONTROL), kept);
            assert_eq!(header(CONTENT_TYPE), SCRIPT);
            assert_eq!(header(ACCESS_CONTROL_ALLOW_ORIGIN), "*");
            assert!(header(ETAG).len() > 10);
            assert_eq!(file.into_body().into_string().await.unwrap(), CLIENT);
        }
    }

    #[test]
    fn no_script_or_style_is_inline() {
        for (page, html) in PAGES {
            assert!(
                !html.contains("<style") && !html.contains("style="),
                "{page}"
            );
            assert_eq!(
                html.matches("<script").count(),
                html.matches("<script src=").count()
            );
        }
    }
}
