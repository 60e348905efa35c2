//! Credentials in the header `Authorization`, and in headers of the same form (RFC 9110, section 11.6.2).

use poem::http::{HeaderMap, HeaderName};

/// Returns the value after each of these schemes in a header, in the order of its lines.
///
/// A line may join several credentials with commas, as Flask apps send them. Schemes are compared without
/// regard to case. Credentials of other schemes are skipped and may contain any bytes. A value is empty if
/// nothing follows the scheme.
///
/// ```
/// use latchet_guard::credentials;
/// use poem::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi, bearer x.y.z"));
///
/// let tokens: Vec<_> = credentials(&headers, &AUTHORIZATION, &["Bearer"]).collect();
/// assert_eq!(tokens, [b"x.y.z"]);
/// ```
pub fn credentials<'h, 's>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    schemes: &'s [&'s str],
) -> impl Iterator<Item = &'h [u8]> + use<'h, 's> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(move |line| {
        schemes.iter().flat_map(move |scheme| {
            let joined = line.as_bytes().split(|&byte| byte == b',');
            joined.filter_map(move |credentials| {
                let credentials = credentials.trim_ascii();
                let end = credentials.iter().position(|byte| b" \t".contains(byte));
                let (word, value) = credentials.split_at(end.unwrap_or(credentials.len()));
                word.eq_ignore_ascii_case(scheme.as_bytes())
                    .then(|| value.trim_ascii_start())
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use poem::http::header::AUTHORIZATION;

    use super::*;

    fn read(lines: &[&[u8]], schemes: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
        }
        credentials(&headers, &AUTHORIZATION, schemes)
            .map(|value| value.escape_ascii().to_string())
            .collect()
    }

    #[test]
    fn values_of_each_scheme_are_found_in_the_order_of_the_lines() {
        let lines: [&[u8]; 3] = [b"JWT a, bearer b", b"Basic \xfc,Bearer\tc ", b"BEARER d e"];

        assert_eq!(read(&lines, &["Bearer"]), ["b", "c", "d e"]);
        assert_eq!(read(&lines, &["Bearer", "JWT"]), ["b", "a", "c", "d e"]);
        assert_eq!(read(&lines, &["Basic"]), [r"\xfc"]);
        assert_eq!(read(&lines, &[]), [""; 0]);
    }

    #[test]
    fn a_scheme_without_a_value_is_an_empty_value() {
        assert_eq!(read(&[b" Bearer , Bearerx y,, "], &["Bearer"]), [""]);
    }
}
