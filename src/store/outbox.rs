//! Rows of `outbox`: messages that wait for their delivery. Each is written in the transaction of the change that
//! it reports, so that none is lost and none is sent without the change.
//!
//! A server claims a row for some time, in which no other server sees it. If the server ends meanwhile, another one
//! delivers the message again after that time: at least once.

use std::time::Duration;

use entity::outbox::{ActiveModel, Column, Entity};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, Set, Statement,
};
use tokio::sync::Notify;

use super::security_events::{self, NewSecurityEvent};
use super::{Store, StoreError, UserId, with_deadline};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// Way of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// To an e-mail address.
    Mail,
}

impl Channel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
        }
    }
}

/// A message to be delivered.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Random id, which the message carries.
    pub id: String,
    /// Way of delivery.
    pub channel: Channel,
    /// User that it is about.
    pub user: Option<UserId>,
    /// The message, sealed for `outbox:` and the id.
    pub sealed_payload: String,
}

/// A message that this server delivers now.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: String,
    /// User that it is about.
    pub user: Option<UserId>,
    /// The sealed message.
    pub sealed_payload: String,
    /// Attempts, this one included.
    pub tries: u32,
    /// Time at which it was written.
    pub created_at: Time,
    /// End of the claim, from which another server may deliver it.
    pub claimed_until: Time,
}

/// Messages that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLevel {
    /// Their number.
    pub waiting: u64,
    /// Time at which the oldest one was written.
    pub oldest_created_at: Option<Time>,
}

/// Claims rows whose time has come. The rows are chosen once, before the update.
const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT id FROM outbox WHERE channel = $1 AND next_try_at <= $2
        ORDER BY next_try_at, id LIMIT $3 {lock}
    )
    UPDATE outbox SET next_try_at = $4, tries = tries + 1 WHERE id IN (SELECT id FROM due)
    RETURNING id, user_id, sealed_payload, tries, created_at";

impl Store {
    /// Claims up to `limit` messages for `claim_time`.
    pub async fn claim_deliveries(
        &self,
        channel: Channel,
        limit: u32,
        now: Time,
        claim_time: Duration,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let db = self.writer();
        let backend = db.get_database_backend();
        let lock = match backend {
            DbBackend::Postgres => "FOR UPDATE SKIP LOCKED",
            _ => "",
        };
        let claimed_until = now + claim_time;
        let values = [
            channel.as_str().into(),
            now.millis().into(),
            i64::from(limit).into(),
            claimed_until.millis().into(),
        ];
        let sql = CLAIM.replace("{lock}", lock);
        let claim = Statement::from_sql_and_values(backend, sql, values);
        let rows = with_deadline(async { Ok(db.query_all_raw(claim).await?) }).await?;
        let claimed = rows.iter().map(|row| claimed_row(row, claimed_until));
        claimed.collect()
    }

    /// Deletes a message that was delivered.
    pub async fn delete_delivery(&self, delivered: &ClaimedDelivery) -> Result<(), StoreError> {
        let delete = Entity::delete_by_id(delivered.id.as_str());
        with_deadline(async {
            delete.exec(self.writer()).await?;
            Ok(())
        })
        .await
    }

    /// Plans the next attempt, unless the claim has ended meanwhile.
    pub async fn postpone_delivery(
        &self,
        failed: &ClaimedDelivery,
        next_try_at: Time,
    ) -> Result<(), StoreError> {
        self.end_claim(failed, next_try_at, failed.tries).await
    }

    /// Returns a message that was not attempted: the claim counts for nothing.
    pub async fn return_delivery(
        &self,
        untried: &ClaimedDelivery,
        next_try_at: Time,
    ) -> Result<(), StoreError> {
        let tries = untried.tries.saturating_sub(1);
        self.end_claim(untried, next_try_at, tries).await
    }

    async fn end_claim(
        &self,
        claimed: &ClaimedDelivery,
        next_try_at: Time,
        tries: u32,
    ) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::NextTryAt, Expr::val(next_try_at.millis()))
            .col_expr(Column::Tries, Expr::val(i64::from(tries)))
            .filter(Column::Id.eq(claimed.id.as_str()))
            .filter(Column::NextTryAt.eq(claimed.claimed_until.millis()));
        with_deadline(async {
            update.exec(self.writer()).await?;
            Ok(())
        })
        .await
    }

    /// Gives a message up: deletes it, and records the event.
    pub async fn fail_delivery(
        &self,
        failed: &ClaimedDelivery,
        now: Time,
    ) -> Result<(), StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let delete = Entity::delete_by_id(failed.id.as_str());
            if delete.exec(&transaction).await?.rows_affected > 0 {
                let event = NewSecurityEvent {
                    user: failed.user.as_ref(),
                    ..NewSecurityEvent::new(EventKind::MailFailed, &Actor::Operator, now)
                };
                security_events::insert(&transaction, event).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Returns the messages that wait.
    pub async fn outbox_level(&self, channel: Channel) -> Result<OutboxLevel, StoreError> {
        let waiting = Entity::find().filter(Column::Channel.eq(channel.as_str()));
        let oldest = waiting
            .clone()
            .select_only()
            .column_as(Column::CreatedAt.min(), "oldest");
        with_deadline(async {
            let count = waiting.count(self.reader()).await?;
            let oldest: Option<Option<i64>> = oldest.into_tuple().one(self.reader()).await?;
            Ok(OutboxLevel {
                waiting: count,
                oldest_created_at: oldest.flatten().map(Time::from_millis),
            })
        })
        .await
    }

    /// Returns the time from which the next message may be delivered.
    pub async fn next_delivery_at(&self, channel: Channel) -> Result<Option<Time>, StoreError> {
        let next = Entity::find()
            .filter(Column::Channel.eq(channel.as_str()))
            .order_by_asc(Column::NextTryAt)
            .select_only()
            .column(Column::NextTryAt)
            .limit(1)
            .into_tuple::<i64>();
        let next = with_deadline(async { Ok(next.one(self.reader()).await?) }).await?;
        Ok(next.map(Time::from_millis))
    }

    /// Signals messages that this process has written.
    pub fn outbox_signal(&self) -> &Notify {
        &self.0.outbox_signal
    }
}

/// Writes messages. Must run in the transaction of the change that they report, after whose commit the caller
/// signals them.
pub(super) async fn insert<C: ConnectionTrait>(
    db: &C,
    deliveries: &[NewDelivery],
    now: Time,
) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let rows = deliveries.iter().map(|delivery| ActiveModel {
        id: Set(delivery.id.clone()),
        channel: Set(delivery.channel.as_str().to_owned()),
        user_id: Set(delivery.user.as_ref().map(UserId::to_string)),
        sealed_payload: Set(delivery.sealed_payload.clone()),
        created_at: Set(now.millis()),
        next_try_at: Set(now.millis()),
        tries: Set(0),
    });
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

fn claimed_row(row: &QueryResult, claimed_until: Time) -> Result<ClaimedDelivery, StoreError> {
    let user: Option<String> = row.try_get("", "user_id")?;
    let tries: i64 = row.try_get("", "tries")?;
    Ok(ClaimedDelivery {
        id: row.try_get("", "id")?,
        user: user.map(UserId::from),
        sealed_payload: row.try_get("", "sealed_payload")?,
        tries: u32::try_from(tries).unwrap_or(u32::MAX),
        created_at: Time::from_millis(row.try_get("", "created_at")?),
        claimed_until,
    })
}
