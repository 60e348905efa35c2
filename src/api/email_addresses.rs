//! E-mail addresses: those of the caller, and the proof of them by mailed links and codes.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Tag;
use super::client::{client_ip, mail_origin, user_actor};
use super::first_party::{FreshOwnAccountGuard, OwnAccountGuard};
use super::input::JsonBody;
use super::responses::{NoContent, NoStore};
use super::secret_field::SecretField;
use super::spec::{FRESH_CODE, OperationSpec, examples};
use super::users::has_id_form;
use crate::App;
use crate::error::ApiError;
use crate::ids::{EmailId, UserId};
use crate::mailed_secrets::MailProof;
use crate::mailer::MailChallenge;
use crate::names::EmailAddress;
use crate::store::Email;

/// Operations on e-mail addresses.
pub(super) struct EmailAddressesApi(pub(super) App);

/// A secret of a mail or of the request for it.
pub(super) type MailedSecretField = SecretField<128>;

/// A request for a mail. It is the same whether an account has the address.
#[derive(Debug, Object)]
pub(super) struct MailChallengeResponse {
    /// Secret that is sent with the code of the mail: the code alone is not valid. Keep it in the page.
    request: String,
    /// Seconds for which the link and the code of the mail are valid.
    expires_in: u64,
}

impl From<MailChallenge> for MailChallengeResponse {
    fn from(challenge: MailChallenge) -> Self {
        Self {
            request: challenge.request.expose_secret().to_owned(),
            expires_in: challenge.expires_in.as_secs(),
        }
    }
}

/// A mail is on its way.
#[derive(ApiResponse)]
pub(super) enum MailAccepted {
    /// Accepted. The mail is sent afterwards, also if the mail server does not respond now.
    #[oai(status = 202)]
    Accepted(Json<MailChallengeResponse>),
}

impl From<MailChallenge> for MailAccepted {
    fn from(challenge: MailChallenge) -> Self {
        Self::Accepted(Json(challenge.into()))
    }
}

/// An e-mail address of the caller.
#[derive(Debug, Object)]
pub(super) struct EmailResponse {
    /// Id of the address.
    id: String,
    /// The address.
    address: String,
    /// True if the caller has proved it. Only such an address logs in and receives mails.
    verified: bool,
    /// True for the one address that receives notices about the account.
    primary: bool,
    /// Time when it was added.
    created_at: String,
}

impl From<Email> for EmailResponse {
    fn from(email: Email) -> Self {
        Self {
            id: email.id.to_string(),
            address: email.address.display(),
            verified: email.verified_at.is_some(),
            primary: email.is_primary,
            created_at: email.created_at.to_string(),
        }
    }
}

/// The caller's addresses, the oldest first. There are at most ten.
#[derive(Debug, Object)]
struct EmailListResponse {
    /// The addresses.
    items: Vec<EmailResponse>,
}

/// An e-mail address.
#[derive(Debug, Object)]
pub(super) struct EmailRequest {
    /// E-mail address.
    #[oai(validator(min_length = 3, max_length = 254))]
    pub(super) email: String,
}

/// The link of a mail, or its code with the secret of the request.
#[derive(Debug, Object)]
struct VerifyEmailRequest {
    /// The part of the link after `#`.
    link: Option<MailedSecretField>,
    /// The `request` of the response that announced the mail.
    request: Option<MailedSecretField>,
    /// The six digits of the mail.
    code: Option<SecretField<32>>,
}

#[OpenApi]
impl EmailAddressesApi {
    /// List my e-mail addresses
    ///
    /// Returns the addresses of the caller, verified or not.
    #[oai(
        path = "/v1/me/emails",
        method = "get",
        operation_id = "listMyEmails",
        tag = "Tag::Account"
    )]
    async fn list(
        &self,
        guard: OwnAccountGuard,
    ) -> Result<NoStore<Json<EmailListResponse>>, ApiError> {
        let user = UserId::from(guard.claims.sub.as_str());
        let emails = self.0.addresses.list(&user).await?;
        let items = emails.into_iter().map(EmailResponse::from).collect();
        Ok(NoStore::new(Json(EmailListResponse { items })))
    }

    /// Add an e-mail address
    ///
    /// Sends a link and a code to the address. It counts only after one of them was presented; the other addresses
    /// stay as they are. Repeating the request sends another mail. Requires a fresh token.
    #[oai(
        path = "/v1/me/emails",
        method = "post",
        operation_id = "addMyEmail",
        tag = "Tag::Account"
    )]
    async fn add(
        &self,
        guard: FreshOwnAccountGuard,
        request: &Request,
        body: JsonBody<EmailRequest>,
    ) -> Result<NoStore<MailAccepted>, ApiError> {
        let (claims, config) = (&guard.claims, &self.0.config);
        let user = UserId::from(claims.sub.as_str());
        let by = user_actor(claims, request, config);
        let address = parse_address(&body.0.email)?;
        let origin = mail_origin(request, config);
        let challenge = self.0.addresses.add(&user, address, &by, origin).await?;
        Ok(NoStore::new(challenge.into()))
    }

    /// Remove an e-mail address
    ///
    /// Links and codes that were mailed are void from then on. The primary address can be removed only if no other
    /// one is verified. Requires a fresh token.
    #[oai(
        path = "/v1/me/emails/:id",
        method = "delete",
        operation_id = "removeMyEmail",
        tag = "Tag::Account"
    )]
    async fn remove(
        &self,
        guard: FreshOwnAccountGuard,
        request: &Request,
        /// Id of the address.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let user = UserId::from(guard.claims.sub.as_str());
        let by = user_actor(&guard.claims, request, &self.0.config);
        let id = parse_email_id(&id)?;
        self.0.addresses.remove(&user, &id, &by).await?;
        Ok(NoStore::new(NoContent::Success))
    }

    /// Make an e-mail address the primary one
    ///
    /// The primary address receives notices about the account; the one before receives a notice of the change.
    /// Requires a fresh token.
    #[oai(
        path = "/v1/me/emails/:id/primary",
        method = "post",
        operation_id = "makeMyEmailPrimary",
        tag = "Tag::Account"
    )]
    async fn make_primary(
        &self,
        guard: FreshOwnAccountGuard,
        request: &Request,
        /// Id of the address.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let user = UserId::from(guard.claims.sub.as_str());
        let by = user_actor(&guard.claims, request, &self.0.config);
        let id = parse_email_id(&id)?;
        self.0.addresses.make_primary(&user, &id, &by).await?;
        Ok(NoStore::new(NoContent::Success))
    }

    /// Verify an e-mail address
    ///
    /// Proves by the link or the code of a mail that the address belongs to the user who claims it. Claims of other
    /// accounts to the address are void then. It starts no session.
    #[oai(
        path = "/v1/email/verify",
        method = "post",
        operation_id = "verifyEmail",
        tag = "Tag::Account"
    )]
    async fn verify(
        &self,
        request: &Request,
        body: JsonBody<VerifyEmailRequest>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let JsonBody(input) = body;
        let proof = mail_proof(input.link, input.request, input.code)?;
        let ip = client_ip(request, &self.0.config);
        self.0.addresses.verify(&proof, ip).await?;
        Ok(NoStore::new(NoContent::Success))
    }
}

/// Returns the proof in a body: a link alone, or a request and a code.
pub(super) fn mail_proof(
    link: Option<MailedSecretField>,
    request: Option<MailedSecretField>,
    code: Option<SecretField<32>>,
) -> Result<MailProof, ApiError> {
    match (link, request, code) {
        (Some(link), None, None) => Ok(MailProof::Link(link.0)),
        (None, Some(request), Some(code)) => Ok(MailProof::Code {
            request: request.0,
            code: code.0,
        }),
        _ => Err(ApiError::invalid_field(
            "link",
            "must be given alone, or `request` and `code` together in place of it",
        )),
    }
}

/// Parses an e-mail address in a body.
pub(super) fn parse_address(text: &str) -> Result<EmailAddress, ApiError> {
    EmailAddress::parse(text).map_err(|fault| ApiError::invalid_field("email", fault.to_string()))
}

/// Returns the id in a path. A text that is not an id is answered like the id of an unknown address.
fn parse_email_id(id: &str) -> Result<EmailId, ApiError> {
    if has_id_form(id) {
        Ok(EmailId::from(id))
    } else {
        Err(ApiError::NotFound("you have no such address"))
    }
}

/// Returns the example of a request for a mail.
pub(super) fn mail_challenge_example() -> Value {
    json!({ "request": examples::LINK, "expires_in": 3600 })
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let address = json!({
        "id": "b1Zq0vXkQ3aE5sT7uY9wLg", "address": "ada@example.org", "verified": true,
        "primary": true, "created_at": "2026-11-24T06:00:00Z",
    });
    vec![
        OperationSpec::new("listMyEmails").response("200", json!({ "items": [address] })),
        OperationSpec::new("addMyEmail")
            .errors(&[FRESH_CODE, "not_found", "conflict", "too_many_requests"])
            .request(json!({ "email": "ada@example.org" }))
            .response("202", mail_challenge_example()),
        OperationSpec::new("removeMyEmail").errors(&[FRESH_CODE, "not_found", "conflict"]),
        OperationSpec::new("makeMyEmailPrimary").errors(&[FRESH_CODE, "not_found", "conflict"]),
        OperationSpec::new("verifyEmail")
            .errors(&["invalid_code", "conflict", "too_many_requests"])
            .requests(&[
                (
                    "link",
                    "By the link of the mail",
                    json!({ "link": examples::LINK }),
                ),
                (
                    "code",
                    "By the code of the mail",
                    json!({ "request": examples::LINK, "code": "123456" }),
                ),
            ]),
    ]
}
