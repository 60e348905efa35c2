//! The row of `installation`: the issuer of the tokens in use.

use entity::installation::{Column, Entity};
use entity::session;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::{Store, StoreError, with_deadline};
use latchet_guard::clock::Time;

/// The only row.
const ID: i32 = 1;

/// A change of the issuer, which ends all live sessions because their tokens name the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerChange {
    /// The previous issuer.
    pub old: String,
    /// Number of sessions that it ends.
    pub sessions: u64,
}

impl Store {
    /// Stores the issuer, and returns the change if it ends any session.
    pub async fn record_issuer(
        &self,
        issuer: &str,
        now: Time,
    ) -> Result<Option<IssuerChange>, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let old = read(&transaction).await?;
            if old.as_deref() == Some(issuer) {
                return Ok(None);
            }
            let update = Entity::update_many()
                .col_expr(Column::Issuer, Expr::val(issuer))
                .filter(Column::Id.eq(ID));
            update.exec(&transaction).await?;
            let sessions = live_sessions(&transaction, now).await?;
            transaction.commit().await?;
            let change = old.map(|old| IssuerChange { old, sessions });
            Ok(change.filter(|change| change.sessions > 0))
        })
        .await
    }
}

/// Returns the issuer; `None` before the first server has started.
pub(super) async fn read<C: ConnectionTrait>(db: &C) -> Result<Option<String>, StoreError> {
    let row = Entity::find_by_id(ID).one(db).await?;
    Ok(row
        .map(|row| row.issuer)
        .filter(|issuer| !issuer.is_empty()))
}

/// Returns the number of sessions that are neither revoked nor expired.
pub(super) async fn live_sessions<C: ConnectionTrait>(
    db: &C,
    now: Time,
) -> Result<u64, StoreError> {
    let live = session::Entity::find()
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now.millis()));
    Ok(live.count(db).await?)
}
