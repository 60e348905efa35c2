//! Cookie values of a request that may be tokens of this server.

use poem::Request;

use latchet_guard::cookies::{self, CookieSyntax};

/// Returns the non-empty values of a cookie in the order of the request. Values that are not UTF-8 are
/// cookies of other programs.
pub(super) fn cookie_values<'r>(
    request: &'r Request,
    name: &str,
) -> impl Iterator<Item = &'r str> + use<'r> {
    cookies::cookie_values(request.headers(), name.to_owned(), CookieSyntax::Tolerant)
        .filter_map(|value| std::str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use poem::http::header::COOKIE;

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
