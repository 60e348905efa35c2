//! Password reset, by mails and with links that administrators create.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use secrecy::ExposeSecret;
use serde_json::json;

use super::Tag;
use super::client::{client_ip, mail_origin, user_actor};
use super::email_addresses::{
    EmailRequest, MailAccepted, MailedSecretField, mail_challenge_example, mail_proof,
    parse_address,
};
use super::input::JsonBody;
use super::pagination::{default_page_size, rows_to_query, split_page, without_nul};
use super::responses::{NoContent, NoStore};
use super::secret_field::{PasswordField, SecretField};
use super::spec::{FRESH_CODE, OperationSpec, examples};
use super::users::{AdministratorGuard, FreshAdministratorGuard, parse_user_id};
use crate::App;
use crate::error::ApiError;
use crate::store::{OpenResetLink, ResetLinkPageRequest};

/// Operations on links that set a password.
pub(super) struct PasswordResetApi(pub(super) App);

/// A link that sets a new password once.
#[derive(Debug, Object)]
#[oai(rename = "ResetLinkAnswer")]
struct ResetLinkResponse {
    /// The link for the user. Everyone who has it can set the password.
    link: String,
    /// Time when the link expires.
    expires_at: String,
}

/// An unused link. Its secret was returned once, to the administrator that created it.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "OpenLinkAnswer")]
struct UnusedLinkResponse {
    /// Id of the user whose password the link sets.
    user_id: String,
    /// Name of that user.
    username: String,
    /// Name of the administrator that created the link; absent for the command line.
    by: Option<String>,
    /// Creation time of the link.
    made_at: String,
    /// Time when the link expires.
    expires_at: String,
}

impl From<OpenResetLink> for UnusedLinkResponse {
    fn from(link: OpenResetLink) -> Self {
        let by = link.made_by;
        Self {
            user_id: link.user.to_string(),
            username: link.username,
            by: by.map(|by| by.username.unwrap_or_else(|| by.id.to_string())),
            made_at: link.made_at.to_string(),
            expires_at: link.expires_at.to_string(),
        }
    }
}

/// A page of unused links, ordered by user name.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
#[oai(rename = "OpenLinksAnswer")]
struct UnusedLinkListResponse {
    /// The links.
    items: Vec<UnusedLinkResponse>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

#[derive(Debug, ApiResponse)]
enum ResetLinkCreated {
    /// Created. The link is returned only this once.
    #[oai(status = 201)]
    Created(Json<ResetLinkResponse>),
}

/// A new password, and the proof: the secret of a link, or the code of a mail with the secret of the request for it.
#[derive(Debug, Object)]
#[oai(rename = "ResetRequest")]
struct ResetPasswordRequest {
    /// The part of the link after `#`.
    link: Option<MailedSecretField>,
    /// The `request` of the response that announced the mail.
    request: Option<MailedSecretField>,
    /// The six digits of the mail.
    code: Option<SecretField<32>>,
    /// New password: long, and not a common one.
    password: PasswordField,
}

/// The secret of a reset link.
#[derive(Debug, Object)]
struct ResetLinkUserRequest {
    /// The part of the link after `#`.
    link: SecretField<128>,
}

/// The user of a link.
#[derive(Debug, Object)]
#[oai(rename = "ResetLinkUserAnswer")]
struct ResetLinkUserResponse {
    /// Name of the user whose password the link sets.
    username: String,
}

#[OpenApi]
impl PasswordResetApi {
    /// Create a reset link
    ///
    /// For users who forgot their password. The link sets a new password once, within 24 hours; an older
    /// link of the user becomes invalid. The old password is valid until the link is used. The link depends
    /// on the administrator that created it: it becomes invalid when that administrator is disabled or
    /// demoted, changes the password, or logs out everywhere. Requires a fresh token.
    #[oai(
        path = "/v1/users/:id/reset-link",
        method = "post",
        operation_id = "makeResetLink",
        tag = "Tag::Users"
    )]
    async fn make(
        &self,
        guard: FreshAdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<ResetLinkCreated>, ApiError> {
        let by = user_actor(&guard.claims, request, &self.0.config);
        let created = self
            .0
            .password_resets
            .create(&parse_user_id(&id)?, &by)
            .await?;
        Ok(NoStore::new(ResetLinkCreated::Created(Json(
            ResetLinkResponse {
                link: created.address.expose_secret().to_owned(),
                expires_at: created.expires_at.to_string(),
            },
        ))))
    }

    /// Withdraw the reset link of a user
    ///
    /// The link becomes invalid at once.
    #[oai(
        path = "/v1/users/:id/reset-link",
        method = "delete",
        operation_id = "withdrawResetLink",
        tag = "Tag::Users"
    )]
    async fn withdraw(
        &self,
        guard: AdministratorGuard,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let by = user_actor(&guard.claims, request, &self.0.config);
        self.0
            .password_resets
            .withdraw(&parse_user_id(&id)?, &by)
            .await?;
        Ok(NoStore::new(NoContent::Success))
    }

    /// List unused reset links
    ///
    /// Returns every valid reset link, ordered by user name, one page at a time.
    #[oai(
        path = "/v1/reset-links",
        method = "get",
        operation_id = "listResetLinks",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        _guard: AdministratorGuard,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 254))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "default_page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<NoStore<Json<UnusedLinkListResponse>>, ApiError> {
        let page = ResetLinkPageRequest {
            after: without_nul("after", after.0)?,
            limit: rows_to_query(*limit),
        };
        let links = self.0.password_resets.list(&page).await?;
        let (links, next) = split_page(links, *limit, |link| link.username.clone());
        let items = links.into_iter().map(UnusedLinkResponse::from).collect();
        Ok(NoStore::new(Json(UnusedLinkListResponse { items, next })))
    }

    /// Ask for a mail that resets the password
    ///
    /// Sends a link and a code to the address if an account has verified it. The response and its time are the same
    /// if none has. The old password stays valid until a new one is set.
    #[oai(
        path = "/v1/password/forgot",
        method = "post",
        operation_id = "forgotPassword",
        tag = "Tag::Account"
    )]
    async fn forgot(
        &self,
        request: &Request,
        body: JsonBody<EmailRequest>,
    ) -> Result<NoStore<MailAccepted>, ApiError> {
        let address = parse_address(&body.0.email)?;
        let origin = mail_origin(request, &self.0.config);
        let challenge = self.0.password_resets.request_by_mail(address, origin);
        Ok(NoStore::new(challenge.await?.into()))
    }

    /// Set a new password with a link or a code
    ///
    /// Uses up the link of a mail or of an administrator, or the code of a mail, voids every other link and code of
    /// the account, and ends every session of the user. It starts no session: the user logs in afterwards.
    #[oai(
        path = "/v1/password/reset",
        method = "post",
        operation_id = "resetPassword",
        tag = "Tag::Account"
    )]
    async fn reset(
        &self,
        request: &Request,
        body: JsonBody<ResetPasswordRequest>,
    ) -> Result<NoStore<NoContent>, ApiError> {
        let JsonBody(input) = body;
        let proof = mail_proof(input.link, input.request, input.code)?;
        let ip = client_ip(request, &self.0.config);
        self.0
            .password_resets
            .reset_password(&proof, input.password.0, ip)
            .await?;
        Ok(NoStore::new(NoContent::Success))
    }

    /// Read the user of a reset link
    ///
    /// For pages that set a password: password managers store it under the user name. The link is not
    /// consumed.
    #[oai(
        path = "/v1/password/reset/user",
        method = "post",
        operation_id = "readResetLinkUser",
        tag = "Tag::Account"
    )]
    async fn user(
        &self,
        body: JsonBody<ResetLinkUserRequest>,
    ) -> Result<NoStore<Json<ResetLinkUserResponse>>, ApiError> {
        let link = body.0.link.0;
        let user = self.0.password_resets.user_of_link(&link).await?;
        let username = user.username;
        Ok(NoStore::new(Json(ResetLinkUserResponse { username })))
    }
}

/// Returns the additions to the document.
pub(super) fn operation_specs() -> Vec<OperationSpec> {
    let link = examples::LINK;
    let open_link = json!({
        "user_id": examples::USER, "username": "ada", "by": "grace",
        "made_at": "2026-11-24T06:00:00Z", "expires_at": "2026-11-25T06:00:00Z",
    });
    vec![
        OperationSpec::new("makeResetLink")
            .errors(&[FRESH_CODE, "not_found", "conflict"])
            .response(
                "201",
                json!({
                    "link": format!("https://auth.example.org/reset#{link}"),
                    "expires_at": "2026-11-25T06:00:00Z",
                }),
            ),
        OperationSpec::new("withdrawResetLink").errors(&["not_found"]),
        OperationSpec::new("listResetLinks")
            .response("200", json!({ "items": [open_link], "next": "ada" })),
        OperationSpec::new("resetPassword")
            .errors(&[
                "weak_password",
                "not_found",
                "invalid_code",
                "too_many_requests",
            ])
            .requests(&[
                (
                    "link",
                    "By a link",
                    json!({ "link": link, "password": examples::PASSWORD }),
                ),
                (
                    "code",
                    "By the code of a mail",
                    json!({
                        "request": link, "code": "123456", "password": examples::PASSWORD,
                    }),
                ),
            ]),
        OperationSpec::new("forgotPassword")
            .errors(&["not_found", "too_many_requests"])
            .request(json!({ "email": "ada@example.org" }))
            .response("202", mail_challenge_example()),
        OperationSpec::new("readResetLinkUser")
            .errors(&["not_found"])
            .request(json!({ "link": link }))
            .response("200", json!({ "username": "ada" })),
    ]
}
