//! The two statements of a batch. SQL, because sea-query has no `UPDATE … FROM (VALUES …)`.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, FromQueryResult, QueryResult, Statement, Value,
};

use super::super::error::is_deadlock;
use super::super::users::words;
use super::super::{Session, SessionId, StoreError};
use super::Owner;
use super::batch::{Entries, Entry};
use crate::clock::Time;
use crate::server::rotation::SessionState;

/// A session to be moved from one generation to another.
pub(super) struct Step<'a> {
    pub(super) id: &'a SessionId,
    pub(super) from: u64,
    pub(super) to: &'a SessionState,
}

/// A time by the database's own clock, which may differ from every other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DatabaseTime(i64);

impl std::ops::Add<Duration> for DatabaseTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self((Time::from_millis(self.0) + rhs).millis())
    }
}

/// When the statement reached the database, in unix milliseconds.
fn clock(db: &DatabaseConnection) -> &'static str {
    match db.get_database_backend() {
        DbBackend::Postgres => "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS bigint)",
        _ => "CAST(unixepoch('subsec') * 1000 AS integer)",
    }
}

/// Reads sessions and their owners, and when that was.
pub(super) async fn read(
    db: &DatabaseConnection,
    ids: BTreeSet<&SessionId>,
) -> Result<(Entries, DatabaseTime), StoreError> {
    let mut values: Vec<Value> = ids.iter().map(|id| id.as_str().into()).collect();
    // An id that no session has.
    values.resize(padded(values.len()), "".into());
    let sql = format!(
        "SELECT sessions.*, users.username AS owner_username, users.roles AS owner_roles,
            users.disabled_at AS owner_disabled_at, {} AS read_at
        FROM sessions JOIN users ON users.id = sessions.user_id
        WHERE sessions.id IN ({})",
        clock(db),
        numbered(1, values.len())
    );
    let select = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = db.query_all_raw(select).await?;
    let mut read_at = DatabaseTime::default();
    let mut entries = Entries::new();
    for row in rows {
        read_at = DatabaseTime(row.try_get("", "read_at")?);
        let entry = entry(&row)?;
        entries.insert(entry.session.id.clone(), entry);
    }
    Ok((entries, read_at))
}

fn entry(row: &QueryResult) -> Result<Entry, StoreError> {
    let session = entity::session::Model::from_query_result(row, "")?;
    let roles: String = row.try_get("", "owner_roles")?;
    let disabled_at: Option<i64> = row.try_get("", "owner_disabled_at")?;
    let owner = Owner {
        username: row.try_get("", "owner_username")?,
        roles: words(&roles),
        disabled_at: disabled_at.map(Time::from_millis),
    };
    Ok(Entry::new(Session::try_from(session)?, owner))
}

/// Moves each session that nobody else moved or revoked, unless it is `deadline`, and returns which
/// were moved. The steps concern different sessions: an `UPDATE` that meets a row twice is undefined.
pub(super) async fn advance(
    db: &DatabaseConnection,
    steps: &[Step<'_>],
    deadline: DatabaseTime,
) -> Result<HashSet<SessionId>, StoreError> {
    const COLUMNS: usize = 5;
    let rows = padded(steps.len());
    let mut values = Vec::with_capacity(rows * COLUMNS);
    for step in steps {
        let state = step.to;
        values.extend([
            step.id.as_str().into(),
            signed(step.from)?,
            signed(state.generation)?,
            state.rotated_at.millis().into(),
            state.superseded.to_string().into(),
        ]);
    }
    for _ in steps.len()..rows {
        // Of the same types as above, because a statement is prepared once for all its uses.
        values.extend([
            "".into(),
            0_i64.into(),
            0_i64.into(),
            0_i64.into(),
            "".into(),
        ]);
    }
    values.push(deadline.0.into());
    // The first row tells PostgreSQL the types of the columns.
    let first = "(CAST($1 AS text), CAST($2 AS bigint), CAST($3 AS bigint), CAST($4 AS bigint), \
        CAST($5 AS text))";
    let others = (1..rows).map(|row| format!("({})", numbered(row * COLUMNS + 1, COLUMNS)));
    let listed: Vec<String> = std::iter::once(first.to_owned()).chain(others).collect();
    let listed = listed.join(", ");
    let sql = format!(
        "WITH step (id, old, new, rotated_at, superseded) AS (VALUES {listed})
        UPDATE sessions SET
            generation = step.new, rotated_at = step.rotated_at, superseded = step.superseded
        FROM step
        WHERE sessions.id = step.id AND sessions.generation = step.old
            AND sessions.revoked_at IS NULL AND {} < ${}
        RETURNING sessions.id",
        clock(db),
        values.len()
    );
    let update = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = match db.query_all_raw(update).await {
        Ok(rows) => rows,
        // Nothing was written, and judging anew is always right.
        Err(error) if is_deadlock(&error) => return Ok(HashSet::new()),
        Err(error) => return Err(error.into()),
    };
    rows.iter()
        .map(|row| Ok(SessionId::from(row.try_get_by_index::<String>(0)?)))
        .collect()
}

fn signed(generation: u64) -> Result<Value, StoreError> {
    let generation = i64::try_from(generation).map_err(StoreError::malformed)?;
    Ok(generation.into())
}

/// Rounds up to a power of two, so that a handful of prepared statements serve batches of any size.
fn padded(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// Returns `$first, $first+1, …`.
fn numbered(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    names.join(", ")
}
