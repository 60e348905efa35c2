//! Rows of `revocations`: the source of which every denylist is a copy.

use entity::revocation::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, NotSet, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

use super::{Store, StoreError, UserId, database_time, with_deadline};
use latchet_guard::clock::Time;
use latchet_guard::denylist::{Denial, DenialTarget, TokenIds, TokenStatus};

/// Kind of the denial of a session.
pub(super) const SESSION_KIND: &str = "sid";
const TOKEN_KIND: &str = "jti";
const USER_KIND: &str = "user";

/// Period for which a denial must be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenialPeriod {
    /// Time of the revocation.
    pub now: Time,
    /// Time by which every access token issued until `now` has expired.
    pub not_after: Time,
}

/// A denial and its number in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedDenial {
    /// Grows with every row; no number is used twice.
    pub seq: i64,
    /// The denial.
    pub denial: Denial,
}

impl Store {
    /// Revokes one token, so that it is denied until `not_after`, its own expiry; may be repeated.
    pub async fn revoke_token(
        &self,
        jti: &str,
        not_after: Time,
        now: Time,
    ) -> Result<Denial, StoreError> {
        let denied = DenialTarget::Token(jti.to_owned());
        let denial = Denial {
            denied: denied.clone(),
            not_after,
        };
        let period = DenialPeriod { now, not_after };
        with_deadline(insert(self.writer(), [denied], period)).await?;
        Ok(denial)
    }

    /// Returns the status of a token: one indexed read.
    pub async fn token_status(&self, ids: TokenIds<'_>) -> Result<TokenStatus, StoreError> {
        with_deadline(token_status(self.reader(), ids)).await
    }

    /// Returns the first `limit` revocations after `seq` that have not expired at `now`, in order: for the
    /// backfill of a copy and for following new revocations. One that has expired by `now`, but not by the clock
    /// of the database server, is included: other replicas read the copy.
    ///
    /// On PostgreSQL a lower `seq` may be committed after a higher one was read: a follower must read again some
    /// numbers before its position.
    pub async fn revocations_after(
        &self,
        seq: i64,
        limit: u64,
        now: Time,
    ) -> Result<Vec<NumberedDenial>, StoreError> {
        let backend = self.reader().get_database_backend();
        let still_matters_at = database_time::earlier_of_own_and_database(backend, now);
        let found = Entity::find()
            .filter(Column::Seq.gt(seq))
            .filter(Expr::col(Column::NotAfter).gt(still_matters_at))
            .order_by_asc(Column::Seq)
            .limit(limit);
        let rows = with_deadline(async { Ok(found.all(self.reader()).await?) }).await?;
        rows.into_iter().map(NumberedDenial::try_from).collect()
    }
}

fn matching_id(kind: &str, id: &str) -> Condition {
    Condition::all()
        .add(Column::Id.eq(id))
        .add(Column::Kind.eq(kind))
}

/// Returns the status of a token, also inside a transaction.
pub(super) async fn token_status<C: ConnectionTrait>(
    db: &C,
    ids: TokenIds<'_>,
) -> Result<TokenStatus, StoreError> {
    // A version that is too large for the database is above every denial.
    let version = i64::try_from(ids.authority_version).unwrap_or(i64::MAX);
    let mut any = Condition::any()
        .add(matching_id(TOKEN_KIND, ids.jti))
        .add(matching_id(USER_KIND, ids.sub).add(Column::Version.gt(version)));
    if let Some(sid) = ids.sid {
        any = any.add(matching_id(SESSION_KIND, sid));
    }
    let found = Query::select()
        .column(Column::Kind)
        .from(Entity)
        .cond_where(any)
        .take();
    let mut status = TokenStatus::NotDenied;
    for row in db.query_all(&found).await? {
        let kind: String = row.try_get_by_index(0)?;
        if kind != USER_KIND {
            return Ok(TokenStatus::Revoked);
        }
        status = TokenStatus::Outdated;
    }
    Ok(status)
}

/// Records denials. A second row for the same session or token is not needed: no token was issued after the
/// first.
pub(super) async fn insert<C: ConnectionTrait>(
    db: &C,
    denied: impl IntoIterator<Item = DenialTarget>,
    period: DenialPeriod,
) -> Result<(), StoreError> {
    let rows: Result<Vec<_>, _> = denied
        .into_iter()
        .map(|denied| new_row(denied, period))
        .collect();
    Entity::insert_many(rows?)
        .on_conflict_do_nothing_on([Column::Id, Column::Kind])
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Records a denial in place of an older row for the same user. The new row has a new number, so that
/// followers of the revocations read it.
pub(super) async fn replace<C: ConnectionTrait>(
    db: &C,
    denied: DenialTarget,
    period: DenialPeriod,
) -> Result<(), StoreError> {
    let row = new_row(denied, period)?;
    let (id, kind) = (row.id.clone().unwrap(), row.kind.clone().unwrap());
    Entity::delete_many()
        .filter(matching_id(&kind, &id))
        .exec(db)
        .await?;
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

fn new_row(denied: DenialTarget, period: DenialPeriod) -> Result<ActiveModel, StoreError> {
    let (kind, id, below) = match denied {
        DenialTarget::Session(id) => (SESSION_KIND, id, 0),
        DenialTarget::Token(id) => (TOKEN_KIND, id, 0),
        DenialTarget::User { id, below } => (USER_KIND, id, below),
    };
    Ok(ActiveModel {
        seq: NotSet,
        kind: Set(kind.to_owned()),
        id: Set(id),
        not_after: Set(period.not_after.millis()),
        created_at: Set(period.now.millis()),
        version: Set(i64::try_from(below).map_err(StoreError::malformed)?),
    })
}

/// Returns the recorded denial of the user's older tokens, if there is one.
pub(super) async fn denial_of_user<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
) -> Result<Option<Denial>, StoreError> {
    let found = Entity::find().filter(matching_id(USER_KIND, user.as_str()));
    let row = found.one(db).await?;
    row.map(|row| Ok(NumberedDenial::try_from(row)?.denial))
        .transpose()
}

/// Error for a row with a kind that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("revocation {0} has an unknown kind")]
struct UnknownRevocationKind(i64);

impl TryFrom<Model> for NumberedDenial {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let denied = match row.kind.as_str() {
            SESSION_KIND => DenialTarget::Session(row.id),
            TOKEN_KIND => DenialTarget::Token(row.id),
            USER_KIND => DenialTarget::User {
                id: row.id,
                below: u64::try_from(row.version).map_err(StoreError::malformed)?,
            },
            _ => return Err(StoreError::malformed(UnknownRevocationKind(row.seq))),
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
