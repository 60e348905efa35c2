//! Rows of `events`. Each is written in the transaction of the change that it records, so that none is lost
//! and none is recorded without the change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use entity::event::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, NotSet, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

use super::{SessionId, Store, StoreError, UserId, with_deadline};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// A security event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// Grows with every event.
    pub id: i64,
    /// Time of the event.
    pub at: Time,
    /// Kind of the event.
    pub kind: EventKind,
    /// User that it concerns.
    pub user: Option<UserReference>,
    /// Session that it concerns.
    pub session: Option<SessionId>,
    /// User that caused it; `None` for the command line and for anonymous clients.
    pub actor: Option<UserReference>,
    /// Address of the client that caused it.
    pub ip: Option<String>,
}

/// Reference to a user in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserReference {
    /// Id of the user.
    pub id: UserId,
    /// User name as typed at creation; `None` when this database has no such user, such as the user of a token
    /// of another issuer.
    pub username: Option<String>,
}

/// Request for a page of events, newest first.
#[derive(Clone, Debug)]
pub struct EventPageRequest {
    /// Only events before this one, the last of the previous page.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: u64,
}

/// Selection of events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only events since this time.
    pub since: Option<Time>,
    /// Only events of these kinds; of every kind if there is none.
    pub kinds: Vec<EventKind>,
    /// Only events that concern this user or were caused by this user.
    pub user: Option<UserId>,
}

/// An event to be recorded.
pub(super) struct NewSecurityEvent<'a> {
    pub(super) at: Time,
    pub(super) kind: EventKind,
    pub(super) user: Option<&'a UserId>,
    pub(super) session: Option<&'a SessionId>,
    pub(super) actor: Option<&'a UserId>,
    pub(super) ip: Option<IpAddr>,
}

impl<'a> NewSecurityEvent<'a> {
    /// Returns an event without a user and a session.
    pub(super) fn new(kind: EventKind, actor: &'a Actor, at: Time) -> Self {
        Self {
            at,
            kind,
            user: None,
            session: None,
            actor: actor.id(),
            ip: actor.ip(),
        }
    }
}

impl Store {
    /// Returns one page of events.
    pub async fn events(&self, page: &EventPageRequest) -> Result<Vec<SecurityEvent>, StoreError> {
        let mut found = Entity::find();
        if let Some(after) = page.after {
            found = found.filter(Column::Id.lt(after));
        }
        let found = found.order_by_desc(Column::Id).limit(page.limit);
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        self.events_from_rows(rows).await
    }

    /// Returns up to `limit` events with numbers higher than `after`, oldest first.
    pub async fn events_after(
        &self,
        after: i64,
        filter: &EventFilter,
        limit: u64,
    ) -> Result<Vec<SecurityEvent>, StoreError> {
        let mut found = Entity::find().filter(Column::Id.gt(after));
        if let Some(since) = filter.since {
            found = found.filter(Column::At.gte(since.millis()));
        }
        if !filter.kinds.is_empty() {
            let kinds = filter.kinds.iter().map(|kind| kind.as_str());
            found = found.filter(Column::Kind.is_in(kinds));
        }
        if let Some(user) = &filter.user {
            let either = Condition::any()
                .add(Column::UserId.eq(user.as_str()))
                .add(Column::ActorId.eq(user.as_str()));
            found = found.filter(either);
        }
        let found = found.order_by_asc(Column::Id).limit(limit);
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        self.events_from_rows(rows).await
    }

    /// Returns the latest events about a user, oldest first.
    pub async fn events_about(
        &self,
        user: &UserId,
        limit: u64,
    ) -> Result<Vec<SecurityEvent>, StoreError> {
        let found = Entity::find()
            .filter(Column::UserId.eq(user.as_str()))
            .order_by_desc(Column::Id)
            .limit(limit);
        let mut rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        rows.reverse();
        self.events_from_rows(rows).await
    }

    /// Adds the user names.
    async fn events_from_rows(&self, rows: Vec<Model>) -> Result<Vec<SecurityEvent>, StoreError> {
        let mut ids = BTreeSet::new();
        for row in &rows {
            ids.extend(row.user_id.as_deref());
            ids.extend(row.actor_id.as_deref());
        }
        let names = self.usernames(ids).await?;
        let user_reference = |id: String| UserReference {
            username: names.get(&id).cloned(),
            id: id.into(),
        };
        let events = rows
            .into_iter()
            .map(|row| event_from_row(row, user_reference));
        events.collect()
    }
}

/// Records an event. Must run in the transaction of the change that it records.
pub(super) async fn insert<C: ConnectionTrait>(
    db: &C,
    event: NewSecurityEvent<'_>,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: NotSet,
        at: Set(event.at.millis()),
        kind: Set(event.kind.to_string()),
        user_id: Set(event.user.map(UserId::to_string)),
        session_id: Set(event.session.map(SessionId::to_string)),
        actor_id: Set(event.actor.map(UserId::to_string)),
        ip: Set(event.ip.map(|ip| ip.to_string())),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

fn event_from_row(
    row: Model,
    user_reference: impl Fn(String) -> UserReference,
) -> Result<SecurityEvent, StoreError> {
    Ok(SecurityEvent {
        id: row.id,
        at: Time::from_millis(row.at),
        kind: row.kind.parse().map_err(StoreError::malformed)?,
        user: row.user_id.map(&user_reference),
        session: row.session_id.map(SessionId::from),
        actor: row.actor_id.map(&user_reference),
        ip: row.ip,
    })
}
