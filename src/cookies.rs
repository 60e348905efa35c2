//! Cookies that carry tokens: how they are named, set and taken away again.
//!
//! One value says it all, [`Cookies`]: guards read by it ([`Location::Cookie`](crate::guard::Location))
//! and the service sets by it, so that the two cannot disagree. Beside each token goes a second cookie
//! that pages may read: they repeat its value in a header, and thereby prove that the request is
//! theirs. [`Renewal`] keeps a browser signed in while it is used.
//!
//! ```
//! use latchet::clock::Clock;
//! use latchet::cookies::Cookies;
//! use latchet::keys::{Algorithm, SigningKey};
//! use latchet::token::{Claims, Issuer, Kind};
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
//! let mut answer_to_login = Response::default();
//! let set = cookies.set(&issuer.sign(&claims)?, &claims, now)?;
//! set.add_to(answer_to_login.headers_mut());
//!
//! let mut answer_to_logout = Response::default();
//! cookies.unset(Kind::Access)?.add_to(answer_to_logout.headers_mut());
//! # Ok(())
//! # }
//! ```

use poem::http::HeaderName;

use crate::guard::Csrf;
use crate::token::Kind;

pub(crate) mod renewal;
mod set;
#[cfg(test)]
mod tests;

pub use renewal::{Renewal, Renewing, SESSION_END};
pub use set::{CookieError, SetCookies};

/// Names and attributes of the cookies that carry tokens, and what proves that a page of the
/// service sent them.
///
/// The default is what browsers guard best: `__Host-` names, which no neighbouring host can plant,
/// `Secure`, `HttpOnly`, `SameSite=Strict`.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The cookie that guards of access tokens read.
    pub access: TokenCookie,
    /// The cookie that guards of refresh tokens read.
    pub refresh: TokenCookie,
    /// The check on requests that change something.
    pub csrf: Csrf,
    /// Hosts that get the cookies: `None` is this host alone, a name is that host and all below it.
    pub domain: Option<String>,
    /// Whether browsers send them over https only. Anything else is for development.
    pub secure: bool,
    /// Whether requests that other sites provoke carry them.
    pub same_site: SameSite,
    /// How long browsers keep them.
    pub keep: Keep,
}

/// The cookie of one kind of token.
#[derive(Clone, Debug)]
pub struct TokenCookie {
    /// Its name.
    pub name: String,
    /// Below which path it is sent.
    pub path: String,
    /// The header in which pages repeat the `csrf` claim.
    pub csrf_header: HeaderName,
    /// The field of a form that may repeat it instead, for pages that work without scripts.
    pub csrf_field: Option<String>,
    /// The readable cookie that tells pages the `csrf` claim; `None` when they learn it otherwise.
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

/// Whether browsers send a cookie along when another site makes them ask (`SameSite`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never. Who follows a link from elsewhere arrives signed out, until the next click.
    #[default]
    Strict,
    /// When the user follows a link, not when a page sends something.
    Lax,
    /// Always: for a service that lives inside pages of others. The CSRF check stands alone then.
    None,
}

/// How long browsers keep a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// As long as its token lives (`Max-Age`).
    #[default]
    LikeToken,
    /// Until the browser is closed.
    UntilClosed,
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
            keep: Keep::LikeToken,
        }
    }
}

impl Cookies {
    /// Returns cookies for development over plain http, where browsers keep no `Secure` ones.
    pub fn plain_http() -> Self {
        Self {
            access: TokenCookie::new("latchet_at", "latchet_at_csrf"),
            refresh: TokenCookie::new("latchet_rt", "latchet_rt_csrf"),
            secure: false,
            ..Self::default()
        }
    }

    /// Returns cookies with the names of Flask-JWT-Extended, for pages that know those. They are
    /// `Secure` and `SameSite=Strict`, which its own are not unless told.
    pub fn flask_jwt_extended() -> Self {
        Self {
            access: TokenCookie::new("access_token_cookie", "csrf_access_token"),
            refresh: TokenCookie::new("refresh_token_cookie", "csrf_refresh_token"),
            ..Self::default()
        }
    }

    /// Returns the cookie of one kind of token.
    pub fn of(&self, kind: Kind) -> &TokenCookie {
        match kind {
            Kind::Access => &self.access,
            Kind::Refresh => &self.refresh,
        }
    }
}

impl TokenCookie {
    /// Returns a cookie for the whole host, with a readable one beside it, checked by `X-CSRF-Token`.
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
