//! Options of a sign-in page.

use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;

use super::Tag;
use super::spec::OperationSpec;
use crate::App;
use crate::config::RegistrationPolicy;

/// Operation that describes the sign-in.
pub(super) struct SignInOptionsApi(pub(super) App);

/// Possibilities of people who are not signed in.
#[derive(Debug, Object)]
struct SignInOptionsResponse {
    /// True if everyone can create an account.
    registration: bool,
    /// True if this server sends mails: a forgotten password can be reset, and accounts have addresses.
    mail: bool,
}

#[OpenApi]
impl SignInOptionsApi {
    /// Read the sign-in options
    ///
    /// For sign-in pages, which offer a registration or a reset of the password only where that is possible.
    #[oai(
        path = "/v1/sign-in-options",
        method = "get",
        operation_id = "readSignInOptions",
        tag = "Tag::Account"
    )]
    #[expect(clippy::unused_async, reason = "handlers are async")]
    async fn read(&self) -> Json<SignInOptionsResponse> {
        Json(SignInOptionsResponse {
            registration: self.0.config.registration == RegistrationPolicy::Open,
            mail: self.0.accounts.mailer().is_on(),
        })
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    vec![
        OperationSpec::new("readSignInOptions")
            .response("200", json!({ "registration": true, "mail": true })),
    ]
}
