//! Headers that are lists. They are read as bytes: one item that is not ASCII must not hide the others.

use poem::http::{HeaderMap, HeaderName};

/// Returns the items of all lines of a header, without the spaces around them. Items that are not UTF-8
/// and empty items are left out (RFC 9110, 5.6.1).
pub(super) fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|item| std::str::from_utf8(item.trim_ascii()).ok())
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use poem::http::header::ACCEPT;

    use super::*;

    #[test]
    fn an_item_that_is_not_utf8_does_not_hide_others() {
        let lines: [&[u8]; 4] = [b"a, \xff, b;q=1", b"", b" , c", "d, ü".as_bytes()];
        let lines = lines.map(|line| (ACCEPT, HeaderValue::from_bytes(line).unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }

        let found: Vec<_> = items(&headers, ACCEPT).collect();

        assert_eq!(found, ["a", "b;q=1", "c", "d", "ü"]);
    }
}
