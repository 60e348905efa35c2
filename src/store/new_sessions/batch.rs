//! Insertion of the sessions of a batch, and the check of the limit.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use entity::session::Model;
use sea_orm::{ConnectionTrait, DbBackend, Value};

use super::super::batch_queue::{BatchQueue, Reply, reply_to_all};
use super::super::connection::StoreConnections;
use super::super::row_table::{
    ColumnType, CombinedStatements, RowTable, TableRows, USER_IS_ENABLED, with_table,
};
use super::super::throttle::{BudgetWindow, SettledUnits, settle_sql, settled_rows};
use super::super::{BudgetReservation, StoreError, authority, with_deadline};
use latchet_guard::clock::Time;

/// Most logins in one batch. A row has fourteen values, and SQLite accepts 32,766.
const MAX_BATCH_SIZE: usize = 256;

/// A login that waits for its batch.
#[derive(Debug)]
pub(in crate::store) struct LoginRequest {
    pub(super) row: NewSessionRow,
    pub(super) refunds: Vec<BudgetReservation>,
    pub(super) reply: Reply<InsertResult>,
}

/// The row of a session, and the conditions for its creation.
#[derive(Clone, Debug)]
pub(super) struct NewSessionRow {
    /// Its `user_version` is the authority version that the user must still have.
    pub(super) row: Model,
    pub(super) password_changed_at: Time,
    pub(super) limit: NonZeroU32,
}

/// Result of inserting a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InsertResult {
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
pub(in crate::store) fn start(connections: StoreConnections) -> BatchQueue<LoginRequest> {
    BatchQueue::start(MAX_BATCH_SIZE, move |_: Option<()>, logins| {
        let connections = connections.clone();
        async move {
            process_batch(&connections, logins).await;
            None
        }
    })
}

async fn process_batch(connections: &StoreConnections, mut logins: Vec<LoginRequest>) {
    // Nobody would have the tokens of a session whose caller has stopped waiting.
    logins.retain(|login| !login.reply.is_closed());
    if logins.is_empty() {
        return;
    }
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

/// Inserts the session of one login, which waits for a user that another transaction has locked.
pub(super) async fn insert_alone(
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
    let refund = settle_sql(backend);
    let writes: &[(&str, &str)] = match refunds {
        Some(_) => &[("refunded", &refund)],
        None => &[],
    };
    let new = TableRows::new(&NEW_SESSIONS, rows.iter().map(|row| row.values()));
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
    // The sessions are committed: if their number is unknown, each login checks it again.
    let above_limit = users_above_limit(connections, users.copied()).await.ok();
    let results = rows.iter().map(|row| {
        if !is_created(&row) {
            return InsertResult::NotCreated;
        }
        InsertResult::Created {
            is_above_limit: above_limit
                .as_ref()
                .is_none_or(|users| users.contains(&row.row.user_id)),
        }
    });
    Ok(results.collect())
}

/// The new sessions, as a table in the statement.
static NEW_SESSIONS: RowTable = RowTable {
    name: "new_sessions",
    columns: &[
        ("id", ColumnType::Text),
        ("user_id", ColumnType::Text),
        ("user_version", ColumnType::Bigint),
        ("password_changed_at", ColumnType::Bigint),
        ("now", ColumnType::Bigint),
        ("expires_at", ColumnType::Bigint),
        ("idle_limit", ColumnType::Bigint),
        ("amr", ColumnType::Text),
        ("scope", ColumnType::Text),
        ("is_narrowed", ColumnType::Boolean),
        ("client_id", ColumnType::Text),
        ("user_agent", ColumnType::Text),
        ("ip", ColumnType::Text),
        ("label", ColumnType::Text),
    ],
};

type NewSessionValues = [Value; 14];

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
        WHERE {USER_IS_ENABLED} AND users.authority_version = new_sessions.user_version
            AND users.password_changed_at = new_sessions.password_changed_at
        ORDER BY users.id {lock} RETURNING id"
    )
}

/// Logins, as a table in the statement.
static LOGINS: RowTable = RowTable {
    name: "logins",
    columns: &[
        ("user_id", ColumnType::Text),
        ("max_sessions", ColumnType::Bigint),
        ("at", ColumnType::Bigint),
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
    let rows = TableRows::new(&LOGINS, rows);
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
