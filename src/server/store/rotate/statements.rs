//! The two statements of a batch. SQL, because sea-query has no `UPDATE … FROM (VALUES …)`.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use entity::session::Model;
use sea_orm::sqlx::{self, ColumnIndex, Decode, FromRow, Row, Type};
use sea_orm::{ConnectionTrait, DbBackend, Value};

use super::super::authority::END_REASON;
use super::super::connection::Connections;
use super::super::database_time::now as clock;
use super::super::error::is_deadlock;
use super::super::held::Held;
use super::super::users::words;
use super::super::{Session, SessionId, StoreError, sessions};
use super::batch::{Entries, Entry};
use super::{BATCH, Owner};
use crate::clock::Time;
use crate::server::rotation::SessionState;

/// An update of a session from one generation to another.
pub(super) struct Step<'a> {
    pub(super) id: &'a SessionId,
    pub(super) from: u64,
    pub(super) to: &'a SessionState,
    /// Unchanged by the update, but part of the tokens.
    pub(super) csrf_epoch: u64,
}

impl Step<'_> {
    /// Returns whether a session is in the state after this update. If another replica wrote that state, the
    /// tokens are the same: they are a function of the row.
    pub(super) fn has_led_to(&self, state: &SessionState, csrf_epoch: u64) -> bool {
        csrf_epoch == self.csrf_epoch
            && state.generation == self.to.generation
            && state.rotated_at == self.to.rotated_at
            && state.superseded == self.to.superseded
            && state.key == self.to.key
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
pub(super) async fn read(
    connection: &mut Held,
    ids: BTreeSet<&SessionId>,
) -> Result<(Entries, DatabaseTime), StoreError> {
    static TEXTS: Texts = Texts::of(read_text);
    let mut values: Vec<Value> = ids.iter().map(|id| id.as_str().into()).collect();
    // No session has an empty id.
    values.resize(padded(values.len()), "".into());
    let sql = TEXTS.get(connection.backend(), values.len());
    entries(connection.rows(sql, values).await?)
}

/// Reads one session and its owner on a read-only connection.
pub(super) async fn read_by(
    connections: &Connections,
    id: &SessionId,
) -> Result<(Entries, DatabaseTime), StoreError> {
    static TEXTS: Texts = Texts::of(read_text);
    let sql = TEXTS.get(connections.reader.get_database_backend(), 1);
    let values = vec![id.as_str().into()];
    entries(connections.read_rows(sql, values).await?)
}

fn entries(rows: Vec<Found>) -> Result<(Entries, DatabaseTime), StoreError> {
    let mut read_at = DatabaseTime::default();
    let mut entries = Entries::new();
    for found in rows {
        read_at = DatabaseTime(found.read_at);
        let session = Session::try_from(found.session)?;
        entries.insert(session.id.clone(), Entry::new(session, found.owner));
    }
    Ok((entries, read_at))
}

/// Selected columns, in the order in which [`Found`] reads them.
const SELECTED: &str = "
    sessions.id, sessions.user_id, sessions.generation, sessions.rotated_at, sessions.superseded,
    sessions.retry_key_hash, sessions.expires_at, sessions.idle_limit, sessions.auth_time,
    sessions.amr, sessions.scope, sessions.is_narrowed, sessions.client_id, sessions.csrf_epoch";
const SELECTED_OF_USER: &str = "users.authority_version, users.roles, users.disabled_at";

fn read_text(backend: DbBackend, rows: usize) -> String {
    // The clock in a subquery is read once, and not for each row.
    format!(
        "SELECT (SELECT {}) AS read_at, {SELECTED}, {END_REASON}, {SELECTED_OF_USER}
        FROM sessions JOIN users ON users.id = sessions.user_id
        WHERE sessions.id IN ({})",
        clock(backend),
        parameters(backend, 1, rows)
    )
}

/// A row of a read.
struct Found {
    read_at: i64,
    session: Model,
    owner: Owner,
}

impl<'r, R: Row> FromRow<'r, R> for Found
where
    usize: ColumnIndex<R>,
    i64: Type<R::Database> + Decode<'r, R::Database>,
    bool: Type<R::Database> + Decode<'r, R::Database>,
    String: Type<R::Database> + Decode<'r, R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let mut columns = Columns { row, taken: 0 };
        Ok(Self {
            read_at: columns.take()?,
            session: Model {
                id: columns.take()?,
                user_id: columns.take()?,
                generation: columns.take()?,
                rotated_at: columns.take()?,
                superseded: columns.take()?,
                retry_key_hash: columns.take()?,
                expires_at: columns.take()?,
                idle_limit: columns.take()?,
                auth_time: columns.take()?,
                amr: columns.take()?,
                scope: columns.take()?,
                is_narrowed: columns.take()?,
                client_id: columns.take()?,
                csrf_epoch: columns.take()?,
                revoke_reason: columns.take()?,
                // Not part of a `Session`.
                user_version: 0,
                created_at: 0,
                revoked_at: None,
                user_agent: String::new(),
                ip: String::new(),
                label: String::new(),
            },
            owner: Owner {
                authority_version: u64::try_from(columns.take::<i64>()?)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                roles: words(&columns.take::<String>()?),
                disabled_at: columns.take::<Option<i64>>()?.map(Time::from_millis),
            },
        })
    }
}

/// Reader of the columns of a row from left to right. Looking them up by name would be most of the work of
/// reading a row.
struct Columns<'r, R> {
    row: &'r R,
    taken: usize,
}

impl<'r, R: Row> Columns<'r, R>
where
    usize: ColumnIndex<R>,
{
    fn take<T>(&mut self) -> Result<T, sqlx::Error>
    where
        T: Type<R::Database> + Decode<'r, R::Database>,
    {
        let column = self.row.try_get(self.taken)?;
        self.taken += 1;
        Ok(column)
    }
}

/// Number of columns that `advance` binds for each row.
const COLUMNS: usize = 6;

/// Updates each session that was not changed or revoked since it was read, unless `deadline` has passed, and
/// returns the number of updated sessions. Returning their ids would cost a row for each, and almost always
/// it is all of them. The `steps` must be of different sessions: an `UPDATE` with the same row twice is
/// undefined.
pub(super) async fn advance(
    connection: &mut Held,
    steps: &[Step<'_>],
    deadline: DatabaseTime,
) -> Result<u64, StoreError> {
    static TEXTS: Texts = Texts::of(advance_text);
    let rows = padded(steps.len());
    let mut values = Vec::with_capacity(rows * COLUMNS + 1);
    for step in steps {
        let state = step.to;
        values.extend([
            step.id.as_str().into(),
            signed(step.from)?,
            signed(state.generation)?,
            state.rotated_at.millis().into(),
            state.superseded.text().into(),
            sessions::key_text(state.key).into(),
        ]);
    }
    for _ in steps.len()..rows {
        // The same types as above, because a prepared statement has fixed types.
        values.extend([
            "".into(),
            0_i64.into(),
            0_i64.into(),
            0_i64.into(),
            "".into(),
            "".into(),
        ]);
    }
    values.push(deadline.0.into());
    let sql = TEXTS.get(connection.backend(), rows);
    match connection.execute(sql, values).await {
        Ok(moved) => Ok(moved),
        // Nothing was written, and the requests can always be repeated.
        Err(error) if is_deadlock(&error) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn advance_text(backend: DbBackend, rows: usize) -> String {
    let row = |row: usize| parameters(backend, row * COLUMNS + 1, COLUMNS);
    // PostgreSQL takes the types of the columns from the first row.
    let types = ["text", "bigint", "bigint", "bigint", "text", "text"];
    let names = row(0);
    let first = names.split(", ").zip(types);
    let first = first.map(|(name, of)| format!("CAST({name} AS {of})"));
    let first: Vec<String> = first.collect();
    let first = format!("({})", first.join(", "));
    let others = (1..rows).map(|number| format!("({})", row(number)));
    let listed: Vec<String> = std::iter::once(first).chain(others).collect();
    let listed = listed.join(", ");
    format!(
        "WITH step (id, old, new, rotated_at, superseded, retry_key_hash) AS (VALUES {listed})
        UPDATE sessions SET
            generation = step.new, rotated_at = step.rotated_at, superseded = step.superseded,
            retry_key_hash = step.retry_key_hash
        FROM step
        WHERE sessions.id = step.id AND sessions.generation = step.old
            AND sessions.revoked_at IS NULL AND {} < {}",
        clock(backend),
        parameters(backend, rows * COLUMNS + 1, 1)
    )
}

fn signed(generation: u64) -> Result<Value, StoreError> {
    let generation = i64::try_from(generation).map_err(StoreError::malformed)?;
    Ok(generation.into())
}

/// Rounds up to a power of two, so that a handful of prepared statements serve batches of any size.
fn padded(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// Returns `count` placeholders, separated by commas. On SQLite they have no numbers, because SQLite searches
/// all parameters for one with a name.
fn parameters(backend: DbBackend, first: usize, count: usize) -> String {
    let name = |number: usize| match backend {
        DbBackend::Postgres => format!("${number}"),
        _ => "?".to_owned(),
    };
    let names: Vec<String> = (first..first + count).map(name).collect();
    names.join(", ")
}

/// Cache of a statement's SQL for each padded batch size. The texts are long, and building one costs as much as
/// running it.
struct Texts {
    write: fn(DbBackend, usize) -> String,
    sqlite: [OnceLock<String>; Self::SIZES],
    postgres: [OnceLock<String>; Self::SIZES],
}

impl Texts {
    const SIZES: usize = BATCH.ilog2() as usize + 1;

    const fn of(write: fn(DbBackend, usize) -> String) -> Self {
        Self {
            write,
            sqlite: [const { OnceLock::new() }; Self::SIZES],
            postgres: [const { OnceLock::new() }; Self::SIZES],
        }
    }

    fn get(&'static self, backend: DbBackend, rows: usize) -> &'static str {
        let texts = match backend {
            DbBackend::Postgres => &self.postgres,
            _ => &self.sqlite,
        };
        texts[rows.ilog2() as usize].get_or_init(|| (self.write)(backend, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_a_text_of_its_own() {
        static TEXTS: Texts = Texts::of(|backend, rows| parameters(backend, 1, rows));

        assert_eq!(TEXTS.get(DbBackend::Sqlite, 2), "?, ?");
        assert_eq!(TEXTS.get(DbBackend::Postgres, 2), "$1, $2");
    }
}
