//! Rows of `revocations`: the truth that every denylist is a copy of.

use entity::revocation::{ActiveModel, Column, Entity, Model};
use entity::session;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, NotSet, QueryFilter,
    QueryOrder, QuerySelect, Set,
};

use super::{Store, StoreError, UserId, limited};
use crate::clock::Time;
use crate::denylist::{Denial, Denied};

/// Rows written by one statement: far below what either database binds (32,766 and 65,535 values).
pub(super) const CHUNK: usize = 500;

const SESSION: &str = "sid";
const TOKEN: &str = "jti";

/// A denial and its place in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows with every row, never used twice.
    pub seq: i64,
    /// What was denied.
    pub denial: Denial,
}

impl Store {
    /// Revokes one token, so that it is denied until `not_after`, its own end; may be repeated.
    pub async fn revoke_token(
        &self,
        jti: &str,
        not_after: Time,
        now: Time,
    ) -> Result<Denial, StoreError> {
        let denied = Denied::Token(jti.to_owned());
        let denial = Denial {
            denied: denied.clone(),
            not_after,
        };
        limited(insert(self.writer(), [denied], now, not_after)).await?;
        Ok(denial)
    }

    /// Returns whether the session or the token was revoked: one indexed read.
    pub async fn is_denied(&self, sid: Option<&str>, jti: &str) -> Result<bool, StoreError> {
        let mut either = Condition::any().add(named(TOKEN, jti));
        if let Some(sid) = sid {
            either = either.add(named(SESSION, sid));
        }
        let found = Query::select()
            .expr(Expr::val(1))
            .from(Entity)
            .cond_where(either)
            .limit(1)
            .take();
        let row = limited(async { Ok(self.reader().query_one(&found).await?) }).await?;
        Ok(row.is_some())
    }

    /// Returns the first `limit` revocations that come after `seq` and still matter at `now`, in
    /// order: for filling a copy page by page, and for following what others write.
    ///
    /// On PostgreSQL a lower `seq` may be committed after a higher one was read: who follows there
    /// must read some way back.
    pub async fn revocations_after(
        &self,
        seq: i64,
        limit: u64,
        now: Time,
    ) -> Result<Vec<Entry>, StoreError> {
        let found = Entity::find()
            .filter(Column::Seq.gt(seq))
            .filter(Column::NotAfter.gt(now.millis()))
            .order_by_asc(Column::Seq)
            .limit(limit);
        let rows = limited(async { Ok(found.all(self.reader()).await?) }).await?;
        rows.into_iter().map(Entry::try_from).collect()
    }
}

fn named(kind: &str, id: &str) -> Condition {
    Condition::all()
        .add(Column::Id.eq(id))
        .add(Column::Kind.eq(kind))
}

/// Records what is denied from now on. A second row for the same thing is not needed: no token can
/// have been issued after the first.
pub(super) async fn insert<C: ConnectionTrait>(
    db: &C,
    denied: impl IntoIterator<Item = Denied>,
    now: Time,
    not_after: Time,
) -> Result<(), StoreError> {
    let rows = denied.into_iter().map(|denied| {
        let (kind, id) = match denied {
            Denied::Session(id) => (SESSION, id),
            Denied::Token(id) => (TOKEN, id),
        };
        ActiveModel {
            seq: NotSet,
            kind: Set(kind.to_owned()),
            id: Set(id),
            not_after: Set(not_after.millis()),
            created_at: Set(now.millis()),
        }
    });
    Entity::insert_many(rows)
        .on_conflict_do_nothing_on([Column::Id, Column::Kind])
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Returns what is denied of a user's sessions and still matters at `now`.
pub(super) async fn of_user<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    now: Time,
) -> Result<Vec<Denial>, StoreError> {
    let same_session = Expr::col((session::Entity, session::Column::Id))
        .equals((Entity, Column::Id))
        .and(Column::Kind.eq(SESSION));
    let mut found = Entity::find();
    QuerySelect::query(&mut found).join(JoinType::InnerJoin, session::Entity, same_session);
    let rows = found
        .filter(session::Column::UserId.eq(user.as_str()))
        .filter(Column::NotAfter.gt(now.millis()))
        .order_by_asc(Column::Seq)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| Ok(Entry::try_from(row)?.denial))
        .collect()
}

/// A row whose kind this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("revocation {0} is of an unknown kind")]
struct UnknownKind(i64);

impl TryFrom<Model> for Entry {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let denied = match row.kind.as_str() {
            SESSION => Denied::Session(row.id),
            TOKEN => Denied::Token(row.id),
            _ => return Err(StoreError::malformed(UnknownKind(row.seq))),
        };
        Ok(Self {
            seq: row.seq,
            denial: Denial {
                denied,
                not_after: Time::from_millis(row.not_after),
            },
        })
    }
}
