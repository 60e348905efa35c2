//! OAuth forms (RFC 6749, 3.2 and appendix B).

use percent_encoding::percent_decode;
use poem_openapi::types::Type;
use serde_json::{Map, Value};

use super::validation::{field_error, resolve};
use super::{REPEATED, invalid_fields};
use crate::error::ApiError;

const CLIENT_SECRET: &str = "client_secret";

/// Other parameters by which an OAuth client authenticates (RFC 7521, 4.2).
const CLIENT_ASSERTION: [&str; 2] = ["client_assertion", "client_assertion_type"];

/// Refuses a client assertion, and a client secret where the schema knows none: to accept one would suggest that
/// it was verified. An empty one counts as absent.
pub(super) fn refuse_authentication_in_form<T: Type>(form: &[u8]) -> Result<(), ApiError> {
    let schema = T::schema_ref();
    let knows_secret = resolve(&schema).is_some_and(|schema| {
        schema
            .properties
            .iter()
            .any(|(own, _)| *own == CLIENT_SECRET)
    });
    refuse(form, |name| {
        CLIENT_ASSERTION.contains(&name) || (name == CLIENT_SECRET && !knows_secret)
    })
}

/// Refuses a client secret or assertion in the query of an address, which ends up in logs (RFC 6749, 2.3.1).
pub(super) fn refuse_authentication_in_address(query: &str) -> Result<(), ApiError> {
    refuse(query.as_bytes(), |name| {
        CLIENT_ASSERTION.contains(&name) || name == CLIENT_SECRET
    })
}

fn refuse(form: &[u8], is_refused: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    let mut parameters = form_urlencoded::parse(form);
    if parameters.any(|(name, value)| is_refused(&name) && !value.is_empty()) {
        return Err(ApiError::ClientAuthentication);
    }
    Ok(())
}

/// Returns the parameters that the schema knows: an empty one counts as absent, an unknown one is
/// ignored.
///
/// # Errors
/// When one is given twice, or is not UTF-8.
pub(super) fn parse_form<T: Type>(form: &[u8]) -> Result<Value, ApiError> {
    let schema = T::schema_ref();
    let schema = resolve(&schema);
    let mut members = Map::new();
    for pair in form.split(|byte| *byte == b'&') {
        let Some((name, value)) = form_urlencoded::parse(pair).next() else {
            continue;
        };
        let known =
            schema.is_some_and(|schema| schema.properties.iter().any(|(own, _)| *own == name));
        if !known || value.is_empty() {
            continue;
        }
        // The parser replaces such bytes: two different passwords could become equal.
        if percent_decode(pair).decode_utf8().is_err() {
            return Err(invalid_fields(vec![field_error(&name, "is not UTF-8")]));
        }
        if members
            .insert(name.to_string(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(invalid_fields(vec![field_error(&name, REPEATED)]));
        }
    }
    Ok(Value::Object(members))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(form: &[u8]) -> Result<Value, ApiError> {
        parse_form::<crate::api::oauth::TokenForm>(form)
    }

    #[test]
    fn a_form_is_parsed_by_the_rules_of_oauth() {
        for (form, value) in [
            (
                "grant_type=password&username=a%20b&scope=&unknown=1&unknown=2",
                json!({ "grant_type": "password", "username": "a b" }),
            ),
            ("scope=&scope=a&scope=", json!({ "scope": "a" })),
            (
                "username=%C3%A9+%e2%82%ac%2B",
                json!({ "username": "é €+" }),
            ),
            (
                "username=\u{fffd}%EF%BF%BD",
                json!({ "username": "\u{fffd}\u{fffd}" }),
            ),
            (
                "username=100%&&scope=%zz",
                json!({ "username": "100%", "scope": "%zz" }),
            ),
            ("username=a=b", json!({ "username": "a=b" })),
            ("unknown=%ff", json!({})),
        ] {
            assert_eq!(read(form.as_bytes()).unwrap(), value, "{form}");
        }
    }

    #[test]
    fn an_ambiguous_form_is_refused() {
        for form in [
            &b"scope=a&scope=a"[..],
            b"scope=a&sc%6fpe=b",
            b"username=%ff",
            b"username=%fe",
            b"username=\xff",
            b"username=%C3",
            b"username=a%ED%A0%80",
        ] {
            let error = read(form).unwrap_err();
            assert_eq!(error.problem().code, "validation_failed", "{form:?}");
        }
    }

    #[test]
    fn a_client_secret_in_an_address_is_refused() {
        for form in [
            "client_secret=x",
            "a=b&client%5Fsecret=x",
            "client_secret=&client_secret=x",
            "client_assertion=e30.e30.x&client_assertion_type=y",
            "client_assertion_type=y",
        ] {
            let refused = refuse_authentication_in_address(form);
            assert!(
                matches!(refused, Err(ApiError::ClientAuthentication)),
                "{form}"
            );
        }
        for form in [
            "",
            "client_secret=",
            "client_secret",
            "client_id=a&xclient_secret=x",
        ] {
            assert!(refuse_authentication_in_address(form).is_ok(), "{form}");
        }
    }

    #[test]
    fn a_form_may_have_a_client_secret_where_it_is_verified() {
        use crate::api::oauth::{IntrospectForm, TokenForm};
        let secret = b"client_secret=x";
        let assertion = b"client_assertion=e30.e30.x&client_assertion_type=y";

        assert!(refuse_authentication_in_form::<TokenForm>(secret).is_ok());
        assert!(refuse_authentication_in_form::<TokenForm>(assertion).is_err());
        assert!(refuse_authentication_in_form::<IntrospectForm>(secret).is_err());
    }
}
