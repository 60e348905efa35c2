//! Cookies that carry tokens: their names and attributes, reading, setting and clearing them, and the CSRF
//! check of the requests that carry them.
//!
//! [`Cookies`] is the single configuration: guards read cookies by it
//! ([`Location::Cookie`](crate::guard::Location)) and the service sets cookies by it, so that the two
//! cannot disagree. Each token has a second cookie that pages may read: they repeat its value in a
//! header, and thereby prove that the request is from them. [`Renewal`] keeps an active browser signed
//! in.
//!
//! ```
//! use latchet_guard::clock::Clock;
//! use latchet_guard::cookies::Cookies;
//! use latchet_guard::keys::{Algorithm, SigningKey};
//! use latchet_guard::token::{Claims, Issuer, TokenKind};
//! use poem::Response;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = Issuer::new(SigningKey::generate(Algorithm::EdDsa)?);
//! let (cookies, now) = (Cookies::default(), Clock::system().now());
//! let claims = Claims {
//!     iss: "https://shop.example".into(),
//!     aud: vec!["https://shop.example".into()],
//!     sub: "alice".into(),
//!     ..Claims::access(now, std::time::Duration::from_secs(900)).with_csrf()
//! };
//!
//! let mut login_response = Response::default();
//! let set = cookies.set(&issuer.sign(&claims)?, &claims, now)?;
//! set.add_to(login_response.headers_mut());
//!
//! let mut logout_response = Response::default();
//! cookies.unset(TokenKind::Access)?.add_to(logout_response.headers_mut());
//! # Ok(())
//! # }
//! ```

use poem::http::HeaderName;

use crate::token::TokenKind;

mod cookie_values;
pub(crate) mod csrf;
mod origin;
pub(crate) mod renewal;
mod set_cookie;

pub use cookie_values::{CookieSyntax, cookie_values};
pub use csrf::{Csrf, CsrfMethods};
pub use origin::{ForeignOrigin, OwnScheme, check_origin, request_host};
pub use renewal::{Renewal, RenewalEndpoint, SESSION_END};
pub use set_cookie::{CookieError, SetCookies};

/// Names and attributes of the cookies that carry tokens, and the CSRF check for them.
///
/// The default has the strictest protection by browsers: `__Host-` names, which no sibling host can set,
/// `Secure`, `HttpOnly`, `SameSite=Strict`.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The cookie that guards of access tokens read.
    pub access: TokenCookie,
    /// The cookie that guards of refresh tokens read.
    pub refresh: TokenCookie,
    /// CSRF check on requests that change something.
    pub csrf: Csrf,
    /// Hosts that receive the cookies: `None` means this host only, a name means that host and its
    /// subdomains.
    pub domain: Option<String>,
    /// `Secure` attribute: browsers send the cookies over https only. Turn it off only for development.
    pub secure: bool,
    /// `SameSite` attribute: requests caused by other sites that carry the cookies.
    pub same_site: SameSite,
    /// Lifetime in the browser.
    pub lifetime: CookieLifetime,
}

/// The cookie of one kind of token.
#[derive(Clone, Debug)]
pub struct TokenCookie {
    /// Its name.
    pub name: String,
    /// Path below which it is sent.
    pub path: String,
    /// The header in which pages repeat the `csrf` claim.
    pub csrf_header: HeaderName,
    /// Form field that may repeat it instead, for pages without scripts.
    pub csrf_field: Option<String>,
    /// Readable cookie with the `csrf` claim for pages; `None` if they receive it in another way.
    pub csrf_cookie: Option<CsrfCookie>,
}

/// A cookie that pages can read.
#[derive(Clone, Debug)]
pub struct CsrfCookie {
    /// Its name.
    pub name: String,
    /// Pages below this path can read it.
    pub path: String,
}

/// `SameSite` attribute: whether a browser sends a cookie with requests that another site causes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never. A user who follows a link from another site arrives signed out, until the next click.
    #[default]
    Strict,
    /// Only when the user follows a link.
    Lax,
    /// Always: for a service that is embedded in pages of other sites. The CSRF check is then the only
    /// protection.
    None,
}

/// Lifetime of a cookie in the browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieLifetime {
    /// As long as its token is valid (`Max-Age`).
    #[default]
    UntilTokenExpires,
    /// Until the browser is closed.
    UntilBrowserCloses,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            access: TokenCookie::new("__Host-latchet_at", "__Host-latchet_at_csrf"),
            refresh: TokenCookie::new("__Host-latchet_rt", "__Host-latchet_rt_csrf"),
            csrf: Csrf::default(),
            domain: None,
            secure: true,
            same_site: SameSite::Strict,
            lifetime: CookieLifetime::UntilTokenExpires,
        }
    }
}

impl Cookies {
    /// Returns cookies for development over plain http, where browsers reject `Secure` cookies.
    pub fn plain_http() -> Self {
        Self {
            access: TokenCookie::new("latchet_at", "latchet_at_csrf"),
            refresh: TokenCookie::new("latchet_rt", "latchet_rt_csrf"),
            secure: false,
            ..Self::default()
        }
    }

    /// Returns cookies with the names of Flask-JWT-Extended, for pages that use those. They are `Secure`
    /// and `SameSite=Strict`, which the library's cookies are not by default.
    pub fn flask_jwt_extended() -> Self {
        Self {
            access: TokenCookie::new("access_token_cookie", "csrf_access_token"),
            refresh: TokenCookie::new("refresh_token_cookie", "csrf_refresh_token"),
            ..Self::default()
        }
    }

    /// Returns the cookie of one kind of token.
    pub fn of(&self, kind: TokenKind) -> &TokenCookie {
        match kind {
            TokenKind::Access => &self.access,
            TokenKind::Refresh => &self.refresh,
        }
    }
}

impl TokenCookie {
    /// Returns a cookie for the whole host, with a readable CSRF cookie, checked by `X-CSRF-Token`.
    pub fn new(name: &str, csrf_cookie: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: "/".to_owned(),
            csrf_header: HeaderName::from_static("x-csrf-token"),
            csrf_field: None,
            csrf_cookie: Some(CsrfCookie {
                name: csrf_cookie.to_owned(),
                path: "/".to_owned(),
            }),
        }
    }
}
