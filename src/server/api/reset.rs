//! Password reset with links that administrators create.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use secrecy::ExposeSecret;

use super::Tag;
use super::answer::{Done, Private};
use super::caller::{actor, stranger};
use super::input::Body;
use super::page::{cut, page_size, rows, text};
use super::secret::{Password, Secret};
use super::users::{Administrator, FreshAdministrator, known};
use crate::server::App;
use crate::server::error::ApiError;
use crate::server::store::{OpenResetLink, ResetLinkPage};

/// Operations on links that set a password.
pub(super) struct ResetApi(pub(super) App);

/// A link that sets a new password once.
#[derive(Debug, Object)]
struct ResetLinkAnswer {
    /// The link for the user. Everyone who has it can set the password.
    link: String,
    /// Time when the link expires.
    expires_at: String,
}

/// An unused link. Its secret was returned once, to the administrator that created it.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct OpenLinkAnswer {
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

impl From<OpenResetLink> for OpenLinkAnswer {
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
struct OpenLinksAnswer {
    /// The links.
    items: Vec<OpenLinkAnswer>,
    /// Value of `after` for the next page; absent on the last page.
    next: Option<String>,
}

#[derive(Debug, ApiResponse)]
enum LinkMade {
    /// Created. The link is returned only this once.
    #[oai(status = 201)]
    Made(Json<ResetLinkAnswer>),
}

/// A new password, and the secret of a reset link.
#[derive(Debug, Object)]
struct ResetRequest {
    /// The part of the link after `#`.
    link: Secret<128>,
    /// New password: long, and not a common one.
    password: Password,
}

/// The secret of a reset link.
#[derive(Debug, Object)]
struct ResetLinkUserRequest {
    /// The part of the link after `#`.
    link: Secret<128>,
}

/// The user of a link.
#[derive(Debug, Object)]
struct ResetLinkUserAnswer {
    /// Name of the user whose password the link sets.
    username: String,
}

#[OpenApi]
impl ResetApi {
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
        guard: FreshAdministrator,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<Private<LinkMade>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        let made = self.0.make_reset_link(&known(&id)?, &by).await?;
        Ok(Private::new(LinkMade::Made(Json(ResetLinkAnswer {
            link: made.address.expose_secret().to_owned(),
            expires_at: made.expires_at.to_string(),
        }))))
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
        guard: Administrator,
        request: &Request,
        /// Id of the user.
        id: Path<String>,
    ) -> Result<Private<Done>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        self.0.withdraw_reset_link(&known(&id)?, &by).await?;
        Ok(Private::new(Done::Done))
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
        _guard: Administrator,
        /// The `next` of the previous page.
        #[oai(validator(max_length = 254))]
        after: Query<Option<String>>,
        /// Most items to return.
        #[oai(
            default = "page_size",
            validator(minimum(value = "1"), maximum(value = "200"))
        )]
        limit: Query<u32>,
    ) -> Result<Private<Json<OpenLinksAnswer>>, ApiError> {
        let page = ResetLinkPage {
            after: text("after", after.0)?,
            limit: rows(*limit),
        };
        let links = self.0.reset_links(&page).await?;
        let (links, next) = cut(links, *limit, |link| link.username.clone());
        let items = links.into_iter().map(OpenLinkAnswer::from).collect();
        Ok(Private::new(Json(OpenLinksAnswer { items, next })))
    }

    /// Set a new password with a reset link
    ///
    /// Consumes the link and ends every session of the user.
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
        body: Body<ResetLinkUserRequest>,
    ) -> Result<Private<Json<ResetLinkUserAnswer>>, ApiError> {
        let link = body.0.link.0.expose_secret();
        let username = self.0.user_of_reset_link(link).await?.username;
        Ok(Private::new(Json(ResetLinkUserAnswer { username })))
    }
}
