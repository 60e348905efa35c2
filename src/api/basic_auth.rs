//! `Authorization: Basic`: a name and a secret (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};

use crate::services::ServiceCredentials;
use latchet_guard::credentials;

/// Content of the header.
#[derive(Debug)]
pub(super) enum BasicCredentials {
    /// No `Basic` credentials.
    Absent,
    /// The scheme `Basic` without a valid name and secret.
    Malformed,
    /// A name, and a secret that may be empty.
    NameAndSecret(String, SecretString),
}

impl BasicCredentials {
    /// Reads the header, which may also hold credentials of other schemes. Two `Basic` credentials are
    /// malformed: to choose one would be a guess.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let found = credentials(headers, &AUTHORIZATION, &["basic"]);
        let mut found = found.filter(|encoded| !encoded.is_empty());
        let Some(encoded) = found.next() else {
            return Self::Absent;
        };
        if found.next().is_some() {
            return Self::Malformed;
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
            Some((name, secret)) => Self::NameAndSecret(name.to_owned(), secret.into()),
            None => Self::Malformed,
        }
    }
}

impl ServiceCredentials {
    /// Returns the credentials in a header, which are encoded as in a form (RFC 6749, 2.3.1).
    pub(super) fn from_basic(name: &str, secret: &SecretString) -> Self {
        Self {
            name: decode_form_value(name),
            secret: decode_form_value(secret.expose_secret()).into(),
        }
    }
}

/// Decodes the form encoding that OAuth requires for name and secret (RFC 6749, 2.3.1). Clients that do not
/// encode are accepted too, unless their secret has a `+` or `%`.
pub(super) fn decode_form_value(text: &str) -> String {
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

    fn parse(value: &str) -> BasicCredentials {
        let headers = [(AUTHORIZATION, value.parse().unwrap())];
        BasicCredentials::from_headers(&headers.into_iter().collect())
    }

    #[test]
    fn the_first_colon_separates_name_and_secret() {
        let BasicCredentials::NameAndSecret(name, secret) = parse("basic c2hvcDphOmI=") else {
            panic!("not read");
        };

        assert_eq!((name.as_str(), secret.expose_secret()), ("shop", "a:b"));
    }

    #[test]
    fn malformed_and_missing_credentials_are_distinguished() {
        for absent in ["", "Basic", "Bearer c2hvcDphOmI=", "Basic2 c2hvcDphOmI="] {
            assert!(
                matches!(parse(absent), BasicCredentials::Absent),
                "{absent}"
            );
        }
        for malformed in [
            "Basic %",
            "Basic c2hvcA==",
            "Basic /w==",
            "Basic c2hvcDphOmI=, Basic c2hvcDphOmM=",
        ] {
            assert!(
                matches!(parse(malformed), BasicCredentials::Malformed),
                "{malformed}"
            );
        }
    }

    #[test]
    fn basic_credentials_are_found_beside_other_schemes() {
        let mut headers = HeaderMap::new();
        for line in [
            b"Digest username=\"\xfc\"".as_slice(),
            b"Basic c2hvcDphOmI=",
        ] {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
        }

        assert!(
            matches!(BasicCredentials::from_headers(&headers), BasicCredentials::NameAndSecret(name, _) if name == "shop")
        );
    }

    #[test]
    fn form_encoding_is_decoded() {
        assert_eq!(decode_form_value("a%2Bb%3A+c"), "a+b: c");
        assert_eq!(decode_form_value("a-_9=&b"), "a-_9=&b");
        assert_eq!(decode_form_value(""), "");
    }
}
