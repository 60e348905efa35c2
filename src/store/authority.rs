//! Authority versions of users: one number by which old tokens and sessions of a user are recognized.
//!
//! A change of a user's rights raises the version in its own transaction and records one denial, "tokens of
//! this user below the version", for any number of sessions. A change that ends sessions also raises the
//! user's session floor: a session with a lower version at its login has ended. Every read of a session takes
//! this into account ([`END_REASON`], [`IS_LIVE`]); the rows are marked as revoked afterwards, in chunks.
//!
//! The version is at least the time of the database in milliseconds, so that a database restored from a
//! backup does not use a version twice.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{
    DenialPeriod, Revocation, SessionId, Store, StoreError, UserId, database_time, revocations,
    with_deadline,
};
use latchet_guard::clock::Time;
use latchet_guard::denylist::{Denial, DenialTarget};

/// SQL for the reason of a revocation, by the session's own row or by its user's floor; NULL while the session
/// is not revoked. For statements that join `sessions` and `users`.
pub(super) const END_REASON: &str = "
    CASE WHEN sessions.revoke_reason IS NULL
            AND sessions.user_version < users.sessions_floor
            AND sessions.id <> COALESCE(users.kept_session, '')
        THEN users.floor_reason ELSE sessions.revoke_reason END";

/// SQL condition of a session that is not revoked. For statements on `sessions`.
pub(super) const IS_LIVE: &str = "
    sessions.revoked_at IS NULL AND EXISTS (
        SELECT 1 FROM users WHERE users.id = sessions.user_id
            AND (sessions.user_version >= users.sessions_floor OR sessions.id = users.kept_session))";

/// Most rows that one call marks: the transaction stays short enough for other writers.
const MAX_ROWS_PER_CALL: i64 = 500;

/// Raises the user's authority version without ending sessions. Returns the denial. Must run in a
/// transaction.
pub(super) async fn raise_version<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    period: DenialPeriod,
) -> Result<Denial, StoreError> {
    let backend = db.get_database_backend();
    let sql = format!(
        "UPDATE users SET authority_version = {} WHERE id = $1 RETURNING authority_version",
        next_version(backend)
    );
    let raise = Statement::from_sql_and_values(backend, sql, [user.as_str().into()]);
    replace_denial(db, user, raise, period).await
}

/// Raises the user's authority version and session floor: every session ends, except `kept` if it is live.
/// Returns the denial, and whether a session ended. Must run in a transaction; with `kept`, the transaction
/// must hold the lock of the user, so that it sees whether that session has ended meanwhile.
pub(super) async fn end_sessions<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    kept: Option<&SessionId>,
    revocation: &Revocation,
) -> Result<(Denial, bool), StoreError> {
    let backend = db.get_database_backend();
    let sql =
        format!("SELECT 1 FROM sessions WHERE user_id = $1 AND id <> $2 AND {IS_LIVE} LIMIT 1");
    let kept_id = match kept {
        Some(id) if is_live(db, id).await? => Some(id.as_str()),
        _ => None,
    };
    let values = [user.as_str().into(), kept_id.unwrap_or_default().into()];
    let live = Statement::from_sql_and_values(backend, sql, values);
    let has_ended = db.query_one_raw(live).await?.is_some();

    let sql = format!(
        "UPDATE users SET authority_version = {next}, sessions_floor = {next},
            floor_reason = $2, kept_session = $3
        WHERE id = $1 RETURNING authority_version",
        next = next_version(backend)
    );
    let values = [
        user.as_str().into(),
        revocation.reason.as_str().into(),
        kept_id.into(),
    ];
    let raise = Statement::from_sql_and_values(backend, sql, values);
    let denial = replace_denial(db, user, raise, revocation.period).await?;
    Ok((denial, has_ended))
}

/// Returns whether the session is not revoked.
pub(super) async fn is_live<C: ConnectionTrait>(
    db: &C,
    session: &SessionId,
) -> Result<bool, StoreError> {
    let sql = format!("SELECT 1 FROM sessions WHERE id = $1 AND {IS_LIVE}");
    let values = [session.as_str().into()];
    let live = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.query_one_raw(live).await?.is_some())
}

pub(super) fn next_version(backend: DbBackend) -> String {
    let greatest = match backend {
        DbBackend::Postgres => "GREATEST",
        _ => "MAX",
    };
    format!(
        "{greatest}(authority_version + 1, {})",
        database_time::now_sql(backend)
    )
}

/// Runs the statement that raises the version, and replaces the user's denial by one for the new version: a
/// new row, so that followers of the revocations read it.
async fn replace_denial<C: ConnectionTrait>(
    db: &C,
    user: &UserId,
    raise: Statement,
    period: DenialPeriod,
) -> Result<Denial, StoreError> {
    let row = db.query_one_raw(raise).await?.ok_or(StoreError::NotFound)?;
    let version: i64 = row.try_get_by_index(0)?;
    let denied = DenialTarget::User {
        id: user.to_string(),
        below: u64::try_from(version).map_err(StoreError::malformed)?,
    };
    revocations::replace(db, denied.clone(), period).await?;
    let not_after = period.not_after;
    Ok(Denial { denied, not_after })
}

impl Store {
    /// Marks rows of sessions that ended by their user's floor as revoked, one chunk of one user.
    /// Returns their number; call again until it is zero. These sessions had ended and were denied before.
    pub async fn mark_sessions_below_floor(&self, now: Time) -> Result<u64, StoreError> {
        let db = self.writer();
        let backend = db.get_database_backend();
        let found = Statement::from_string(
            backend,
            "SELECT id, sessions_floor, floor_reason, COALESCE(kept_session, '') FROM users
            WHERE floor_marked < sessions_floor LIMIT 1",
        );
        with_deadline(async {
            let Some(user) = db.query_one_raw(found).await? else {
                return Ok(0);
            };
            let id: String = user.try_get_by_index(0)?;
            let floor: i64 = user.try_get_by_index(1)?;
            let reason: Option<String> = user.try_get_by_index(2)?;
            let kept: String = user.try_get_by_index(3)?;
            let values = [
                id.as_str().into(),
                floor.into(),
                kept.into(),
                now.millis().into(),
                reason.into(),
                MAX_ROWS_PER_CALL.into(),
            ];
            let mark = Statement::from_sql_and_values(backend, MARK_SESSIONS, values);
            let marked = db.execute_raw(mark).await?.rows_affected();
            if marked == 0 {
                let values = [id.into(), floor.into()];
                let done = Statement::from_sql_and_values(backend, RECORD_MARKED_FLOOR, values);
                db.execute_raw(done).await?;
                return Ok(1);
            }
            Ok(marked)
        })
        .await
    }
}

const MARK_SESSIONS: &str = "
    UPDATE sessions SET revoked_at = $4, revoke_reason = $5
    WHERE revoked_at IS NULL AND id IN (
        SELECT id FROM sessions
        WHERE user_id = $1 AND user_version < $2 AND revoked_at IS NULL AND id <> $3 LIMIT $6)";

const RECORD_MARKED_FLOOR: &str =
    "UPDATE users SET floor_marked = $2 WHERE id = $1 AND floor_marked < $2";
