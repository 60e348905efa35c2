//! Lists of live sessions.

use std::fmt;
use std::str::FromStr;

use entity::session::{Column, Entity, Model};
use entity::user;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use super::authority::IS_LIVE;
use super::users::name_begins_with;
use super::{LoginDevice, Session, SessionId, Store, StoreError, UserId, with_deadline};
use latchet_guard::clock::Time;

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// The session.
    pub session: Session,
    /// Time of the login.
    pub created_at: Time,
    /// Device of the login.
    pub device: LoginDevice,
}

impl TryFrom<Model> for ListedSession {
    type Error = StoreError;

    fn try_from(mut row: Model) -> Result<Self, StoreError> {
        let device = LoginDevice {
            user_agent: std::mem::take(&mut row.user_agent),
            ip: std::mem::take(&mut row.ip),
            label: std::mem::take(&mut row.label),
        };
        Ok(Self {
            created_at: Time::from_millis(row.created_at),
            device,
            session: Session::try_from(row)?,
        })
    }
}

/// A session whose row is kept, also if it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// The session.
    pub listed: ListedSession,
    /// Time at which its row was marked as revoked.
    pub revoked_at: Option<Time>,
}

/// A listed session and the name of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionWithUsername {
    /// The session.
    pub listed: ListedSession,
    /// User name as typed at creation.
    pub username: String,
}

/// Request for a page of sessions, newest login first.
#[derive(Clone, Debug)]
pub struct SessionPageRequest {
    /// Only sessions of this user.
    pub user: Option<UserId>,
    /// Only sessions after this position, that of the last session of the previous page.
    pub after: Option<SessionCursor>,
    /// Only sessions of users whose name begins with this, ignoring case.
    pub search: Option<String>,
    /// At most this many.
    pub limit: u64,
}

/// Position of a session in the order of logins: the cursor of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCursor {
    created_at: Time,
    id: SessionId,
}

impl SessionCursor {
    /// Returns the position of a session.
    pub fn of(listed: &ListedSession) -> Self {
        Self {
            created_at: listed.created_at,
            id: listed.session.id.clone(),
        }
    }
}

/// Error for text that is not a valid [`SessionCursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid position in a list of sessions")]
pub struct InvalidSessionCursor;

impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.millis(), self.id)
    }
}

impl FromStr for SessionCursor {
    type Err = InvalidSessionCursor;

    fn from_str(text: &str) -> Result<Self, InvalidSessionCursor> {
        let (millis, id) = text.split_once('.').ok_or(InvalidSessionCursor)?;
        let millis = millis.parse().map_err(|_| InvalidSessionCursor)?;
        // PostgreSQL accepts no NUL in a text.
        if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidSessionCursor);
        }
        Ok(Self {
            created_at: Time::from_millis(millis),
            id: SessionId::from(id),
        })
    }
}

/// Most users whose sessions are searched by their ids.
const MAX_NAMED_USERS: u64 = 1_000;

/// Most rows of sessions that one export contains.
const MAX_KEPT: u64 = 10_000;

/// Most login addresses that are read. A user has fewer live sessions; the others have ended.
const MAX_ADDRESSES: u64 = 1_000;

impl Store {
    /// Returns the addresses from which a user has logged in since `since`, as far as the rows of these sessions
    /// have not been deleted.
    pub async fn addresses_of_logins(
        &self,
        user: &UserId,
        since: Time,
    ) -> Result<Vec<String>, StoreError> {
        let addresses = Entity::find()
            .select_only()
            .column(Column::Ip)
            .distinct()
            .filter(Column::UserId.eq(user.as_str()))
            .filter(Column::CreatedAt.gte(since.millis()))
            .limit(MAX_ADDRESSES)
            .into_tuple::<String>();
        with_deadline(async { Ok(addresses.all(self.reader()).await?) }).await
    }

    /// Returns the sessions of a user whose rows are kept, newest login first: live ones, and ended ones for some days.
    pub async fn kept_sessions(&self, user: &UserId) -> Result<Vec<KeptSession>, StoreError> {
        let found = Entity::find()
            .filter(Column::UserId.eq(user.as_str()))
            .order_by_desc(Column::CreatedAt)
            .limit(MAX_KEPT);
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        let kept = rows.into_iter().map(|row| {
            Ok(KeptSession {
                revoked_at: row.revoked_at.map(Time::from_millis),
                listed: ListedSession::try_from(row)?,
            })
        });
        kept.collect()
    }

    /// Returns one page of the live sessions.
    pub async fn sessions(
        &self,
        page: &SessionPageRequest,
        now: Time,
    ) -> Result<Vec<SessionWithUsername>, StoreError> {
        let mut found = Entity::find().filter(live_at(now));
        if let Some(after) = &page.after {
            let after = [
                Expr::val(after.created_at.millis()),
                Expr::val(after.id.as_str()),
            ];
            found = found.filter(Expr::tuple(cursor_columns()).lt(Expr::tuple(after)));
        }
        if let Some(user) = &page.user {
            found = found.filter(Column::UserId.eq(user.as_str()));
        }
        if let Some(search) = &page.search {
            found = found.filter(self.of_users_named(search).await?);
        }
        for column in cursor_columns() {
            found = found.order_by(column, Order::Desc);
        }
        let found = found.limit(page.limit);
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        let listed = rows.into_iter().map(ListedSession::try_from);
        self.with_usernames(listed.collect::<Result<_, _>>()?).await
    }

    /// Condition of the sessions of users whose name begins with `prefix`. Few users are named by their ids, so that
    /// the index of their sessions is used; the sessions of many are found soon in the order of the logins.
    async fn of_users_named(&self, prefix: &str) -> Result<Condition, StoreError> {
        let users = user::Entity::find()
            .select_only()
            .column(user::Column::Id)
            .filter(name_begins_with(Some(prefix)));
        let ids = users
            .clone()
            .limit(MAX_NAMED_USERS + 1)
            .into_tuple::<String>();
        let ids = with_deadline(async { Ok(ids.all(self.reader()).await?) }).await?;
        let are_few = u64::try_from(ids.len()).is_ok_and(|count| count <= MAX_NAMED_USERS);
        Ok(Condition::all().add(if are_few {
            Column::UserId.is_in(ids)
        } else {
            // For each session, until the page is full: a list of the ids would be long.
            let is_owner =
                Expr::col((user::Entity, user::Column::Id)).eq(Expr::col((Entity, Column::UserId)));
            Expr::exists(users.filter(is_owner).into_query())
        }))
    }

    async fn with_usernames(
        &self,
        listed: Vec<ListedSession>,
    ) -> Result<Vec<SessionWithUsername>, StoreError> {
        let users = listed.iter().map(|listed| listed.session.user_id.as_str());
        let names = self.usernames(users.collect()).await?;
        let sessions = listed.into_iter().map(|listed| SessionWithUsername {
            username: names
                .get(listed.session.user_id.as_str())
                .cloned()
                .unwrap_or_default(),
            listed,
        });
        Ok(sessions.collect())
    }
}

/// Columns of a [`SessionCursor`], in the order of an index.
fn cursor_columns() -> [Expr; 2] {
    [Expr::col(Column::CreatedAt), Expr::col(Column::Id)]
}

/// Condition of a session that has not ended by `now`.
fn live_at(now: Time) -> Condition {
    let now = now.millis();
    let rested_until = Expr::col(Column::RotatedAt).add(Expr::col(Column::IdleLimit));
    Condition::all()
        .add(Expr::cust(IS_LIVE))
        .add(Column::ExpiresAt.gt(now))
        .add(rested_until.gt(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_parsed_as_it_was_written() {
        let place = SessionCursor {
            created_at: Time::from_millis(1_800_000_000_000),
            id: SessionId::from("c2Vzc2lvbi1vZi1hZGEtMQ"),
        };

        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "1", "a.b", "1.\0", "1.\u{e9}", "99999999999999999999.a"] {
            assert_eq!(
                bad.parse::<SessionCursor>(),
                Err(InvalidSessionCursor),
                "{bad:?}"
            );
        }
    }
}
