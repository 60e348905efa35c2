//! The OAuth client of a request: a public one, which has a name and no secret, or a service, which
//! authenticates (RFC 6749, 2.3.1).

use poem::Request;
use secrecy::{ExposeSecret, SecretString};

use super::super::client::client_ip;
use crate::App;
use crate::api::basic_auth::{BasicCredentials, decode_form_value};
use crate::error::ApiError;
use crate::names::ClientId;
use crate::services::{AuthenticatedService, ServiceCredentials, ServiceRegistry};

const ID_FIELD: &str = "client_id";
const SECRET_FIELD: &str = "client_secret";

/// The client of a request.
#[derive(Debug)]
pub(super) enum OauthClient {
    /// The request names none.
    Unnamed,
    /// A client without a secret: its name proves nothing.
    Public(ClientId),
    /// A service that has authenticated.
    Service(AuthenticatedService),
}

impl OauthClient {
    /// Returns the client of a request, and authenticates it if it is a service.
    ///
    /// # Errors
    /// `invalid_client` for wrong credentials, and for the name of a service without its secret;
    /// `too_many_requests`; `validation_failed` for an invalid name, two different names, or two secrets.
    pub(super) async fn authenticate(
        request: &Request,
        in_body: ClientFields,
        app: &App,
    ) -> Result<Self, ApiError> {
        match ClaimedClient::parse(request, in_body, &app.services.registry)? {
            ClaimedClient::Unnamed => Ok(Self::Unnamed),
            ClaimedClient::Public(name) => Ok(Self::Public(name)),
            ClaimedClient::WithSecret(credentials) => {
                let ip = client_ip(request, &app.config);
                let service = app.services.authenticate(&credentials, ip).await?;
                Ok(Self::Service(service))
            }
        }
    }

    /// Returns the name of the client.
    ///
    /// # Errors
    /// `internal` for a service whose name is no client id: the settings allow no such name.
    pub(super) fn into_name(self) -> Result<Option<ClientId>, ApiError> {
        match self {
            Self::Unnamed => Ok(None),
            Self::Public(name) => Ok(Some(name)),
            Self::Service(service) => {
                let name = ClientId::parse(&service.name);
                name.map(Some).map_err(ApiError::internal)
            }
        }
    }
}

/// The fields of a form that name a client.
#[derive(Debug, Default)]
pub(super) struct ClientFields {
    pub(super) id: Option<String>,
    pub(super) secret: Option<SecretString>,
}

/// The client that a request claims to come from.
#[derive(Debug)]
enum ClaimedClient {
    Unnamed,
    Public(ClientId),
    WithSecret(ServiceCredentials),
}

impl ClaimedClient {
    /// Reads `Authorization: Basic` and the fields of the form. Swagger UI always sends the header, with an empty
    /// name.
    fn parse(
        request: &Request,
        in_body: ClientFields,
        services: &ServiceRegistry,
    ) -> Result<Self, ApiError> {
        // RFC 6749, 2.3.1: encoded as in a form.
        let (header_name, header_secret) = match BasicCredentials::from_headers(request.headers()) {
            BasicCredentials::Absent => (String::new(), String::new()),
            BasicCredentials::Malformed => return Err(ApiError::InvalidClient),
            BasicCredentials::NameAndSecret(name, secret) => (
                decode_form_value(&name),
                decode_form_value(secret.expose_secret()),
            ),
        };
        let name = match (
            Some(header_name).filter(|name| !name.is_empty()),
            in_body.id,
        ) {
            (Some(header), Some(body)) if header != body => {
                return Err(ApiError::invalid_field(
                    ID_FIELD,
                    "is not the name in `Authorization: Basic`",
                ));
            }
            (header, body) => header.or(body),
        };
        let header_secret = Some(header_secret).filter(|secret| !secret.is_empty());
        let secret = match (header_secret.map(SecretString::from), in_body.secret) {
            // RFC 6749, 2.3: one way to authenticate in a request.
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_field(
                    SECRET_FIELD,
                    "is also in `Authorization: Basic`: send it once",
                ));
            }
            (header, body) => header.or(body),
        };
        let Some(secret) = secret else {
            let Some(name) = name else {
                return Ok(Self::Unnamed);
            };
            if services.contains(&name) {
                return Err(ApiError::InvalidClient);
            }
            let name = ClientId::parse(&name)
                .map_err(|detail| ApiError::invalid_field(ID_FIELD, detail))?;
            return Ok(Self::Public(name));
        };
        Ok(Self::WithSecret(ServiceCredentials {
            name: name.unwrap_or_default(),
            secret,
        }))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::config::RootSecret;
    use crate::config::profile_tables::TokenProfileTables;

    /// Returns the registry of a server with the service `shop`.
    fn services() -> ServiceRegistry {
        let hash = "A".repeat(43);
        let text = format!("[token_services.shop]\nsecret_hashes = [\"{hash}\"]\n");
        let tables: TokenProfileTables = toml::from_str(&text).unwrap();
        ServiceRegistry::open(&tables, &RootSecret::generate().unwrap()).unwrap()
    }

    /// Returns the name and the secret that a request claims, or the code of the refusal.
    fn parsed(
        basic: Option<&str>,
        id: Option<&str>,
        secret: Option<&str>,
    ) -> Result<(Option<String>, Option<String>), &'static str> {
        let request = Request::builder();
        let request = match basic {
            Some(pair) => {
                request.header("authorization", format!("Basic {}", STANDARD.encode(pair)))
            }
            None => request,
        };
        let fields = ClientFields {
            id: id.map(str::to_owned),
            secret: secret.map(SecretString::from),
        };
        let found = ClaimedClient::parse(&request.finish(), fields, &services());
        let found = found.map_err(|error| error.problem().code)?;
        Ok(match found {
            ClaimedClient::Unnamed => (None, None),
            ClaimedClient::Public(name) => (Some(name.into_string()), None),
            ClaimedClient::WithSecret(credentials) => (
                Some(credentials.name),
                Some(credentials.secret.expose_secret().to_owned()),
            ),
        })
    }

    #[test]
    fn a_client_is_named_in_the_header_or_in_the_body() {
        for (basic, id, client) in [
            (None, None, None),
            (Some(":"), None, None),
            (Some("app:"), None, Some("app")),
            (Some("app:"), Some("app"), Some("app")),
            (Some(":"), Some("app"), Some("app")),
            (Some("my+app%3A2:"), None, Some("my app:2")),
            (None, Some("my app:2"), Some("my app:2")),
        ] {
            let expected = Ok((client.map(str::to_owned), None));
            assert_eq!(parsed(basic, id, None), expected, "{basic:?} {id:?}");
        }
    }

    #[test]
    fn a_secret_is_in_the_header_or_in_the_body() {
        for (basic, id, secret) in [
            (Some("shop:a%2Bb"), None, None),
            (Some("shop:a%2Bb"), Some("shop"), None),
            (None, Some("shop"), Some("a+b")),
            (Some("shop:"), None, Some("a+b")),
        ] {
            let expected = Ok((Some("shop".to_owned()), Some("a+b".to_owned())));
            assert_eq!(parsed(basic, id, secret), expected, "{basic:?} {id:?}");
        }
    }

    #[test]
    fn ambiguous_clients_and_services_without_their_secret_are_refused() {
        for (basic, id, secret, code) in [
            (Some("shop:"), None, None, "invalid_client"),
            (None, Some("shop"), None, "invalid_client"),
            (Some("no colon"), None, None, "invalid_client"),
            (Some("app:"), Some("other"), None, "validation_failed"),
            (Some("shop:a"), None, Some("a"), "validation_failed"),
            (Some("a%0aX:"), None, None, "validation_failed"),
            (None, Some("a\nX"), None, "validation_failed"),
        ] {
            assert_eq!(parsed(basic, id, secret), Err(code), "{basic:?} {id:?}");
        }
    }
}
