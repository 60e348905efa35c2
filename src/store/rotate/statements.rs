//! The two statements of a batch.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use entity::session::Model;
use sea_orm::sqlx::{self, ColumnIndex, Decode, FromRow, Row, Type};
use sea_orm::{ConnectionTrait, DbBackend, Value};

use super::super::authority::END_REASON;
use super::super::batch_connection::BatchConnection;
use super::super::connection::StoreConnections;
use super::super::database_time::now_sql;
use super::super::error::is_deadlock;
use super::super::row_table::{ColumnType, RowTable, SESSION_HAS_NOT_ENDED, TableRows, WANTED_IDS};
use super::super::users::split_spaces;
use super::super::{Session, SessionId, StoreError, sessions};
use super::batch::{BatchedSession, BatchedSessions};
use super::{MAX_BATCH_SIZE, SessionOwner};
use crate::rotation::SessionState;
use latchet_guard::clock::Time;

/// An update of a session from one generation to another.
pub(super) struct GenerationUpdate<'a> {
    pub(super) id: &'a SessionId,
    pub(super) read_generation: u64,
    pub(super) next_state: &'a SessionState,
    /// Unchanged by the update, but part of the tokens.
    pub(super) csrf_epoch: u64,
}

impl GenerationUpdate<'_> {
    /// Returns the row of [`UPDATED`].
    fn values(&self) -> Result<[Value; 6], StoreError> {
        let state = self.next_state;
        Ok([
            self.id.as_str().into(),
            generation_value(self.read_generation)?,
            generation_value(state.generation)?,
            state.rotated_at.millis().into(),
            state.superseded.text().into(),
            sessions::retry_key_text(state.retry_key).into(),
        ])
    }

    /// Returns whether a session is in the state after this update. If another replica wrote that state, the
    /// tokens are the same: they are a function of the row.
    pub(super) fn leads_to(&self, state: &SessionState, csrf_epoch: u64) -> bool {
        csrf_epoch == self.csrf_epoch
            && state.generation == self.next_state.generation
            && state.rotated_at == self.next_state.rotated_at
            && state.superseded == self.next_state.superseded
            && state.retry_key == self.next_state.retry_key
    }
}

/// A time by the clock of the database, which may differ from all others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DatabaseTime(i64);

impl std::ops::Add<Duration> for DatabaseTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self((Time::from_millis(self.0) + rhs).millis())
    }
}

/// Reads sessions and their owners, and the time of the read.
pub(super) async fn read_sessions(
    connection: &mut BatchConnection,
    ids: BTreeSet<&SessionId>,
) -> Result<(BatchedSessions, DatabaseTime), StoreError> {
    static STATEMENTS: StatementCache = StatementCache::new(read_sql);
    let (sql, values) = STATEMENTS.with_rows(connection.backend(), wanted_rows(ids));
    sessions_by_id(connection.rows(sql, values).await?)
}

/// Reads one session and its owner on a read-only connection.
pub(super) async fn read_session(
    connections: &StoreConnections,
    id: &SessionId,
) -> Result<(BatchedSessions, DatabaseTime), StoreError> {
    static STATEMENTS: StatementCache = StatementCache::new(read_sql);
    let backend = connections.reader.get_database_backend();
    let (sql, values) = STATEMENTS.with_rows(backend, wanted_rows([id]));
    sessions_by_id(connections.read_rows(sql, values).await?)
}

fn wanted_rows<'a>(ids: impl IntoIterator<Item = &'a SessionId>) -> TableRows {
    TableRows::new(&WANTED_IDS, ids.into_iter().map(|id| [id.as_str().into()]))
}

fn sessions_by_id(rows: Vec<SessionRow>) -> Result<(BatchedSessions, DatabaseTime), StoreError> {
    let mut read_at = DatabaseTime::default();
    let mut sessions = BatchedSessions::new();
    for row in rows {
        read_at = DatabaseTime(row.read_at);
        let session = Session::try_from(row.session)?;
        sessions.insert(session.id.clone(), BatchedSession::new(session, row.owner));
    }
    Ok((sessions, read_at))
}

/// Selected columns, in the order in which [`SessionRow`] reads them.
const SESSION_COLUMNS: &str = "
    sessions.id, sessions.user_id, sessions.generation, sessions.rotated_at, sessions.superseded,
    sessions.retry_key_hash, sessions.expires_at, sessions.idle_limit, sessions.auth_time,
    sessions.amr, sessions.scope, sessions.is_narrowed, sessions.client_id, sessions.csrf_epoch";
const OWNER_COLUMNS: &str =
    "users.username, users.authority_version, users.roles, users.disabled_at";

fn read_sql(backend: DbBackend, padded_rows: usize) -> String {
    // The clock in a subquery is read once, and not for each row. On SQLite `CROSS JOIN` fixes the order: each
    // session is looked up by its id.
    format!(
        "WITH {} SELECT (SELECT {}) AS read_at, {SESSION_COLUMNS}, {END_REASON}, {OWNER_COLUMNS}
        FROM wanted CROSS JOIN sessions JOIN users ON users.id = sessions.user_id
        WHERE sessions.id = wanted.id",
        WANTED_IDS.definition(backend, 1, padded_rows),
        now_sql(backend)
    )
}

/// A row of a read.
struct SessionRow {
    read_at: i64,
    session: Model,
    owner: SessionOwner,
}

impl<'r, R: Row> FromRow<'r, R> for SessionRow
where
    usize: ColumnIndex<R>,
    i64: Type<R::Database> + Decode<'r, R::Database>,
    bool: Type<R::Database> + Decode<'r, R::Database>,
    String: Type<R::Database> + Decode<'r, R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let mut columns = ColumnReader { row, position: 0 };
        Ok(Self {
            read_at: columns.next_column()?,
            session: Model {
                id: columns.next_column()?,
                user_id: columns.next_column()?,
                generation: columns.next_column()?,
                rotated_at: columns.next_column()?,
                superseded: columns.next_column()?,
                retry_key_hash: columns.next_column()?,
                expires_at: columns.next_column()?,
                idle_limit: columns.next_column()?,
                auth_time: columns.next_column()?,
                amr: columns.next_column()?,
                scope: columns.next_column()?,
                is_narrowed: columns.next_column()?,
                client_id: columns.next_column()?,
                csrf_epoch: columns.next_column()?,
                revoke_reason: columns.next_column()?,
                // Not part of a `Session`.
                user_version: 0,
                created_at: 0,
                revoked_at: None,
                user_agent: String::new(),
                ip: String::new(),
                label: String::new(),
            },
            owner: SessionOwner {
                username: columns.next_column()?,
                authority_version: u64::try_from(columns.next_column::<i64>()?)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                roles: split_spaces(&columns.next_column::<String>()?),
                disabled_at: columns.next_column::<Option<i64>>()?.map(Time::from_millis),
            },
        })
    }
}

/// Reader of the columns of a row from left to right. Looking them up by name would be most of the work of
/// reading a row.
struct ColumnReader<'r, R> {
    row: &'r R,
    position: usize,
}

impl<'r, R: Row> ColumnReader<'r, R>
where
    usize: ColumnIndex<R>,
{
    fn next_column<T>(&mut self) -> Result<T, sqlx::Error>
    where
        T: Type<R::Database> + Decode<'r, R::Database>,
    {
        let column = self.row.try_get(self.position)?;
        self.position += 1;
        Ok(column)
    }
}

/// The updates, as a table in the statement.
static UPDATED: RowTable = RowTable {
    name: "updated",
    columns: &[
        ("id", ColumnType::Text),
        ("old", ColumnType::Bigint),
        ("new", ColumnType::Bigint),
        ("rotated_at", ColumnType::Bigint),
        ("superseded", ColumnType::Text),
        ("retry_key_hash", ColumnType::Text),
    ],
};

/// Updates each session that was not changed or revoked since it was read, unless `deadline` has passed, and
/// returns the number of updated sessions. Returning their ids would cost a row for each, and almost always
/// it is all of them. The `updates` must be of different sessions: an `UPDATE` with the same row twice is
/// undefined.
pub(super) async fn update_generations(
    connection: &mut BatchConnection,
    updates: &[GenerationUpdate<'_>],
    deadline: DatabaseTime,
) -> Result<u64, StoreError> {
    static STATEMENTS: StatementCache = StatementCache::new(update_sql);
    let rows: Result<Vec<_>, StoreError> = updates.iter().map(GenerationUpdate::values).collect();
    let rows = TableRows::new(&UPDATED, rows?);
    let (sql, mut values) = STATEMENTS.with_rows(connection.backend(), rows);
    values.push(deadline.0.into());
    match connection.execute(sql, values).await {
        Ok(changed_rows) => Ok(changed_rows),
        // Nothing was written, and the requests can always be repeated.
        Err(error) if is_deadlock(&error) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn update_sql(backend: DbBackend, padded_rows: usize) -> String {
    let deadline = match backend {
        DbBackend::Postgres => format!("${}", UPDATED.parameter_count(backend, padded_rows) + 1),
        _ => "?".to_owned(),
    };
    format!(
        "WITH {}
        UPDATE sessions SET
            generation = updated.new, rotated_at = updated.rotated_at, superseded = updated.superseded,
            retry_key_hash = updated.retry_key_hash
        FROM updated
        WHERE sessions.id = updated.id AND sessions.generation = updated.old
            AND {SESSION_HAS_NOT_ENDED} AND {} < {deadline}",
        UPDATED.definition(backend, 1, padded_rows),
        now_sql(backend)
    )
}

fn generation_value(generation: u64) -> Result<Value, StoreError> {
    let generation = i64::try_from(generation).map_err(StoreError::malformed)?;
    Ok(generation.into())
}

/// Cache of a statement's SQL: one text on PostgreSQL, and one for each padded number of rows on SQLite. The texts are
/// long there, and building one costs as much as running it.
struct StatementCache {
    build: fn(DbBackend, usize) -> String,
    postgres: OnceLock<String>,
    sqlite: [OnceLock<String>; Self::SIZES],
}

impl StatementCache {
    const SIZES: usize = MAX_BATCH_SIZE.ilog2() as usize + 1;

    const fn new(build: fn(DbBackend, usize) -> String) -> Self {
        Self {
            build,
            postgres: OnceLock::new(),
            sqlite: [const { OnceLock::new() }; Self::SIZES],
        }
    }

    /// Returns the SQL for these rows, and their parameters.
    fn with_rows(&'static self, backend: DbBackend, rows: TableRows) -> (&'static str, Vec<Value>) {
        let padded_rows = rows.padded_rows();
        let text = match backend {
            DbBackend::Postgres => &self.postgres,
            _ => &self.sqlite[padded_rows.ilog2() as usize],
        };
        let sql = text.get_or_init(|| (self.build)(backend, padded_rows));
        (sql, rows.into_parameters(backend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_its_own_sql() {
        static STATEMENTS: StatementCache =
            StatementCache::new(|backend, rows| WANTED_IDS.definition(backend, 1, rows));
        let sql_of = |backend, ids: &[&str]| {
            let ids: Vec<SessionId> = ids.iter().copied().map(SessionId::from).collect();
            STATEMENTS.with_rows(backend, wanted_rows(&ids)).0
        };

        let on_sqlite = "wanted (id) AS (VALUES (?), (?))";
        assert_eq!(sql_of(DbBackend::Sqlite, &["a", "b"]), on_sqlite);
        let on_postgres = "wanted (id) AS (SELECT * FROM unnest((SELECT $1::text[])))";
        for ids in [&["a", "b"][..], &["a"]] {
            assert_eq!(sql_of(DbBackend::Postgres, ids), on_postgres);
        }
        assert_eq!(
            sql_of(DbBackend::Sqlite, &["a"]),
            "wanted (id) AS (VALUES (?))"
        );
    }
}
