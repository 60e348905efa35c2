//! The OAuth client that a request names. Clients are public: they have a name and no secret.

use poem::Request;
use secrecy::ExposeSecret;

use crate::api::basic_auth::{BasicCredentials, decode_form_value};
use crate::error::ApiError;
use crate::names::ClientId;

const FIELD: &str = "client_id";

/// Returns the client that a request names in `Authorization: Basic` or in its body, or `None` if it names
/// none. Swagger UI always sends the header, with an empty name.
///
/// # Errors
/// `invalid_client` for a secret: to accept one would suggest that it was verified. `validation_failed` for
/// an invalid name, or two different names.
pub(super) fn client_id(
    request: &Request,
    in_body: Option<String>,
) -> Result<Option<ClientId>, ApiError> {
    let in_header = match BasicCredentials::from_headers(request.headers()) {
        BasicCredentials::Absent => None,
        BasicCredentials::Malformed => return Err(ApiError::ClientAuthentication),
        BasicCredentials::NameAndSecret(_, secret) if !secret.expose_secret().is_empty() => {
            return Err(ApiError::ClientAuthentication);
        }
        // RFC 6749, 2.3.1: encoded as in a form.
        BasicCredentials::NameAndSecret(name, _) => {
            Some(decode_form_value(&name)).filter(|name| !name.is_empty())
        }
    };
    let name = match (in_header, in_body) {
        (Some(header), Some(body)) if header != body => {
            return Err(ApiError::invalid_field(
                FIELD,
                "is not the name in `Authorization: Basic`",
            ));
        }
        (header, body) => header.or(body),
    };
    name.map(|name| ClientId::parse(&name))
        .transpose()
        .map_err(|detail| ApiError::invalid_field(FIELD, detail))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn parsed(basic: Option<&str>, in_body: Option<&str>) -> Result<Option<String>, &'static str> {
        let request = Request::builder();
        let request = match basic {
            Some(pair) => {
                request.header("authorization", format!("Basic {}", STANDARD.encode(pair)))
            }
            None => request,
        };
        let found = client_id(&request.finish(), in_body.map(str::to_owned));
        found
            .map(|client| client.map(ClientId::into_string))
            .map_err(|error| error.problem().code)
    }

    #[test]
    fn a_client_is_named_in_the_header_or_in_the_body() {
        for (basic, in_body, client) in [
            (None, None, None),
            (Some(":"), None, None),
            (Some("app:"), None, Some("app")),
            (Some("app:"), Some("app"), Some("app")),
            (Some(":"), Some("app"), Some("app")),
            (Some("my+app%3A2:"), None, Some("my app:2")),
            (None, Some("my app:2"), Some("my app:2")),
        ] {
            assert_eq!(
                parsed(basic, in_body),
                Ok(client.map(str::to_owned)),
                "{basic:?} {in_body:?}"
            );
        }
    }

    #[test]
    fn client_secrets_and_invalid_client_names_are_refused() {
        for (basic, in_body, code) in [
            (Some("app:secret"), None, "invalid_client"),
            (Some(":secret"), None, "invalid_client"),
            (Some("no colon"), None, "invalid_client"),
            (Some("app:"), Some("other"), "validation_failed"),
            (Some("a%0aX:"), None, "validation_failed"),
            (None, Some("a\nX"), "validation_failed"),
        ] {
            assert_eq!(parsed(basic, in_body), Err(code), "{basic:?} {in_body:?}");
        }
    }
}
