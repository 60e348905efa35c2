//! Logouts in batches: the ends of many sessions, and their denials, in one commit.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbBackend};

use super::batch_queue::{BatchQueue, Reply, reply_to_all};
use super::connection::StoreConnections;
use super::revocations::SESSION_KIND;
use super::row_table::{
    ColumnType, CombinedStatements, RowTable, SESSION_HAS_NOT_ENDED, TableRows,
};
use super::{Revocation, SessionId, StoreError, UserId, with_deadline};

/// Most logouts in one batch.
const MAX_BATCH_SIZE: usize = 512;

/// A logout that waits for its batch.
#[derive(Debug)]
pub(super) struct LogoutRequest {
    pub(super) session: SessionId,
    /// Owner of the session, if it must be that user.
    pub(super) user: Option<UserId>,
    pub(super) revocation: Revocation,
    pub(super) reply: Reply<LogoutResult>,
}

/// Result of a logout in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogoutResult {
    /// The session was live, and has ended.
    Ended,
    /// Nothing was changed: there is no such session, it has ended before, or another transaction has locked it.
    Unchanged,
}

/// Starts the queue of the logouts.
pub(super) fn start(connections: StoreConnections) -> BatchQueue<LogoutRequest> {
    BatchQueue::start(MAX_BATCH_SIZE, move |_: Option<()>, logouts| {
        let connections = connections.clone();
        async move {
            process_batch(&connections, logouts).await;
            None
        }
    })
}

async fn process_batch(connections: &StoreConnections, logouts: Vec<LogoutRequest>) {
    let ended = with_deadline(end_sessions(connections, &logouts)).await;
    let results = ended.map(|ended| {
        let results = logouts.iter().map(|logout| {
            let owner = ended.get(logout.session.as_str());
            let is_ended = owner.is_some_and(|owner| {
                let user = logout.user.as_ref();
                user.is_none_or(|user| user.as_str() == owner)
            });
            Ok(if is_ended {
                LogoutResult::Ended
            } else {
                LogoutResult::Unchanged
            })
        });
        results.collect()
    });
    reply_to_all(logouts.into_iter().map(|logout| logout.reply), results);
}

/// Ends the sessions that are live and not locked. Returns their owners by session.
async fn end_sessions(
    connections: &StoreConnections,
    logouts: &[LogoutRequest],
) -> Result<BTreeMap<String, String>, StoreError> {
    let by_session: BTreeMap<(&SessionId, Option<&UserId>), &Revocation> = logouts
        .iter()
        .map(|logout| ((&logout.session, logout.user.as_ref()), &logout.revocation))
        .collect();
    let rows = by_session.into_iter().map(|((session, user), revocation)| {
        [
            session.as_str().into(),
            user.map_or("", UserId::as_str).into(),
            revocation.reason.as_str().into(),
            revocation.period.now.millis().into(),
            revocation.period.not_after.millis().into(),
        ]
    });
    let backend = connections.writer.get_database_backend();
    let tables = [TableRows::new(&LOGOUTS, rows)];
    let ended = if backend == DbBackend::Postgres {
        let end = format!(
            "UPDATE sessions SET revoked_at = free.at, revoke_reason = free.reason
            FROM free WHERE sessions.id = free.id AND {SESSION_HAS_NOT_ENDED}
            RETURNING sessions.id, sessions.user_id, free.not_after, free.at"
        );
        let statements = CombinedStatements {
            tables: &tables,
            writes: &[
                ("free", &lock_sql()),
                ("ended", &end),
                ("denied", &deny_sql("ended")),
            ],
            last: "SELECT id, user_id FROM ended",
        };
        statements.run(connections).await?
    } else {
        let is_to_end = is_to_end();
        // A statement does not see what another one returned. There is only one writing transaction at a time.
        let live = format!(
            "(SELECT sessions.id, not_after, at FROM logouts JOIN sessions ON {is_to_end})"
        );
        let statements = CombinedStatements {
            tables: &tables,
            writes: &[("denied", &deny_sql(&live))],
            last: &format!(
                "UPDATE sessions SET revoked_at = logouts.at, revoke_reason = logouts.reason
                FROM logouts WHERE {is_to_end} RETURNING id, user_id"
            ),
        };
        statements.run(connections).await?
    };
    let owners = ended
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)));
    owners.collect()
}

/// The logouts, as a table in the statement.
static LOGOUTS: RowTable = RowTable {
    name: "logouts",
    columns: &[
        ("id", ColumnType::Text),
        ("user_id", ColumnType::Text),
        ("reason", ColumnType::Text),
        ("at", ColumnType::Bigint),
        ("not_after", ColumnType::Bigint),
    ],
};

/// Returns the condition of a live session that a logout is to end.
fn is_to_end() -> String {
    format!(
        "sessions.id = logouts.id AND {SESSION_HAS_NOT_ENDED} AND logouts.user_id IN ('', sessions.user_id)"
    )
}

/// Returns the SQL that locks the sessions to end, except those that another transaction has locked. In the order of
/// the ids: statements that lock the same rows in the same order cannot deadlock. Locked before the update, and
/// once: a subquery in its condition would be joined with each row.
fn lock_sql() -> String {
    let is_to_end = is_to_end();
    format!(
        "SELECT sessions.id, logouts.reason, logouts.at, logouts.not_after
        FROM logouts JOIN sessions ON {is_to_end}
        ORDER BY sessions.id FOR NO KEY UPDATE OF sessions SKIP LOCKED"
    )
}

/// Returns the SQL that records the denials of the sessions that `ended` selects, with columns `id`, `not_after` and
/// `at`.
fn deny_sql(ended: &str) -> String {
    format!(
        "INSERT INTO revocations (kind, id, not_after, created_at, version)
        SELECT '{SESSION_KIND}', id, not_after, at, 0 FROM {ended} WHERE TRUE ORDER BY id
        ON CONFLICT (id, kind) DO NOTHING"
    )
}
