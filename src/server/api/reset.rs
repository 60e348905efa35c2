//! New passwords for those who forgot theirs.

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
    /// Address to be handed to the user; whoever has it sets the password.
    link: String,
    /// When it stops working.
    expires_at: String,
}

/// A link that could still be used. Its secret was shown once, to the administrator who made it.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct OpenLinkAnswer {
    /// Names the user whose password it sets.
    user_id: String,
    /// Name of that user.
    username: String,
    /// Name of the administrator who made it; absent for the command line.
    by: Option<String>,
    /// When it was made.
    made_at: String,
    /// When it stops working.
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

/// A page of the links that are open, by the name of their user.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct OpenLinksAnswer {
    /// The links.
    items: Vec<OpenLinkAnswer>,
    /// Value of `after` for the next page; absent on the last.
    next: Option<String>,
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
    /// The part of the link after `#`.
    link: Secret<128>,
    /// Password from now on: long, and none of the common ones.
    password: Password,
}

/// The secret of a link that an administrator made.
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
    /// Make a link that sets a new password
    ///
    /// For a user who forgot the password. It works once, within 24 hours; an older link of that user
    /// stops working. The password stays until the link is used. The link works on the authority of
    /// the administrator who made it, and no longer when that administrator is disabled or demoted, has another
    /// password, or logs out everywhere. Asks for a fresh token.
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

    /// Withdraw the link of a user
    ///
    /// It stops working at once.
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
        /// Names the user, as the list does.
        id: Path<String>,
    ) -> Result<Private<Done>, ApiError> {
        let by = actor(&guard.claims, request, &self.0.config);
        self.0.withdraw_reset_link(&known(&id)?, &by).await?;
        Ok(Private::new(Done::Done))
    }

    /// List open links
    ///
    /// Answers every link that sets a password and could still be used, by the name of its user, a page
    /// at a time.
    #[oai(
        path = "/v1/reset-links",
        method = "get",
        operation_id = "listResetLinks",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        _guard: Administrator,
        /// The `next` of the page before.
        #[oai(validator(max_length = 254))]
        after: Query<Option<String>>,
        /// At most this many.
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

    /// Read whose password a link sets
    ///
    /// For pages that set a password: a password manager keeps it under the name of the user. The link is
    /// not used up.
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
