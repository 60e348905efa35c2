//! Cookies of a request, read from the header: `Request::cookie()` panics without poem's cookie middleware.
//! Reads bytes, because cookies of other programs may hold anything.

use poem::http::HeaderMap;
use poem::http::header::COOKIE;

/// Syntax in which [`cookie_values`] reads cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieSyntax {
    /// `name=value`, as browsers send it. Further spaces and quotes belong to name and value.
    Exact,
    /// Spaces around name and value are ignored, and so are quotes around the value (RFC 6265, section
    /// 4.1.1): for clients that are not browsers.
    Tolerant,
}

/// Returns the non-empty values of a cookie in the order of the request: browsers send several cookies of
/// one name if they differ in path or domain. An empty cookie has been cleared.
///
/// ```
/// use latchet_guard::cookies::{CookieSyntax, cookie_values};
/// use poem::http::{HeaderMap, HeaderValue, header::COOKIE};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(COOKIE, HeaderValue::from_static("theme=dark; session=x.y.z"));
///
/// let values: Vec<_> = cookie_values(&headers, "session", CookieSyntax::Exact).collect();
/// assert_eq!(values, [b"x.y.z"]);
/// ```
pub fn cookie_values<N: AsRef<str>>(
    headers: &HeaderMap,
    name: N,
    syntax: CookieSyntax,
) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    pairs.filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (&pair[..at], &pair[at + 1..]);
        let (key, value) = match syntax {
            CookieSyntax::Exact => (key, value),
            CookieSyntax::Tolerant => (key.trim_ascii_end(), unquoted(value.trim_ascii_start())),
        };
        (key == name.as_ref().as_bytes() && !value.is_empty()).then_some(value)
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn read(line: &str, syntax: CookieSyntax) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::try_from(line).unwrap());
        cookie_values(&headers, "at", syntax)
            .map(|value| value.escape_ascii().to_string())
            .collect()
    }

    #[test]
    fn values_are_found_as_browsers_send_them_in_both_syntaxes() {
        for syntax in [CookieSyntax::Exact, CookieSyntax::Tolerant] {
            assert_eq!(
                read("at=old; xat=no;at=a=b ; at=; at", syntax),
                ["old", "a=b"]
            );
        }
    }

    #[test]
    fn spaces_and_quotes_are_ignored_only_in_the_tolerant_syntax() {
        let line = r#"at =a; at= b; at="c"; at="""#;

        assert_eq!(
            read(line, CookieSyntax::Exact),
            [" b", r#"\"c\""#, r#"\"\""#]
        );
        assert_eq!(read(line, CookieSyntax::Tolerant), ["a", "b", "c"]);
    }
}
