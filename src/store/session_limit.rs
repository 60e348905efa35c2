//! Limit of the sessions that a user may have at once.

use sea_orm::{ConnectionTrait, Statement};

use super::authority::IS_LIVE;
use super::security_events::{self, NewSecurityEvent};
use super::{NewSession, Revocation, SessionId, StoreError, UserId, sessions};
use crate::rotation::RevokeReason;
use crate::security_events::EventKind;
use latchet_guard::denylist::Denial;

/// Sessions except the most recently used ones. One login ends a bounded number of sessions, for users that
/// had many sessions before there was a limit.
const LEAST_RECENTLY_USED: &str = "
    SELECT id FROM sessions
    WHERE user_id = $1 AND {live} AND expires_at > $2 AND rotated_at + idle_limit > $2
    ORDER BY rotated_at DESC, created_at DESC, id LIMIT 50 OFFSET $3";

/// Ends the least recently used sessions so that the limit allows `new`, and records the events. Returns the
/// denials. Must run in a transaction that holds the lock of the user.
pub(super) async fn enforce_limit<C: ConnectionTrait>(
    db: &C,
    user: &entity::user::Model,
    new: &NewSession,
) -> Result<Vec<Denial>, StoreError> {
    let now = new.period.now;
    let kept = i64::from(new.limit.get()) - 1;
    let sql = LEAST_RECENTLY_USED.replace("{live}", IS_LIVE);
    let values = [user.id.as_str().into(), now.millis().into(), kept.into()];
    let found = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = db.query_all_raw(found).await?;
    let ids: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
    let ids: Vec<SessionId> = ids?.into_iter().map(SessionId::from).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let revocation = Revocation {
        reason: RevokeReason::SessionLimit,
        period: new.period,
    };
    sessions::revoke_live(db, &ids, &revocation).await?;
    let owner = UserId::from(user.id.as_str());
    for id in &ids {
        let ended = NewSecurityEvent {
            at: now,
            kind: EventKind::SessionLimitReached,
            user: Some(&owner),
            session: Some(id),
            actor: Some(&owner),
            ip: new.device.ip.parse().ok(),
        };
        security_events::insert(db, ended).await?;
    }
    let denials = ids.iter();
    let denials = denials.map(|id| sessions::session_denial(id, revocation.period.not_after));
    Ok(denials.collect())
}
