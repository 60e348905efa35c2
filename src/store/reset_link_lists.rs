//! Lists of open reset links.

use std::collections::{BTreeMap, BTreeSet};

use entity::reset_link::{Column, Entity, Model};
use entity::user;
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Store, StoreError, UserId, UserReference, with_deadline};
use crate::names::fold_username;
use latchet_guard::clock::Time;

/// A link that can still be used. The store knows only the hash of its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenResetLink {
    /// User whose password it sets.
    pub user: UserId,
    /// User name as typed at creation.
    pub username: String,
    /// Administrator that created it; `None` for the operator.
    pub made_by: Option<UserReference>,
    /// Time of creation.
    pub made_at: Time,
    /// Time of expiry.
    pub expires_at: Time,
}

/// Request for a page of open links, ordered by the folded name of their user.
#[derive(Clone, Debug)]
pub struct ResetLinkPageRequest {
    /// Only links of users whose name comes after this one, the last of the previous page.
    pub after: Option<String>,
    /// At most this many.
    pub limit: u64,
}

impl Store {
    /// Returns one page of the open links.
    pub async fn reset_links(
        &self,
        page: &ResetLinkPageRequest,
        now: Time,
    ) -> Result<Vec<OpenResetLink>, StoreError> {
        let open = Query::select()
            .column(Column::UserId)
            .from(Entity)
            .cond_where(Column::ExpiresAt.gt(now.millis()))
            .take();
        let mut users = user::Entity::find()
            .select_only()
            .columns([user::Column::Id, user::Column::Username])
            .filter(user::Column::Id.in_subquery(open));
        if let Some(after) = &page.after {
            users = users.filter(user::Column::UsernameKey.gt(fold_username(after)));
        }
        let users = users
            .order_by_asc(user::Column::UsernameKey)
            .limit(page.limit)
            .into_tuple::<(String, String)>();
        let (users, links) = with_deadline(async {
            let users = users.all(self.reader()).await?;
            let ids = users.iter().map(|(id, _)| id.as_str());
            let links = Entity::find()
                .filter(Column::UserId.is_in(ids))
                .filter(Column::ExpiresAt.gt(now.millis()));
            let links = links.all(self.reader()).await?;
            Ok((users, links))
        })
        .await?;
        let creators: BTreeSet<&str> = links
            .iter()
            .filter_map(|link| link.made_by.as_deref())
            .collect();
        let names = self.usernames(creators).await?;
        let mut links: BTreeMap<String, Model> = links
            .into_iter()
            .map(|link| (link.user_id.clone(), link))
            .collect();
        // A link that was used between the two queries is missing.
        let open = users.into_iter().filter_map(|(id, username)| {
            let link = links.remove(&id)?;
            Some(OpenResetLink {
                user: id.into(),
                username,
                made_by: link.made_by.map(|id| UserReference {
                    username: names.get(&id).cloned(),
                    id: id.into(),
                }),
                made_at: Time::from_millis(link.made_at),
                expires_at: Time::from_millis(link.expires_at),
            })
        });
        Ok(open.collect())
    }
}
