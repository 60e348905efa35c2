//! New passwords for those who forgot theirs.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use secrecy::ExposeSecret;

use super::Tag;
use super::answer::{Done, Private};
use super::caller::{actor, stranger};
use super::input::Body;
use super::secret::{Password, Secret};
use super::users::{FreshAdministrator, known};
use crate::server::App;
use crate::server::error::ApiError;

/// Operations on links that set a password.
pub(super) struct ResetApi(pub(super) App);

/// A link that sets a new password once.
#[derive(Debug, Object)]
struct ResetLinkAnswer {
    /// Address to be handed to the user; whoever has it sets the password.
    link: String,
    /// When it stops working.
    expires_at: String,
}

#[derive(Debug, ApiResponse)]
enum LinkMade {
    /// Made. It is shown this once.
    #[oai(status = 201)]
    Made(Json<ResetLinkAnswer>),
}

/// A new password, and the secret of the link that an administrator made.
#[derive(Debug, Object)]
struct ResetRequest {
    /// What follows `#` in the link.
    link: Secret<128>,
    /// Password from now on: long, and none of the common ones.
    password: Password,
}

#[OpenApi]
impl ResetApi {
    /// Make a link that sets a new password
    ///
    /// For a user who forgot the password. It works once, within 24 hours; an older link of that user
    /// stops working. The password stays until the link is used. Asks for a fresh token.
    #[oai(
        path = "/v1/users/:id/reset-link",
        method = "post",
        operation_id = "makeResetLink",
        tag = "Tag::Users"
    )]
    async fn make(
        &self,
        guard: FreshAdministrator,
        request: &Request,
        /// Names the user, as the list does.
        id: Path<String>,
    ) -> Result<Private<LinkMade>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        let made = self.0.make_reset_link(&known(&id)?, &by).await?;
        Ok(Private::new(LinkMade::Made(Json(ResetLinkAnswer {
            link: made.address.expose_secret().to_owned(),
            expires_at: made.expires_at.to_string(),
        }))))
    }

    /// Set a new password by a link
    ///
    /// Uses the link up and ends every session of the user.
    #[oai(
        path = "/v1/password/reset",
        method = "post",
        operation_id = "resetPassword",
        tag = "Tag::Account"
    )]
    async fn reset(
        &self,
        request: &Request,
        body: Body<ResetRequest>,
    ) -> Result<Private<Done>, ApiError> {
        let Body(asked) = body;
        let by = stranger(request, &self.0.config);
        let link = asked.link.0.expose_secret();
        self.0.reset_password(link, asked.password.0, &by).await?;
        Ok(Private::new(Done::Done))
    }
}
