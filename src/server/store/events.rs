//! Rows of `events`. Each is written in the transaction of the change that it records, so that none is lost
//! and none is recorded without the change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use entity::event::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, NotSet, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::{SessionId, Store, StoreError, UserId, limited};
use crate::clock::Time;
use crate::server::events::{Actor, EventKind};

/// A security event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Grows with every event.
    pub id: i64,
    /// Time of the event.
    pub at: Time,
    /// Kind of the event.
    pub kind: EventKind,
    /// User that it concerns.
    pub user: Option<NamedUser>,
    /// Session that it concerns.
    pub session: Option<SessionId>,
    /// User that caused it; `None` for the command line and for anonymous clients.
    pub by: Option<NamedUser>,
    /// Address of the client that caused it.
    pub ip: Option<String>,
}

/// Reference to a user in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUser {
    /// Id of the user.
    pub id: UserId,
    /// User name as typed at creation; `None` when this database has no such user, such as the user of a token
    /// of another issuer.
    pub username: Option<String>,
}

/// Request for a page of events, newest first.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// Only events before this one, the last of the previous page.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: u64,
}

/// An event to be recorded.
pub(super) struct NewEvent<'a> {
    pub(super) at: Time,
    pub(super) kind: EventKind,
    pub(super) user: Option<&'a UserId>,
    pub(super) session: Option<&'a SessionId>,
    pub(super) by: Option<&'a UserId>,
    pub(super) ip: Option<IpAddr>,
}

impl<'a> NewEvent<'a> {
    /// Returns an event without a user and a session.
    pub(super) fn new(kind: EventKind, by: &'a Actor, at: Time) -> Self {
        Self {
            at,
            kind,
            user: None,
            session: None,
            by: by.id(),
            ip: by.ip(),
        }
    }
}

impl Store {
    /// Returns one page of events.
    pub async fn events(&self, page: &EventPage) -> Result<Vec<Event>, StoreError> {
        let mut found = Entity::find();
        if let Some(after) = page.after {
            found = found.filter(Column::Id.lt(after));
        }
        let found = found.order_by_desc(Column::Id).limit(page.limit);
        let rows = limited(async { Ok(found.all(self.reader()).await?) }).await?;
        let mut ids = BTreeSet::new();
        for row in &rows {
            ids.extend(row.user_id.as_deref());
            ids.extend(row.actor_id.as_deref());
        }
        let names = self.usernames(ids).await?;
        let with_name = |id: String| NamedUser {
            username: names.get(&id).cloned(),
            id: id.into(),
        };
        let events = rows.into_iter().map(|row| event(row, with_name));
        events.collect()
    }
}

/// Records an event. Must run in the transaction of the change that it records.
pub(super) async fn insert<C: ConnectionTrait>(
    db: &C,
    event: NewEvent<'_>,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: NotSet,
        at: Set(event.at.millis()),
        kind: Set(event.kind.to_string()),
        user_id: Set(event.user.map(UserId::to_string)),
        session_id: Set(event.session.map(SessionId::to_string)),
        actor_id: Set(event.by.map(UserId::to_string)),
        ip: Set(event.ip.map(|ip| ip.to_string())),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

fn event(row: Model, with_name: impl Fn(String) -> NamedUser) -> Result<Event, StoreError> {
    Ok(Event {
        id: row.id,
        at: Time::from_millis(row.at),
        kind: row.kind.parse().map_err(StoreError::malformed)?,
        user: row.user_id.map(&with_name),
        session: row.session_id.map(SessionId::from),
        by: row.actor_id.map(&with_name),
        ip: row.ip,
    })
}
