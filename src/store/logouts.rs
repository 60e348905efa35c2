//! Logouts in batches: the ends of many sessions, and their denials, in one commit.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend};

use super::batch_queue::{BatchQueue, Reply, reply_to_all};
use super::connection::StoreConnections;
use super::row_table::{CombinedStatements, RowTable, TableRows};
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
            let is_ended = ended.contains(logout.session.as_str());
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

/// Ends the sessions that are live and not locked, and returns their ids.
async fn end_sessions(
    connections: &StoreConnections,
    logouts: &[LogoutRequest],
) -> Result<BTreeSet<String>, StoreError> {
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
    let filler = ["".into(), "".into(), "".into(), 0_i64.into(), 0_i64.into()];
    let end = end_sql(connections.writer.get_database_backend());
    let statements = CombinedStatements {
        tables: &[TableRows::padded(&LOGOUTS, rows, &filler)],
        writes: &[("denied", DENY)],
        last: &end,
    };
    let ended = statements.run(connections).await?;
    let ended: Result<BTreeSet<String>, _> =
        ended.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(ended?)
}

/// The logouts, as a table in the statement.
static LOGOUTS: RowTable = RowTable {
    name: "logouts",
    columns: &[
        ("id", "text"),
        ("user_id", "text"),
        ("reason", "text"),
        ("at", "bigint"),
        ("not_after", "bigint"),
    ],
};

/// Records the denials of the sessions that are live. A session that is locked is denied too: its logout ends
/// it afterwards.
const DENY: &str = "
    INSERT INTO revocations (kind, id, not_after, created_at, version)
    SELECT 'sid', sessions.id, logouts.not_after, logouts.at, 0
    FROM logouts JOIN sessions ON sessions.id = logouts.id
    WHERE sessions.revoked_at IS NULL AND logouts.user_id IN ('', sessions.user_id)
    ORDER BY sessions.id
    ON CONFLICT (id, kind) DO NOTHING";

fn end_sql(backend: DbBackend) -> String {
    // On SQLite there is only one writing transaction at a time.
    let is_free = match backend {
        DbBackend::Postgres => {
            "AND sessions.id IN (
                SELECT free.id FROM sessions AS free WHERE free.id IN (SELECT id FROM logouts)
                ORDER BY free.id FOR NO KEY UPDATE SKIP LOCKED)"
        }
        _ => "",
    };
    format!(
        "UPDATE sessions SET revoked_at = logouts.at, revoke_reason = logouts.reason
        FROM logouts
        WHERE sessions.id = logouts.id AND sessions.revoked_at IS NULL
            AND logouts.user_id IN ('', sessions.user_id) {is_free}
        RETURNING sessions.id"
    )
}
