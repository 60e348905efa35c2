//! Creation of sessions by logins, in batches: the sessions of many logins, and the refunds of their attempts, in
//! one commit.
//!
//! A session is created only if the user has not changed since the password was verified: same authority
//! version, same password, enabled. On PostgreSQL the row of the user is locked meanwhile, so a change that
//! raises the version commits either before, and no session is created, or afterwards, and ends the new session.
//! The batch does not wait for a user that another transaction has locked; the login of that user does, alone.

use std::num::NonZeroU32;
use std::time::Duration;

use entity::session::Model;
use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement};

use super::security_events::{self, NewSecurityEvent};
use super::sessions::{revoke_live, session_denial};
use super::{
    BudgetReservation, DenialPeriod, LoginDevice, Revocation, Session, SessionId, SessionOwner,
    SessionWithOwner, Store, StoreError, User, UserId, authority, authorization, with_deadline,
};
use crate::rotation::RevokeReason;
use crate::security_events::EventKind;
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

mod batch;

use batch::{InsertResult, NewSessionRow};
pub(super) use batch::{LoginRequest, start};

/// Most attempts at a session whose user changes again and again.
const MAX_TRIES: usize = 5;

/// A session to be created by a login.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Absolute end.
    pub expires_at: Time,
    /// Longest time between two rotations.
    pub idle_limit: Duration,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// Scopes granted.
    pub scope: Vec<String>,
    /// True when the login asked for less than all scopes.
    pub is_narrowed: bool,
    /// OAuth client of the login; empty for the first party.
    pub client_id: String,
    /// Device of the login.
    pub device: LoginDevice,
    /// Most sessions that the user may have, this one included.
    pub limit: NonZeroU32,
    /// Time of the login, and period for which a session that ends because of the limit is denied.
    pub period: DenialPeriod,
}

/// A session that was created, and the denials of sessions that ended because of the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedSession {
    /// The session and its user.
    pub current: SessionWithOwner,
    /// Denials of the sessions that ended.
    pub evicted: Vec<Denial>,
}

impl Store {
    /// Creates a session for the user whose password was verified, and refunds the login attempt, also when it
    /// creates none. Above the session limit, the least recently used session ends. Returns `None` when the account was disabled or its
    /// password changed since `verified` was read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the queue is full or the database fails. The session may have been
    /// created then, and nobody has its tokens; the attempt may not have been refunded, and expires.
    pub async fn create_session(
        &self,
        verified: &User,
        new: NewSession,
        reservations: &[BudgetReservation],
        now: Time,
    ) -> Result<Option<StartedSession>, StoreError> {
        let period = new.period;
        let mut row = NewSessionRow {
            limit: new.limit,
            row: new_row(verified, new, now),
            password_changed_at: verified.password_changed_at,
        };
        let mut owner = verified.clone();
        let queued = self.0.logins.run(|reply| LoginRequest {
            row: row.clone(),
            refunds: reservations.to_vec(),
            reply,
        });
        let mut inserted = queued.await?;
        let mut tries = 1;
        let is_above_limit = loop {
            if let InsertResult::Created { is_above_limit } = inserted {
                break is_above_limit;
            }
            if tries == MAX_TRIES {
                return Err(StoreError::unavailable());
            }
            tries += 1;
            let Some(user) = self.unchanged_user(verified).await? else {
                return Ok(None);
            };
            row.row.user_version = stored_version(&user);
            owner = user;
            inserted = with_deadline(batch::insert_alone(&self.0.connections, &row)).await?;
        };
        let evicted = if is_above_limit {
            with_deadline(self.enforce_limit(&row, period)).await?
        } else {
            Vec::new()
        };
        let current = SessionWithOwner {
            session: Session::try_from(row.row)?,
            owner: SessionOwner::from(owner),
        };
        Ok(Some(StartedSession { current, evicted }))
    }

    /// Returns the current row of the user, if the account is enabled and its password is that of `verified`.
    async fn unchanged_user(&self, verified: &User) -> Result<Option<User>, StoreError> {
        let unchanged = user::Entity::find_by_id(verified.id.as_str())
            .filter(user::Column::DisabledAt.is_null())
            .filter(user::Column::PasswordChangedAt.eq(verified.password_changed_at.millis()));
        let row = with_deadline(async { Ok(unchanged.one(self.reader()).await?) }).await?;
        Ok(row.map(User::from))
    }

    /// Ends the least recently used sessions of a user that has more than the limit, and records the events.
    /// Never ends the session of `login`. Returns the denials.
    async fn enforce_limit(
        &self,
        login: &NewSessionRow,
        period: DenialPeriod,
    ) -> Result<Vec<Denial>, StoreError> {
        let NewSessionRow { row, limit, .. } = login;
        let owner = UserId::from(row.user_id.as_str());
        let transaction = self.begin().await?;
        // Two logins that end each other's session would leave none.
        authorization::lock_user(&transaction, &owner).await?;
        if !authority::is_live(&transaction, &row.id.as_str().into()).await? {
            return Ok(Vec::new());
        }
        let ids = least_recently_used(&transaction, row, *limit, period.now).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let revocation = Revocation {
            reason: RevokeReason::SessionLimit,
            period,
        };
        revoke_live(&transaction, &ids, &revocation).await?;
        for id in &ids {
            let ended = NewSecurityEvent {
                at: period.now,
                kind: EventKind::SessionLimitReached,
                user: Some(&owner),
                session: Some(id),
                actor: Some(&owner),
                ip: row.ip.parse().ok(),
            };
            security_events::insert(&transaction, ended).await?;
        }
        transaction.commit().await?;
        let denials = ids.iter().map(|id| session_denial(id, period.not_after));
        Ok(denials.collect())
    }
}

/// Sessions except the most recently used ones and one other. One login ends a bounded number of sessions, for
/// users that had many sessions before there was a limit.
const LEAST_RECENTLY_USED: &str = "
    SELECT id FROM sessions
    WHERE user_id = $1 AND {live} AND expires_at > $2 AND rotated_at + idle_limit > $2 AND id <> $4
    ORDER BY rotated_at DESC, created_at DESC, id LIMIT 50 OFFSET $3";

async fn least_recently_used<C: ConnectionTrait>(
    db: &C,
    own: &Model,
    limit: NonZeroU32,
    now: Time,
) -> Result<Vec<SessionId>, StoreError> {
    let sql = LEAST_RECENTLY_USED.replace("{live}", authority::IS_LIVE);
    let values = [
        own.user_id.as_str().into(),
        now.millis().into(),
        (i64::from(limit.get()) - 1).into(),
        own.id.as_str().into(),
    ];
    let found = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = db.query_all_raw(found).await?;
    let ids: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(ids?.into_iter().map(SessionId::from).collect())
}

fn new_row(user: &User, new: NewSession, now: Time) -> Model {
    Model {
        id: SessionId::random().to_string(),
        user_id: user.id.to_string(),
        user_version: stored_version(user),
        generation: 0,
        rotated_at: now.millis(),
        superseded: String::new(),
        retry_key_hash: String::new(),
        created_at: now.millis(),
        expires_at: new.expires_at.millis(),
        idle_limit: i64::try_from(new.idle_limit.as_millis()).unwrap_or(i64::MAX),
        auth_time: now.millis(),
        amr: new.amr.join(" "),
        scope: new.scope.join(" "),
        is_narrowed: new.is_narrowed,
        csrf_epoch: 0,
        client_id: new.client_id,
        revoked_at: None,
        revoke_reason: None,
        user_agent: truncate_text(new.device.user_agent, 256),
        ip: new.device.ip,
        label: new.device.label,
    }
}

/// Returns the authority version as the database stores it. A version that is too large for it matches no row.
fn stored_version(user: &User) -> i64 {
    i64::try_from(user.authority_version).unwrap_or(i64::MAX)
}

/// Truncates a text to at most `bytes` bytes, at the boundary of a character.
fn truncate_text(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}
