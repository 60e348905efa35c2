//! Renewal of the session in which a password is changed: it continues with a new generation and new CSRF
//! values.
//!
//! From then on the old refresh token counts as a retry, so that a client that lost the response receives the
//! successor during the grace period.

use entity::session::{Column, Entity};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect};

use super::authority::IS_LIVE;
use super::{Session, SessionId, StoreError, UserId, sessions};
use crate::rotation::{Grace, PresentedGeneration, RotationDecision, decide};
use latchet_guard::clock::Time;

/// Rotates a session of the user in which the password was just verified. Must run in the transaction that
/// sets the new password.
///
/// # Errors
/// [`StoreError::NotFound`] when the session has ended; [`StoreError::Unavailable`] when it was just
/// refreshed so often that another rotation would refuse a token whose grace period is not over.
pub(super) async fn renew_session<C: ConnectionTrait>(
    db: &C,
    id: &SessionId,
    user: &UserId,
    now: Time,
) -> Result<Session, StoreError> {
    let mut found = Entity::find_by_id(id.as_str())
        .filter(Column::UserId.eq(user.as_str()))
        .filter(Expr::cust(IS_LIVE));
    if db.get_database_backend() == DbBackend::Postgres {
        found = found.lock(LockType::Update);
    }
    let row = found.one(db).await?.ok_or(StoreError::NotFound)?;
    let session = Session::try_from(row)?;
    let current = PresentedGeneration {
        generation: session.state.generation,
        retry_key: None,
    };
    match decide(&session.state, current, now, Grace::MAX) {
        RotationDecision::Rotate => {}
        RotationDecision::Ended(_) => return Err(StoreError::NotFound),
        _ => return Err(StoreError::unavailable()),
    }
    let read = session.state.generation;
    let next = Session {
        state: session.state.rotated(None, now),
        auth_time: now,
        csrf_epoch: read + 1,
        ..session
    };
    if write_renewal(db, read, &next).await? {
        return Ok(next);
    }
    Err(StoreError::unavailable())
}

/// Writes the next state of a session if it is still of the generation `read`, and returns whether it was.
async fn write_renewal<C: ConnectionTrait>(
    db: &C,
    read: u64,
    next: &Session,
) -> Result<bool, StoreError> {
    let signed = |number: u64| i64::try_from(number).map_err(StoreError::malformed);
    let state = &next.state;
    let update = Entity::update_many()
        .col_expr(Column::Generation, Expr::val(signed(state.generation)?))
        .col_expr(Column::RotatedAt, Expr::val(state.rotated_at.millis()))
        .col_expr(Column::Superseded, Expr::val(state.superseded.text()))
        .col_expr(
            Column::RetryKeyHash,
            Expr::val(sessions::retry_key_text(state.retry_key)),
        )
        .col_expr(Column::AuthTime, Expr::val(next.auth_time.millis()))
        .col_expr(Column::CsrfEpoch, Expr::val(signed(next.csrf_epoch)?))
        .filter(Column::Id.eq(next.id.as_str()))
        .filter(Column::Generation.eq(signed(read)?))
        .filter(Column::RevokedAt.is_null());
    Ok(update.exec(db).await?.rows_affected == 1)
}
