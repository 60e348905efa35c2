//! The web pages: static files that use the JSON API like any other client. This module handles no users
//! and no tokens.
//!
//! All files are embedded in the binary. Large ones are compressed in advance, and are decompressed only for
//! clients that do not accept gzip.

use poem::http::HeaderValue;
use poem::http::StatusCode;
use poem::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, LOCATION};
use poem::{IntoResponse, Request, Response, Route, RouteMethod, endpoint::make_sync, get};

use super::config::{CookiePrefix, WebOrigin};
use account_page::AccountPage;
use asset::{Asset, CachePolicy};

pub(super) use asset::matches_etag;

mod account_page;
mod asset;
#[cfg(test)]
mod translations;

/// Content policy of the pages: scripts and style sheets come from this server only and are never inline,
/// and no text becomes markup or a script. Forms are sent by scripts only: without scripts, no password can
/// end up in a URL.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Content policy of `/docs`: Swagger UI creates markup from texts, and its style sheet has icons as `data:`
/// URLs.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Path of the page where users sign in and see their account.
pub(super) const ACCOUNT: &str = "/account";

/// Path at which browsers and password managers look for the page that changes a password
/// (<https://www.w3.org/TR/change-password-url/>).
pub(super) const CHANGE_PASSWORD: &str = "/.well-known/change-password";

const HTML_TYPE: &str = "text/html; charset=utf-8";
const ICON_TYPE: &str = "image/svg+xml";
const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const STYLE_SHEET_TYPE: &str = "text/css; charset=utf-8";

/// The JavaScript client, `latchet-client`, built by `web/client/build.mjs`.
const CLIENT_SCRIPT: &str = include_str!("../../web/client/dist/latchet.js");

/// The script of `/docs`.
const DOCS_SCRIPT: &str = include_str!("docs.js");

/// Path of the client that contains its version, so that browsers may cache it forever.
const VERSIONED_CLIENT_PATH: &str = concat!("/client/", env!("CARGO_PKG_VERSION"), "/latchet.js");

/// Lists files of this folder with the paths at which they are served.
macro_rules! files {
    ($($path:literal: $content_type:expr),+ $(,)?) => {
        [$((concat!("/", $path), $content_type, include_str!($path))),+]
    };
}

/// Files of the pages: path, content type, text.
const FILES: [(&str, &str, &str); 25] = files![
    "pages/icon.svg": ICON_TYPE,
    "pages/pages.css": STYLE_SHEET_TYPE,
    "pages/pages.js": SCRIPT_TYPE,
    "pages/session.js": SCRIPT_TYPE,
    "pages/link.js": SCRIPT_TYPE,
    "pages/changes.js": SCRIPT_TYPE,
    "pages/options.js": SCRIPT_TYPE,
    "pages/language.js": SCRIPT_TYPE,
    "pages/de.js": SCRIPT_TYPE,
    "account/account.js": SCRIPT_TYPE,
    "account/emails.js": SCRIPT_TYPE,
    "admin/admin.js": SCRIPT_TYPE,
    "admin/table.js": SCRIPT_TYPE,
    "admin/users.js": SCRIPT_TYPE,
    "admin/user.js": SCRIPT_TYPE,
    "admin/sessions.js": SCRIPT_TYPE,
    "admin/links.js": SCRIPT_TYPE,
    "admin/keys.js": SCRIPT_TYPE,
    "admin/events.js": SCRIPT_TYPE,
    "admin/health.js": SCRIPT_TYPE,
    "setup/setup.js": SCRIPT_TYPE,
    "reset/reset.js": SCRIPT_TYPE,
    "verify/verify.js": SCRIPT_TYPE,
    "forgot/forgot.js": SCRIPT_TYPE,
    "register/register.js": SCRIPT_TYPE,
];

/// The pages: path, content policy, text.
const PAGES: [(&str, &str, &str); 8] = [
    (ACCOUNT, PAGE_POLICY, include_str!("account/account.html")),
    ("/admin", PAGE_POLICY, include_str!("admin/admin.html")),
    ("/setup", PAGE_POLICY, include_str!("setup/setup.html")),
    ("/reset", PAGE_POLICY, include_str!("reset/reset.html")),
    ("/verify", PAGE_POLICY, include_str!("verify/verify.html")),
    ("/forgot", PAGE_POLICY, include_str!("forgot/forgot.html")),
    (
        "/register",
        PAGE_POLICY,
        include_str!("register/register.html"),
    ),
    ("/docs", DOCS_POLICY, include_str!("docs.html")),
];

/// Adds the pages, the JavaScript client and the API document to `route`. The cookie prefix is written into
/// the scripts that read a cookie. After the sign-in, the account page may continue on `sites`.
pub(super) fn mount(
    route: Route,
    openapi_json: &str,
    openapi_yaml: &str,
    cookie_prefix: &CookiePrefix,
    sites: &[WebOrigin],
) -> Route {
    let bundle = include_bytes!("vendor/swagger-ui-5.35.0/swagger-ui-bundle.js.gz");
    let sheet = include_bytes!("vendor/swagger-ui-5.35.0/swagger-ui.css.gz");
    let vendored = [
        (
            "/docs/swagger-ui-5.35.0/swagger-ui-bundle.js",
            SCRIPT_TYPE,
            bundle.as_slice(),
        ),
        (
            "/docs/swagger-ui-5.35.0/swagger-ui.css",
            STYLE_SHEET_TYPE,
            sheet.as_slice(),
        ),
    ];
    let docs_script = with_cookie_prefix(DOCS_SCRIPT, '\'', cookie_prefix);
    let documents = [
        ("/docs/docs.js", SCRIPT_TYPE, docs_script.as_str()),
        ("/docs/docs.css", STYLE_SHEET_TYPE, include_str!("docs.css")),
        ("/openapi.json", "application/json", openapi_json),
        ("/openapi.yaml", "application/yaml", openapi_yaml),
    ];
    let route = route
        .at("/", get(make_sync(|_| redirect(ACCOUNT))))
        .at(CHANGE_PASSWORD, get(make_sync(|_| redirect(ACCOUNT))))
        .at("/client/latchet.js", get(client_asset(cookie_prefix)))
        .at(
            VERSIONED_CLIENT_PATH,
            get(versioned_client_asset(cookie_prefix)),
        );
    let route = PAGES
        .into_iter()
        .fold(route, |route, (path, policy, html)| {
            let with_slash = format!("{path}/");
            let page = page_method(path, policy, html, sites);
            route.at(path, page).at(
                with_slash,
                get(make_sync(move |request| {
                    redirect_without_slash(path, &request)
                })),
            )
        });
    let route = vendored
        .into_iter()
        .fold(route, |route, (path, content_type, file)| {
            route.at(
                path,
                get(Asset::gzipped(content_type, file, CachePolicy::Forever)),
            )
        });
    FILES
        .into_iter()
        .chain(documents)
        .fold(route, |route, (path, content_type, text)| {
            route.at(path, get(Asset::text(content_type, text)))
        })
}

fn page_method(
    path: &str,
    policy: &'static str,
    html: &'static str,
    sites: &[WebOrigin],
) -> RouteMethod {
    if path == ACCOUNT {
        get(AccountPage::new(html, sites))
    } else {
        get(page(policy, html))
    }
}

fn page(policy: &'static str, html: &str) -> Asset {
    Asset::text(HTML_TYPE, html)
        .with_header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))
}

/// Returns the JavaScript client. Pages of every origin may import it: it is public, and browsers fetch
/// script modules with CORS.
fn client_asset(cookie_prefix: &CookiePrefix) -> Asset {
    Asset::text(
        SCRIPT_TYPE,
        with_cookie_prefix(CLIENT_SCRIPT, '"', cookie_prefix),
    )
    .with_header(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
}

/// Returns the JavaScript client for its versioned path. Browsers may cache it forever, unless the cookie
/// prefix is custom: then a setting can change the file.
fn versioned_client_asset(cookie_prefix: &CookiePrefix) -> Asset {
    let client = client_asset(cookie_prefix);
    if cookie_prefix.as_str() == CookiePrefix::DEFAULT {
        client.forever()
    } else {
        client
    }
}

/// Replaces the one string literal `latchet` in a script with the cookie prefix. The prefix has no character
/// that needs escaping in a literal.
fn with_cookie_prefix(script: &str, quote: char, prefix: &CookiePrefix) -> String {
    let text = |prefix: &str| format!("{quote}{prefix}{quote}");
    script.replacen(&text(CookiePrefix::DEFAULT), &text(prefix.as_str()), 1)
}

/// Redirects a page path with a trailing slash to the page. Browsers keep the fragment.
fn redirect_without_slash(path: &str, request: &Request) -> Response {
    let query = request.uri().query();
    let to = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    StatusCode::PERMANENT_REDIRECT
        .with_header(LOCATION, to)
        .into_response()
}

fn redirect(to: &'static str) -> Response {
    StatusCode::FOUND.with_header(LOCATION, to).into_response()
}

#[cfg(test)]
mod tests {
    use poem::Endpoint;
    use poem::http::header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG,
    };

    use super::*;

    fn default_prefix() -> CookiePrefix {
        CookiePrefix::DEFAULT.parse().unwrap()
    }

    #[tokio::test]
    async fn the_cookie_prefix_is_written_into_the_scripts() {
        assert_eq!(CLIENT_SCRIPT.matches(r#""latchet""#).count(), 1);
        assert_eq!(DOCS_SCRIPT.matches("'latchet'").count(), 1);
        let prefix = "shop-1".parse().unwrap();
        let pages = mount(Route::new(), "{}", "{}", &prefix, &[]);

        for (path, text) in [
            ("/client/latchet.js", r#""shop-1""#),
            (VERSIONED_CLIENT_PATH, r#""shop-1""#),
            ("/docs/docs.js", "'shop-1'"),
        ] {
            let request = Request::builder().uri_str(path).finish();
            let file = pages.get_response(request).await;

            assert_eq!(file.headers()[CACHE_CONTROL], "no-cache", "{path}");
            let script = file.into_body().into_string().await.unwrap();
            assert_eq!(script.matches(text).count(), 1, "{path}");
        }
    }

    #[tokio::test]
    async fn a_trailing_slash_redirects_to_the_page() {
        let pages = mount(Route::new(), "{}", "{}", &default_prefix(), &[]);

        for (page, ..) in PAGES {
            for query in ["", "?from=https%3A%2F%2Fapp.example.org"] {
                let request = Request::builder().uri_str(format!("{page}/{query}"));
                let response = pages.get_response(request.finish()).await;

                assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT, "{page}/");
                assert_eq!(response.headers()[LOCATION], format!("{page}{query}"));
            }
        }
    }

    #[tokio::test]
    async fn every_file_that_a_page_names_is_served() {
        let pages = mount(Route::new(), "{}", "{}", &default_prefix(), &[]);
        let fetch = |path: &str| pages.get_response(Request::builder().uri_str(path).finish());

        for (page, policy, html) in PAGES {
            let files = html.split('"').filter(|text| text.starts_with('/'));
            for path in files.chain([page]) {
                let file = fetch(path).await;
                assert_eq!(file.status(), StatusCode::OK, "{path}");
                assert!(
                    !file.into_body().into_vec().await.unwrap().is_empty(),
                    "{path}"
                );
            }
            assert_eq!(fetch(page).await.headers()[CONTENT_SECURITY_POLICY], policy);
        }
    }

    #[tokio::test]
    async fn the_client_is_public_and_its_versioned_path_is_cached() {
        let pages = mount(Route::new(), "{}", "{}", &default_prefix(), &[]);

        for (path, kept) in [
            ("/client/latchet.js", "no-cache"),
            (VERSIONED_CLIENT_PATH, "public, max-age=31536000, immutable"),
        ] {
            let request = Request::builder().uri_str(path).finish();
            let file = pages.get_response(request).await;

            let header = |name| file.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(file.status(), StatusCode::OK, "{path}");
            assert_eq!(header(CACHE_CONTROL), kept);
            assert_eq!(header(CONTENT_TYPE), SCRIPT_TYPE);
            assert_eq!(header(ACCESS_CONTROL_ALLOW_ORIGIN), "*");
            assert!(header(ETAG).len() > 10);
            assert_eq!(file.into_body().into_string().await.unwrap(), CLIENT_SCRIPT);
        }
    }

    #[test]
    fn no_script_or_style_is_inline() {
        for (page, _, html) in PAGES {
            assert!(
                !html.contains("<style") && !html.contains("style="),
                "{page}"
            );
            let scripts = html.split("<script").skip(1);
            for script in scripts {
                let (attributes, rest) = script.split_once('>').unwrap();
                assert!(attributes.contains(" src=\"/"), "{page}: {attributes}");
                assert!(rest.starts_with("</script>"), "{page}: {rest}");
            }
        }
    }

    #[test]
    fn scripts_create_no_markup_from_texts() {
        for (path, _, text) in FILES {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
            ] {
                assert!(!text.contains(way), "{path}: {way}");
            }
        }
    }

    #[tokio::test]
    async fn the_pages_and_the_client_are_small() {
        let pages = mount(Route::new(), "{}", "{}", &default_prefix(), &[]);
        let small_pages = PAGES.into_iter().filter(|(path, ..)| *path != "/docs");
        let paths = small_pages
            .map(|(path, ..)| path)
            .chain(FILES.map(|(path, ..)| path))
            .chain(["/client/latchet.js"]);

        let mut bytes = 0;
        for path in paths {
            let request = Request::builder().uri_str(path);
            let request = request.header(ACCEPT_ENCODING, "gzip").finish();
            let file = pages.get_response(request).await;
            assert_eq!(file.headers()[CONTENT_ENCODING], "gzip", "{path}");
            bytes += file.into_body().into_vec().await.unwrap().len();
        }

        assert!(bytes <= 50_000, "{bytes} bytes");
        assert!(bytes > 10_000, "{bytes} bytes: a file is missing");
    }
}
