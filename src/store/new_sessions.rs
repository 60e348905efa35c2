//! Creation of sessions by logins, in batches: the sessions of many logins, and the refunds of their attempts, in
//! one commit.
//!
//! A session is created only if the user has not changed since the password was verified: same authority
//! version, same password, enabled. On PostgreSQL the row of the user is locked meanwhile, so a change that
//! raises the version commits either before, and no session is created, or afterwards, and ends the new session.
//! The batch does not wait for a user that another transaction has locked; the login of that user does, alone.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use entity::session::Model;
use entity::user;
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect, Statement,
};

use super::batch_queue::{BatchQueue, Reply, reply_to_all};
use super::connection::StoreConnections;
use super::row_table::{CombinedStatements, RowTable, TableRows, with_table};
use super::security_events::{self, NewSecurityEvent};
use super::sessions::{revoke_live, session_denial};
use super::throttle::{BudgetWindow, SETTLE, SettledUnits, settled_rows};
use super::{
    BudgetReservation, DenialPeriod, LoginDevice, Revocation, Session, SessionId, SessionOwner,
    SessionWithOwner, Store, StoreError, User, UserId, authority, with_deadline,
};
use crate::rotation::RevokeReason;
use crate::security_events::EventKind;
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

/// Most logins in one batch. A row has fourteen values, and SQLite accepts 32,766.
const MAX_BATCH_SIZE: usize = 256;

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

/// A login that waits for its batch.
#[derive(Debug)]
pub(super) struct LoginRequest {
    row: NewSessionRow,
    refunds: Vec<BudgetReservation>,
    reply: Reply<InsertResult>,
}

/// The row of a session, and the conditions for its creation.
#[derive(Clone, Debug)]
struct NewSessionRow {
    /// Its `user_version` is the authority version that the user must still have.
    row: Model,
    password_changed_at: Time,
    limit: NonZeroU32,
}

/// Result of inserting a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InsertResult {
    Created {
        is_above_limit: bool,
    },
    /// The user has changed, or another transaction has locked the row.
    NotCreated,
}

/// Treatment of a user that another transaction has locked.
#[derive(Clone, Copy, Debug)]
enum LockedUser {
    /// Creates no session.
    Skip,
    /// Waits for the other transaction.
    Wait,
}

/// Starts the queue of the logins.
pub(super) fn start(connections: StoreConnections) -> BatchQueue<LoginRequest> {
    BatchQueue::start(MAX_BATCH_SIZE, move |_: Option<()>, logins| {
        let connections = connections.clone();
        async move {
            process_batch(&connections, logins).await;
            None
        }
    })
}

impl Store {
    /// Creates a session for the user whose password was verified, and refunds the login attempt. Above the
    /// session limit, the least recently used session ends. Returns `None` when the account was disabled or its
    /// password changed since `verified` was read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the queue is full or the database fails. The session may have been
    /// created then, and nobody has its tokens.
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
            inserted = with_deadline(insert_alone(&self.0.connections, &row)).await?;
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
        let mut user = user::Entity::find_by_id(owner.as_str());
        if transaction.get_database_backend() == DbBackend::Postgres {
            user = user.lock(LockType::NoKeyUpdate);
        }
        user.one(&transaction).await?;
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

async fn process_batch(connections: &StoreConnections, logins: Vec<LoginRequest>) {
    let inserted = with_deadline(insert_together(connections, &logins)).await;
    let results = inserted.map(|inserted| inserted.into_iter().map(Ok).collect());
    // A session whose caller has disconnected remains, and nobody has its tokens.
    reply_to_all(logins.into_iter().map(|login| login.reply), results);
}

async fn insert_together(
    connections: &StoreConnections,
    logins: &[LoginRequest],
) -> Result<Vec<InsertResult>, StoreError> {
    let mut refunds: BTreeMap<BudgetWindow<'_>, SettledUnits> = BTreeMap::new();
    for reservation in logins.iter().flat_map(|login| &login.refunds) {
        refunds.entry(reservation.window()).or_default().refunds += 1;
    }
    let rows: Vec<&NewSessionRow> = logins.iter().map(|login| &login.row).collect();
    let refund = settled_rows(&refunds);
    insert_rows(connections, &rows, Some(refund), LockedUser::Skip).await
}

async fn insert_alone(
    connections: &StoreConnections,
    row: &NewSessionRow,
) -> Result<InsertResult, StoreError> {
    let inserted = insert_rows(connections, &[row], None, LockedUser::Wait).await?;
    Ok(inserted
        .into_iter()
        .next()
        .unwrap_or(InsertResult::NotCreated))
}

async fn insert_rows(
    connections: &StoreConnections,
    rows: &[&NewSessionRow],
    refunds: Option<TableRows>,
    locked: LockedUser,
) -> Result<Vec<InsertResult>, StoreError> {
    let backend = connections.writer.get_database_backend();
    let writes: &[(&str, &str)] = match refunds {
        Some(_) => &[("refunded", SETTLE)],
        None => &[],
    };
    let new = TableRows::padded(
        &NEW_SESSIONS,
        rows.iter().map(|row| row.values()),
        &filler(),
    );
    let tables: Vec<TableRows> = std::iter::once(new).chain(refunds).collect();
    let insert = CombinedStatements {
        tables: &tables,
        writes,
        last: &insert_sql(backend, locked),
    };
    let created = insert.run(connections).await?;
    let created: Result<BTreeSet<String>, _> =
        created.iter().map(|row| row.try_get_by_index(0)).collect();
    let created = created?;
    let is_created = |row: &&&NewSessionRow| created.contains(&row.row.id);
    let users = rows.iter().filter(is_created);
    let above_limit = users_above_limit(connections, users.copied()).await?;
    let results = rows.iter().map(|row| {
        if !is_created(&row) {
            return InsertResult::NotCreated;
        }
        InsertResult::Created {
            is_above_limit: above_limit.contains(&row.row.user_id),
        }
    });
    Ok(results.collect())
}

/// The new sessions, as a table in the statement.
static NEW_SESSIONS: RowTable = RowTable {
    name: "new_sessions",
    columns: &[
        ("id", "text"),
        ("user_id", "text"),
        ("user_version", "bigint"),
        ("password_changed_at", "bigint"),
        ("now", "bigint"),
        ("expires_at", "bigint"),
        ("idle_limit", "bigint"),
        ("amr", "text"),
        ("scope", "text"),
        ("is_narrowed", "boolean"),
        ("client_id", "text"),
        ("user_agent", "text"),
        ("ip", "text"),
        ("label", "text"),
    ],
};

type NewSessionValues = [sea_orm::Value; 14];

fn filler() -> NewSessionValues {
    let (text, number) = (sea_orm::Value::from(""), sea_orm::Value::from(0_i64));
    [
        text.clone(),
        text.clone(),
        number.clone(),
        number.clone(),
        number.clone(),
        number.clone(),
        number,
        text.clone(),
        text.clone(),
        false.into(),
        text.clone(),
        text.clone(),
        text.clone(),
        text,
    ]
}

impl NewSessionRow {
    fn values(&self) -> NewSessionValues {
        let row = &self.row;
        [
            row.id.as_str().into(),
            row.user_id.as_str().into(),
            row.user_version.into(),
            self.password_changed_at.millis().into(),
            row.created_at.into(),
            row.expires_at.into(),
            row.idle_limit.into(),
            row.amr.as_str().into(),
            row.scope.as_str().into(),
            row.is_narrowed.into(),
            row.client_id.as_str().into(),
            row.user_agent.as_str().into(),
            row.ip.as_str().into(),
            row.label.as_str().into(),
        ]
    }
}

fn insert_sql(backend: DbBackend, locked: LockedUser) -> String {
    // On SQLite there is only one writing transaction at a time. Users are locked in the order of their ids:
    // replicas that lock the same rows in the same order cannot deadlock.
    let lock = match (backend, locked) {
        (DbBackend::Postgres, LockedUser::Skip) => "FOR SHARE OF users SKIP LOCKED",
        (DbBackend::Postgres, LockedUser::Wait) => "FOR SHARE OF users",
        _ => "",
    };
    format!(
        "INSERT INTO sessions (
            id, user_id, user_version, generation, rotated_at, superseded, retry_key_hash, created_at,
            expires_at, idle_limit, auth_time, amr, scope, is_narrowed, csrf_epoch, client_id, user_agent, ip,
            label)
        SELECT
            new_sessions.id, users.id, users.authority_version, 0, now, '', '', now, expires_at, idle_limit, now,
            amr, scope, is_narrowed, 0, client_id, user_agent, ip, label
        FROM new_sessions JOIN users ON users.id = new_sessions.user_id
        WHERE users.disabled_at IS NULL AND users.authority_version = new_sessions.user_version
            AND users.password_changed_at = new_sessions.password_changed_at
        ORDER BY users.id {lock} RETURNING id"
    )
}

/// Logins, as a table in the statement.
static LOGINS: RowTable = RowTable {
    name: "logins",
    columns: &[
        ("user_id", "text"),
        ("max_sessions", "bigint"),
        ("at", "bigint"),
    ],
};

/// Returns the users that have more live sessions than the limit. It is checked after the commit, so that of
/// two logins at two replicas at least one sees both sessions.
async fn users_above_limit<'a>(
    connections: &StoreConnections,
    created: impl Iterator<Item = &'a NewSessionRow>,
) -> Result<BTreeSet<String>, StoreError> {
    let by_user: BTreeMap<&str, &NewSessionRow> = created
        .map(|login| (login.row.user_id.as_str(), login))
        .collect();
    if by_user.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = by_user.into_iter().map(|(user, login)| {
        [
            user.into(),
            i64::from(login.limit.get()).into(),
            login.row.created_at.into(),
        ]
    });
    let rows = TableRows::padded(&LOGINS, rows, &["".into(), 0_i64.into(), 0_i64.into()]);
    let sql = format!(
        "SELECT user_id FROM logins WHERE max_sessions < (
            SELECT COUNT(*) FROM sessions
            WHERE sessions.user_id = logins.user_id AND {}
                AND expires_at > logins.at AND rotated_at + idle_limit > logins.at)",
        authority::IS_LIVE
    );
    let db = &connections.reader;
    let found = with_table(db.get_database_backend(), rows, &sql);
    let found = db.query_all_raw(found).await?;
    let users: Result<BTreeSet<String>, _> =
        found.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(users?)
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
