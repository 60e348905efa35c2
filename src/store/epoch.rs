//! The row of `denylist_epoch`: the backfill of Redis that may be trusted.

use entity::denylist_epoch::{Column, Entity};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::{Store, StoreError, with_deadline};
use latchet_guard::clock::Time;

/// The only row.
const ID: i32 = 1;

/// Epoch of the denylist: one backfill of Redis. Before the first, both texts are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenylistEpoch {
    /// Random id; Redis stores the same one while its copy may be trusted.
    pub epoch: String,
    /// `run_id` of the Redis server that was backfilled.
    pub run_id: String,
    /// Begin of the epoch.
    pub changed_at: Time,
}

impl Store {
    /// Returns the current epoch.
    pub async fn epoch(&self) -> Result<DenylistEpoch, StoreError> {
        let found = Entity::find_by_id(ID);
        let row =
            with_deadline(async { Ok(found.one(self.0.connections.reserved_reader()).await?) })
                .await?;
        let row = row.ok_or(StoreError::NotFound)?;
        Ok(DenylistEpoch {
            epoch: row.epoch,
            run_id: row.run_id,
            changed_at: Time::from_millis(row.changed_at),
        })
    }

    /// Begins an epoch, whatever the current one is: from now on no earlier copy is trusted.
    pub async fn begin_epoch(&self, epoch: &DenylistEpoch) -> Result<(), StoreError> {
        with_deadline(replace(self.0.connections.reserved_writer(), epoch)).await
    }
}

/// Begins an epoch, also inside a transaction.
pub(super) async fn replace<C: ConnectionTrait>(
    db: &C,
    epoch: &DenylistEpoch,
) -> Result<(), StoreError> {
    let update = Entity::update_many()
        .col_expr(Column::Epoch, Expr::val(epoch.epoch.as_str()))
        .col_expr(Column::RunId, Expr::val(epoch.run_id.as_str()))
        .col_expr(Column::ChangedAt, Expr::val(epoch.changed_at.millis()))
        .filter(Column::Id.eq(ID));
    update.exec(db).await?;
    Ok(())
}
