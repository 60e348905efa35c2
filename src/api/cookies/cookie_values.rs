//! Cookie values of a request. Reads bytes, because cookies of other programs may hold anything.

use poem::Request;
use poem::http::header::COOKIE;

/// Returns the non-empty values of a cookie in the order of the request: browsers send several cookies of
/// one name if they differ in path or domain.
pub(super) fn cookie_values<'r>(
    request: &'r Request,
    name: &str,
) -> impl Iterator<Item = &'r str> + use<'r> {
    let name = name.to_owned();
    request
        .headers()
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b';'))
        .filter_map(move |pair| {
            let at = pair.iter().position(|&byte| byte == b'=')?;
            if pair[..at].trim_ascii() != name.as_bytes() {
                return None;
            }
            let value = std::str::from_utf8(pair[at + 1..].trim_ascii()).ok()?;
            Some(unquoted(value)).filter(|value| !value.is_empty())
        })
}

/// Removes the quotes that may surround a value (RFC 6265, 4.1.1). The values of this server have none.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn read(lines: &[&[u8]], name: &str) -> Vec<String> {
        let mut request = Request::builder().finish();
        for line in lines {
            let line = HeaderValue::from_bytes(line).unwrap();
            request.headers_mut().append(COOKIE, line);
        }
        cookie_values(&request, name).map(str::to_owned).collect()
    }

    #[test]
    fn other_cookies_of_any_bytes_are_ignored() {
        let others: [&[u8]; 14] = [
            b"a=1",
            "campaign=Übung".as_bytes(),
            b"latin=\xfc",
            "emoji=🍪".as_bytes(),
            "city=東京".as_bytes(),
            b"\xff\xfe=\x80",
            b"no-sign-of-equality",
            b"",
            b"=nameless",
            b"quoted=\"a, b\"",
            b"half=\"",
            b"equal=a=b=c",
            b"xlatchet_rt=no",
            b"latchet_rt=",
        ];
        for other in others {
            for lines in [
                vec![[other, b"; latchet_rt=x.y.z"].concat()],
                vec![[b"latchet_rt=x.y.z;", other].concat()],
                vec![other.to_vec(), b"latchet_rt=x.y.z".to_vec()],
                vec![b"latchet_rt=x.y.z".to_vec(), other.to_vec()],
            ] {
                let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();

                assert_eq!(
                    read(&lines, "latchet_rt"),
                    ["x.y.z"],
                    "{}",
                    other.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn all_values_of_a_name_are_returned_in_order() {
        let lines: [&[u8]; 2] = [
            b"latchet_rt=old; a=1;latchet_rt = \"quoted\" ; latchet_csrf=",
            b"latchet_rt=\xff; latchet_rt=new",
        ];

        assert_eq!(read(&lines, "latchet_rt"), ["old", "quoted", "new"]);
        assert_eq!(read(&lines, "latchet_csrf"), [""; 0]);
        assert_eq!(read(&lines, "rt"), [""; 0]);
    }
}
