//! Fills databases with rows as the server writes them, by one statement for each table, and makes
//! the refresh tokens that go with them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use latchet::config::{DatabaseKind, DatabaseUrl};
use latchet::derived_keys::DerivedKeys;
use latchet::refresh_token::RefreshTokenCodec;
use latchet::rotation::{SessionState, Superseded};
use latchet::store::{Session, Store};
use latchet_guard::clock::{Clock, Time};
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector, Statement,
    Value,
};
use secrecy::ExposeSecret;
use tokio::runtime::Runtime;

use crate::support::service::{NAME, ROOT_SECRET, person};

/// Issuer of every replica.
pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";

/// Of the shape that a hash of a password has; nobody logs in with it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// The numbers from `$1` to `$2`.
const NUMBERS: &str = "WITH RECURSIVE numbers (n) AS (
    SELECT CAST($1 AS bigint) UNION ALL SELECT n + 1 FROM numbers WHERE n < $2)";

/// The id with a number, as SQL: as long as an id of the server, and as scattered in an index.
fn sql_id(number: &str) -> String {
    format!(
        "substr(CAST(10000000000 + ({number}) * 2654435761 % 4294967296 AS text), 2)
        || substr(CAST(1000000000000 + ({number}) AS text), 2)"
    )
}

/// The same here.
pub(crate) fn id(number: u64) -> String {
    format!("{:010}{number:012}", number * 2_654_435_761 % (1 << 32))
}

/// A database with the schema of the server, open beside it.
pub(crate) struct FilledDatabase {
    kind: DatabaseKind,
    runtime: Runtime,
    db: DatabaseConnection,
    pub(crate) store: Store,
}

impl FilledDatabase {
    /// Opens a database, and makes its tables where they are missing.
    pub(crate) fn open(url: &str) -> Self {
        let runtime = Runtime::new().expect("the system gives threads");
        let parsed: DatabaseUrl = url.parse().expect("the bench made this URL");
        let kind = parsed.kind();
        let (store, db) = runtime.block_on(async {
            let store = Store::open(&parsed).await.expect("the database answers");
            (store, connect(kind, url).await)
        });
        Self {
            kind,
            runtime,
            db,
            store,
        }
    }

    /// Runs a statement.
    pub(crate) fn run(&self, sql: &str, values: impl IntoIterator<Item = Value>) {
        let statement = Statement::from_sql_and_values(self.db.get_database_backend(), sql, values);
        self.runtime
            .block_on(self.db.execute_raw(statement))
            .expect("the database takes the statement");
    }

    /// Waits for what is asked of the store.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Makes the sessions with these numbers, each of a user with the same number. Each was refreshed as often
    /// as a session is that has been in use for some days.
    pub(crate) fn sessions(&self, numbers: RangeInclusive<u64>) {
        let (first, last) = (*numbers.start(), *numbers.end());
        let now = Clock::system().now();
        let users = format!(
            "{NUMBERS} INSERT INTO users (id, username, username_key, password_hash, roles, created_at,
                password_changed_at)
            SELECT {id}, 'user' || n, 'user' || n, $3, '', $4, $4 FROM numbers",
            id = sql_id("n")
        );
        let values = [first.into(), last.into(), HASH.into(), now.millis().into()];
        self.run(&users, values);
        let sessions = format!(
            "{NUMBERS} INSERT INTO sessions (id, user_id, generation, rotated_at, superseded, created_at,
                expires_at, idle_limit, auth_time, amr, scope, client_id, user_agent, ip, label)
            SELECT {id}, {id}, $3, $4, $5, $6 + n, $7 + n, $8, $6 + n, 'pwd', '', '', $9,
                '192.0.2.1', '' FROM numbers",
            id = sql_id("n")
        );
        let state = state(now);
        let created = now - Duration::from_hours(24);
        let values = [
            first.into(),
            last.into(),
            whole(state.generation).into(),
            state.rotated_at.millis().into(),
            state.superseded.text().into(),
            created.millis().into(),
            state.expires_at.millis().into(),
            whole(state.idle_limit.as_millis()).into(),
            AGENT.into(),
        ];
        self.run(&sessions, values);
        self.settle();
    }

    /// Makes so many accounts with the password of the administrator, who may introspect tokens.
    pub(crate) fn people(&self, count: usize) {
        for number in 0..count {
            let sql =
                "INSERT INTO users (id, username, username_key, password_hash, roles, created_at,
                    password_changed_at)
                SELECT $1, $1, $1, password_hash, 'introspect', created_at, password_changed_at
                FROM users WHERE username = $2";
            self.run(sql, [person(number).into(), NAME.into()]);
        }
    }

    /// Denies so many sessions for an hour.
    pub(crate) fn revocations(&self, count: u64) {
        if count == 0 {
            return;
        }
        let now = Clock::system().now();
        let sql = format!(
            "{NUMBERS} INSERT INTO revocations (kind, id, not_after, created_at)
            SELECT 'sid', {id}, $3, $4 FROM numbers",
            id = sql_id("n")
        );
        let not_after = now + Duration::from_hours(1);
        let values = [
            1_u64.into(),
            count.into(),
            not_after.millis().into(),
            now.millis().into(),
        ];
        self.run(&sql, values);
        self.settle();
    }

    /// Does what happens by itself some minutes after so many rows.
    fn settle(&self) {
        let settle = match self.kind {
            DatabaseKind::Postgres => "VACUUM ANALYZE",
            DatabaseKind::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        self.run(settle, []);
    }

    /// Returns how much room all rows and indexes take.
    pub(crate) fn bytes(&self) -> u64 {
        let sql = match self.kind {
            DatabaseKind::Postgres => "SELECT pg_database_size(current_database()) AS bytes",
            DatabaseKind::Sqlite => {
                "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size"
            }
        };
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let row = self.runtime.block_on(self.db.query_one_raw(statement));
        let row = row.expect("the database answers").expect("with a row");
        let bytes: i64 = row.try_get("", "bytes").expect("it is a number");
        bytes.unsigned_abs()
    }
}

async fn connect(kind: DatabaseKind, url: &str) -> DatabaseConnection {
    match kind {
        DatabaseKind::Sqlite => {
            let options: SqliteConnectOptions = url.parse().expect("the bench made this URL");
            // Room for the indexes: with the usual two megabytes a million rows take minutes.
            let options = options.pragma("cache_size", "-524288");
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(options)
                .await
                .expect("the database opens");
            SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
        }
        DatabaseKind::Postgres => {
            let pool = PgPoolOptions::new().max_connections(1).connect(url).await;
            SqlxPostgresConnector::from_sqlx_postgres_pool(pool.expect("the database opens"))
        }
    }
}

/// Generation of every session.
fn state(now: Time) -> SessionState {
    let first = SessionState {
        generation: 0,
        rotated_at: now - Duration::from_hours(24),
        superseded: Superseded::default(),
        retry_key: None,
        expires_at: now + Duration::from_hours(29 * 24),
        idle_limit: Duration::from_hours(14 * 24),
        revoked: None,
    };
    let back = (0..Superseded::MAX_TIMES).rev();
    back.zip(1..).fold(first, |state, (_, quarter)| {
        state.rotated(
            None,
            now - Duration::from_hours(24) + quarter * Duration::from_mins(15),
        )
    })
}

/// Returns the refresh tokens of `some` sessions that lie evenly among `count`.
pub(crate) fn refresh_tokens(some: u64, count: u64) -> Vec<String> {
    let some = some.min(count);
    refresh_tokens_of((0..some).map(|place| place * count / some + 1))
}

/// Returns the refresh tokens of the sessions with these numbers.
pub(crate) fn refresh_tokens_of(numbers: impl Iterator<Item = u64>) -> Vec<String> {
    let tokens = RefreshTokenCodec::new(Arc::new(DerivedKeys::derive(ROOT_SECRET)), ISSUER);
    let mut session = Session {
        id: "".into(),
        user_id: "".into(),
        state: state(Clock::system().now()),
        auth_time: Time::from_millis(0),
        amr: Vec::new(),
        scope: Vec::new(),
        is_narrowed: false,
        client_id: String::new(),
        csrf_epoch: 0,
    };
    let mint = |number: u64| {
        session.id = id(number).into();
        session.user_id = id(number).into();
        let token = tokens.issue(&session).expect("the claims have JSON");
        token.expose_secret().to_owned()
    };
    numbers.map(mint).collect()
}

fn whole<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().ok().expect("it is far below the limit")
}
