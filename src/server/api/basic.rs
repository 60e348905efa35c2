//! `Authorization: Basic`: a name and a secret (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};

use crate::guard::credentials;

/// Content of the header.
#[derive(Debug)]
pub(super) enum Basic {
    /// No `Basic` credentials.
    Absent,
    /// The scheme `Basic` without a valid name and secret.
    Unreadable,
    /// A name, and a secret that may be empty.
    Pair(String, SecretString),
}

impl Basic {
    /// Reads the header, which may also hold credentials of other schemes. Two `Basic` credentials are
    /// unreadable: to choose one would be a guess.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(AUTHORIZATION).into_iter();
        let found = lines.flat_map(|line| credentials(line.as_bytes(), "basic"));
        let mut found = found.filter(|encoded| !encoded.is_empty());
        let Some(encoded) = found.next() else {
            return Self::Absent;
        };
        if found.next().is_some() {
            return Self::Unreadable;
        }
        let decoded = STANDARD
            .decode(encoded)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(SecretString::from);
        let pair = decoded
            .as_ref()
            .and_then(|text| text.expose_secret().split_once(':'));
        match pair {
            Some((name, secret)) => Self::Pair(name.to_owned(), secret.into()),
            None => Self::Unreadable,
        }
    }
}

/// Decodes the form encoding that OAuth requires for name and secret (RFC 6749, 2.3.1). Clients that do not
/// encode are accepted too, unless their secret has a `+` or `%`.
pub(super) fn form_decoded(text: &str) -> String {
    // The parser would split at these two.
    let text = text.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn of(value: &str) -> Basic {
        let headers = [(AUTHORIZATION, value.parse().unwrap())];
        Basic::of(&headers.into_iter().collect())
    }

    #[test]
    fn name_and_secret_are_parted_by_the_first_colon() {
        let Basic::Pair(name, secret) = of("basic c2hvcDphOmI=") else {
            panic!("not read");
        };

        assert_eq!((name.as_str(), secret.expose_secret()), ("shop", "a:b"));
    }

    #[test]
    fn what_is_no_pair_is_not_taken_for_one() {
        for absent in ["", "Basic", "Bearer c2hvcDphOmI=", "Basic2 c2hvcDphOmI="] {
            assert!(matches!(of(absent), Basic::Absent), "{absent}");
        }
        for unreadable in [
            "Basic %",
            "Basic c2hvcA==",
            "Basic /w==",
            "Basic c2hvcDphOmI=, Basic c2hvcDphOmM=",
        ] {
            assert!(matches!(of(unreadable), Basic::Unreadable), "{unreadable}");
        }
    }

    #[test]
    fn it_is_found_among_credentials_of_other_schemes_whatever_their_bytes() {
        let mut headers = HeaderMap::new();
        for line in [
            b"Digest username=\"\xfc\"".as_slice(),
            b"Basic c2hvcDphOmI=",
        ] {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
        }

        assert!(matches!(Basic::of(&headers), Basic::Pair(name, _) if name == "shop"));
    }

    #[test]
    fn the_encoding_of_forms_is_undone() {
        assert_eq!(form_decoded("a%2Bb%3A+c"), "a+b: c");
        assert_eq!(form_decoded("a-_9=&b"), "a-_9=&b");
        assert_eq!(form_decoded(""), "");
    }
}
