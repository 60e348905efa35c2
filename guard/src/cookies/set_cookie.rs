//! `Set-Cookie` (RFC 6265, section 4.1), written by hand: poem's cookies require a middleware that
//! guards do not need.

use std::fmt::Write as _;

use poem::http::header::{CACHE_CONTROL, SET_COOKIE};
use poem::http::{HeaderMap, HeaderValue};

use super::{CookieLifetime, Cookies, SameSite};
use crate::clock::Time;
use crate::token::{Claims, TokenKind};

/// Reason for not setting a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// Browsers would silently drop it, because it violates the rules of its name or `SameSite`.
    #[error("browsers drop the cookie `{name}`: {reason}")]
    Dropped {
        /// Name of the cookie.
        name: String,
        /// Rule that it violates.
        reason: &'static str,
    },
    /// A name, path, domain or value contains a character that is not allowed in a cookie.
    #[error("the cookie `{0}` cannot be written")]
    Unwritable(String),
    /// The token has no `csrf` claim, so pages could not pass the CSRF check.
    #[error("the token has no `csrf` claim: add one with `Claims::with_csrf`")]
    NoCsrf,
}

/// `Set-Cookie` headers, ready to be added to a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "cookies are set by adding them to a response"]
pub struct SetCookies(Vec<HeaderValue>);

impl SetCookies {
    /// Adds them to a response and marks it `no-store`, unless it has a `Cache-Control` header.
    pub fn add_to(self, headers: &mut HeaderMap) {
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        for value in self.0 {
            headers.append(SET_COOKIE, value);
        }
    }
}

impl IntoIterator for SetCookies {
    type Item = HeaderValue;
    type IntoIter = std::vec::IntoIter<HeaderValue>;

    /// For responses that take one header at a time, such as those of poem-openapi.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Cookies {
    /// Returns the cookies that give this token to a browser: the cookie of its kind, and the CSRF
    /// cookie for pages.
    ///
    /// # Errors
    /// [`CookieError`] when a browser would drop them, or pages could not use them.
    pub fn set(&self, token: &str, claims: &Claims, now: Time) -> Result<SetCookies, CookieError> {
        let cookie = self.of(claims.kind);
        let max_age = match self.lifetime {
            CookieLifetime::UntilBrowserCloses => None,
            CookieLifetime::UntilTokenExpires => {
                claims.exp.map(|_| claims.expires_at().since(now).as_secs())
            }
        };
        let mut lines = vec![self.header_value(&CookieFields {
            name: &cookie.name,
            path: &cookie.path,
            value: token,
            max_age,
            reader: CookieReader::Server,
        })?];
        if let Some(csrf) = &cookie.csrf_cookie {
            lines.push(self.header_value(&CookieFields {
                name: &csrf.name,
                path: &csrf.path,
                value: claims.csrf.as_deref().ok_or(CookieError::NoCsrf)?,
                max_age,
                reader: CookieReader::Pages,
            })?);
        }
        Ok(SetCookies(lines))
    }

    /// Returns the headers that clear the cookies of this kind.
    ///
    /// # Errors
    /// [`CookieError`] when a browser would drop these cookies.
    pub fn unset(&self, kind: TokenKind) -> Result<SetCookies, CookieError> {
        let cookie = self.of(kind);
        let cleared = |name, path, reader| CookieFields {
            name,
            path,
            value: "",
            max_age: Some(0),
            reader,
        };
        let mut lines =
            vec![self.header_value(&cleared(&cookie.name, &cookie.path, CookieReader::Server))?];
        if let Some(csrf) = &cookie.csrf_cookie {
            lines.push(self.header_value(&cleared(&csrf.name, &csrf.path, CookieReader::Pages))?);
        }
        Ok(SetCookies(lines))
    }

    /// Returns the headers that clear the cookies of both kinds: for a logout.
    ///
    /// # Errors
    /// As [`unset`](Self::unset).
    pub fn unset_all(&self) -> Result<SetCookies, CookieError> {
        let mut all = self.unset(TokenKind::Access)?;
        all.0.extend(self.unset(TokenKind::Refresh)?);
        Ok(all)
    }

    fn header_value(&self, fields: &CookieFields<'_>) -> Result<HeaderValue, CookieError> {
        self.validate(fields)?;
        let mut text = format!("{}={}; Path={}", fields.name, fields.value, fields.path);
        if let Some(domain) = &self.domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if let Some(max_age) = fields.max_age {
            let _ = write!(text, "; Max-Age={max_age}");
        }
        text.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        if self.secure {
            text.push_str("; Secure");
        }
        if fields.reader == CookieReader::Server {
            text.push_str("; HttpOnly");
        }
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| CookieError::Unwritable(fields.name.to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn validate(&self, fields: &CookieFields<'_>) -> Result<(), CookieError> {
        let unwritable = !fields.name.bytes().all(is_name_byte)
            || fields.name.is_empty()
            || !fields.path.starts_with('/')
            || ![
                fields.path,
                fields.value,
                self.domain.as_deref().unwrap_or(""),
            ]
            .concat()
            .bytes()
            .all(is_attribute_byte);
        if unwritable {
            return Err(CookieError::Unwritable(fields.name.to_owned()));
        }
        self.violated_rule(fields).map_or(Ok(()), |reason| {
            Err(CookieError::Dropped {
                name: fields.name.to_owned(),
                reason,
            })
        })
    }

    /// Browsers enforce rules for the prefix of a name (RFC 6265bis, section 4.1.3).
    fn violated_rule(&self, fields: &CookieFields<'_>) -> Option<&'static str> {
        let host = fields.name.starts_with("__Host-");
        if (host || fields.name.starts_with("__Secure-")) && !self.secure {
            return Some("its name requires `Secure`");
        }
        if host && (self.domain.is_some() || fields.path != "/") {
            return Some("`__Host-` requires `Path=/` and no `Domain`");
        }
        if self.same_site == SameSite::None && !self.secure {
            return Some("`SameSite=None` needs `Secure`");
        }
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CookieReader {
    Server,
    Pages,
}

struct CookieFields<'a> {
    name: &'a str,
    path: &'a str,
    value: &'a str,
    max_age: Option<u64>,
    reader: CookieReader,
}

/// Characters of a name (RFC 9110, section 5.6.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Visible characters that do not end the attribute.
fn is_attribute_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\')
}
