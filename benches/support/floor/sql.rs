//! Bare SQL on the schema of the server: one update per commit, and one batch of reads and updates.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use latchet::config::{DatabaseKind, DatabaseUrl};
use latchet::security_events::Actor;
use latchet::store::{DenialPeriod, LoginDevice, NewSession, NewUser, Store};
use latchet_guard::clock::Clock;
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector, Statement,
    Value,
};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::PARALLEL;
use crate::support::worker::serve_commands;

/// PostgreSQL commits the most single updates with about this many connections.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Content of the column after a session was refreshed sixteen times.
pub(crate) const SUPERSEDED: &str = "1790000000015,1790000000014,1790000000013,1790000000012,\
    1790000000011,1790000000010,1790000000009,1790000000008,1790000000007,1790000000006,\
    1790000000005,1790000000004,1790000000003,1790000000002,1790000000001,1790000000000";

/// One update per commit, from as many tasks as there are clients elsewhere.
pub(super) fn updates(url: &str) {
    let runtime = Runtime::new().expect("the system gives threads");
    let (db, sessions) = runtime.block_on(open(url));
    serve_commands(|window| {
        let end = Instant::now() + window;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for session in sessions.clone() {
                tasks.spawn(update_until(end, db.clone(), session));
            }
            tasks.join_all().await.into_iter().sum()
        })
    });
}

async fn update_until(end: Instant, db: DatabaseConnection, session: String) -> u64 {
    let sql = "UPDATE sessions SET generation = generation + 1, rotated_at = $2, superseded = $3
        WHERE id = $1 AND generation >= 0 AND revoked_at IS NULL";
    let mut count = 0;
    while Instant::now() < end {
        let values: [Value; 3] = [session.as_str().into(), millis(count), SUPERSEDED.into()];
        let update = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        let done = db.execute_raw(update).await.expect("the database works");
        assert_eq!(done.rows_affected(), 1);
        count += 1;
    }
    count
}

/// All sessions read in one statement and updated in another, again and again; counts sessions.
pub(super) fn batches(url: &str) {
    let runtime = Runtime::new().expect("the system gives threads");
    let (db, sessions) = runtime.block_on(open(url));
    serve_commands(|window| runtime.block_on(batch_until(Instant::now() + window, &db, &sessions)));
}

async fn batch_until(end: Instant, db: &DatabaseConnection, sessions: &[String]) -> u64 {
    let backend = db.get_database_backend();
    let ids: Vec<Value> = sessions.iter().map(|id| id.as_str().into()).collect();
    let names = |first: usize, count: usize| {
        let names: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
        names.join(", ")
    };
    let read = format!(
        "SELECT sessions.*, users.username AS username, users.roles AS roles
        FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id IN ({})",
        names(1, ids.len())
    );
    let first = "(CAST($1 AS text), CAST($2 AS bigint), CAST($3 AS text))".to_owned();
    let rest = (1..ids.len()).map(|row| format!("({})", names(row * 3 + 1, 3)));
    let rows: Vec<String> = std::iter::once(first).chain(rest).collect();
    let write = format!(
        "WITH step (id, rotated_at, superseded) AS (VALUES {})
        UPDATE sessions SET generation = generation + 1, rotated_at = step.rotated_at,
            superseded = step.superseded
        FROM step WHERE sessions.id = step.id AND sessions.revoked_at IS NULL
        RETURNING sessions.id",
        rows.join(", ")
    );
    let mut count = 0;
    while Instant::now() < end {
        let select = Statement::from_sql_and_values(backend, &read, ids.clone());
        let found = db.query_all_raw(select).await.expect("the database works");
        let values: Vec<Value> = found
            .iter()
            .flat_map(|row| {
                let id: String = row.try_get("", "id").expect("the column is there");
                let generation: i64 = row.try_get("", "generation").expect("so is this");
                [id.into(), generation.into(), SUPERSEDED.into()]
            })
            .collect();
        let update = Statement::from_sql_and_values(backend, &write, values);
        let moved = db.query_all_raw(update).await.expect("the database works");
        assert_eq!(moved.len(), ids.len());
        count += u64::try_from(moved.len()).expect("it is small");
    }
    count
}

fn millis(count: u64) -> Value {
    let count = i64::try_from(count).expect("nobody counts that far");
    (1_790_000_000_000 + count).into()
}

/// Makes the schema and the sessions, and connects as directly as can be.
async fn open(url: &str) -> (DatabaseConnection, Vec<String>) {
    let url: DatabaseUrl = url.parse().expect("the bench made this URL");
    let sessions = fill(&url).await;
    let db = match url.kind() {
        DatabaseKind::Sqlite => {
            let options: SqliteConnectOptions = url.expose().parse().expect("it is a path");
            let options = options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(5));
            let pool = SqlitePoolOptions::new().max_connections(1);
            let pool = pool.connect_with(options).await.expect("the file is ours");
            SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
        }
        DatabaseKind::Postgres => {
            let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS);
            let pool = pool.test_before_acquire(false).connect(url.expose()).await;
            SqlxPostgresConnector::from_sqlx_postgres_pool(pool.expect("PostgreSQL listens"))
        }
    };
    (db, sessions)
}

async fn fill(url: &DatabaseUrl) -> Vec<String> {
    let store = Store::open(url).await.expect("the database is empty");
    let now = Clock::system().now();
    let user = NewUser {
        username: "alice".to_owned(),
        password_hash: "none".into(),
        roles: vec!["reader".to_owned()],
        locale: None,
    };
    let user = store
        .create_user(user, &Actor::Operator, now)
        .await
        .expect("it is the first");
    let mut sessions = Vec::new();
    for _ in 0..PARALLEL {
        let new = NewSession {
            limit: NonZeroU32::MAX,
            period: DenialPeriod {
                now,
                not_after: now + Duration::from_hours(1),
            },
            expires_at: now + Duration::from_hours(24),
            idle_limit: Duration::from_hours(24),
            amr: vec!["pwd".to_owned()],
            scope: Vec::new(),
            is_narrowed: false,
            client_id: String::new(),
            device: LoginDevice {
                user_agent: "bench".to_owned(),
                ip: "127.0.0.1".to_owned(),
                label: String::new(),
            },
        };
        let made = store.create_session(&user, new, &[], now).await;
        let made = made.expect("the database works").expect("alice is there");
        sessions.push(made.current.session.id.to_string());
    }
    sessions
}
