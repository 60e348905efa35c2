//! The denylist with a real Redis and a real SQLite file. Several open denylists represent several
//! processes: they share nothing but these two.

mod backfill;
mod data_loss;
mod handle;
mod log_output;
mod outages;
mod reader;
mod redis_server;
mod replicated_memory;
mod topology;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{Database, DatabaseConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::redis::RedisDenylist;
use super::{BackendKind, DenylistBackend, DenylistHealth};
use crate::config::DatabaseKind;
use crate::store::Store;
use latchet_guard::clock::Clock;
use latchet_guard::denylist::{TokenIds, TokenStatus, conformance};
use latchet_guard::keys::random_id;
use redis_server::RedisServer;

/// A database, and the settings that several processes share.
struct TestInstallation {
    folder: TempDir,
    redis_url: Option<String>,
}

impl TestInstallation {
    fn on(server: &RedisServer) -> Self {
        Self::at(Some(server.url()))
    }

    fn at(redis_url: Option<String>) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            redis_url,
        }
    }

    /// Opens the denylist as a server process does.
    async fn start(&self) -> TestProcess {
        self.start_at(Clock::system()).await
    }

    async fn start_at(&self, clock: Clock) -> TestProcess {
        let mut process = self.open_command_line_at(clock).await;
        process.denylist.maintain(&mut process.tasks);
        process
    }

    /// Starts a server and waits until its copy is trusted.
    async fn start_and_wait(&self) -> TestProcess {
        let process = self.start().await;
        process.until_healthy().await;
        process
    }

    /// Opens the denylist as the command line does.
    async fn open_command_line(&self) -> TestProcess {
        self.open_command_line_at(Clock::system()).await
    }

    async fn open_command_line_at(&self, clock: Clock) -> TestProcess {
        let path = self.folder.path().join("latchet.db");
        let store = Store::open(&format!("sqlite://{}", path.display()).parse().unwrap())
            .await
            .unwrap();
        let denylist = DenylistBackend::open(
            DatabaseKind::Sqlite,
            self.redis_url.as_deref(),
            store.clone(),
            clock.clone(),
        )
        .unwrap();
        TestProcess {
            denylist,
            store,
            clock,
            tasks: JoinSet::new(),
        }
    }
}

struct TestProcess {
    denylist: DenylistBackend,
    store: Store,
    clock: Clock,
    tasks: JoinSet<()>,
}

impl TestProcess {
    async fn until_healthy(&self) {
        self.until("the copy to be trusted", |health| {
            *health == DenylistHealth::Healthy
        })
        .await;
    }

    /// Waits until the copy is distrusted for a reason that contains this word.
    async fn until_distrusted(&self, word: &str) {
        self.until(
            word,
            |health| matches!(health, DenylistHealth::UsingSql(why) if why.contains(word)),
        )
        .await;
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&DenylistHealth) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let health = self.denylist.health();
            if holds(&health) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "timed out waiting for {what}: {health:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Revokes a token only in SQL, like a process that dies immediately afterwards.
    async fn revoke_in_sql_only(&self) -> Token {
        let now = self.clock.now();
        let token = Token(random_id());
        self.store
            .revoke_token(&token.0, now + Duration::from_mins(15), now)
            .await
            .unwrap();
        token
    }

    /// Revokes a token in SQL and in the copy.
    async fn revoke(&self) -> Token {
        let token = self.revoke_in_sql_only().await;
        self.deny(&token).await;
        token
    }

    async fn deny(&self, token: &Token) {
        let now = self.clock.now();
        let denial = self
            .store
            .revoke_token(&token.0, now + Duration::from_mins(15), now)
            .await
            .unwrap();
        self.denylist.deny(&[denial], now).await.unwrap();
    }

    async fn refuses(&self, token: &Token) -> bool {
        let list = self.denylist.list();
        let status = list.check(token.ids(), self.clock.now()).await;
        status.unwrap() != TokenStatus::NotDenied
    }

    fn redis(&self) -> &Arc<RedisDenylist> {
        match &self.denylist.0 {
            BackendKind::Redis(list) => list,
            _ => panic!("no Redis is configured"),
        }
    }

    async fn epoch(&self) -> String {
        self.store.epoch().await.unwrap().epoch
    }
}

/// The `jti` of a token.
struct Token(String);

impl Token {
    fn valid() -> Self {
        Self(random_id())
    }

    fn ids(&self) -> TokenIds<'_> {
        TokenIds {
            sid: Some("a session"),
            jti: &self.0,
            sub: "a user",
            authority_version: 0,
        }
    }

    fn key(&self) -> String {
        format!("latchet:{{deny}}:jti:{}", self.0)
    }
}

/// A second connection to the database of an installation.
async fn database(installation: &TestInstallation) -> DatabaseConnection {
    let file = installation.folder.path().join("latchet.db");
    let url = format!("sqlite://{}", file.display());
    Database::connect(url).await.unwrap()
}

const EPOCH_MARKER_KEY: &str = "latchet:{deny}:epoch";

#[tokio::test]
async fn every_backend_conforms() {
    let redis = RedisServer::start();

    for installation in [TestInstallation::on(&redis), TestInstallation::at(None)] {
        let process = installation.start_and_wait().await;
        let list = process.denylist.list();

        conformance::check(&*list, process.clock.now())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn without_a_copy_checks_use_sql() {
    let installation = TestInstallation::at(None);
    let open_command_line = installation.open_command_line().await;
    let (store, clock) = (
        open_command_line.store.clone(),
        open_command_line.clock.clone(),
    );
    let denylist = DenylistBackend::open(DatabaseKind::Postgres, None, store, clock).unwrap();
    let asking_sql = TestProcess {
        denylist,
        ..open_command_line
    };

    let token = asking_sql.revoke_in_sql_only().await;

    assert!(asking_sql.refuses(&token).await);
    assert!(!asking_sql.refuses(&Token::valid()).await);
}

#[tokio::test]
async fn a_denial_is_seen_by_the_next_check_of_every_process() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let [one, other] = [
        installation.start_and_wait().await,
        installation.start_and_wait().await,
    ];

    for _ in 0..100 {
        let token = one.revoke().await;
        assert!(other.refuses(&token).await);
        assert!(one.refuses(&token).await);
    }
    assert!(!other.refuses(&Token::valid()).await);
    assert_eq!(other.denylist.health(), DenylistHealth::Healthy);
}

#[tokio::test]
async fn checks_use_only_redis_while_it_is_trusted() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;
    let only_in_sql = process.revoke_in_sql_only().await;

    assert!(process.refuses(&token).await);
    assert!(!process.refuses(&only_in_sql).await);
    redis.run::<()>(&["SET", &only_in_sql.key(), "1"]);
    assert!(process.refuses(&only_in_sql).await);
}

#[tokio::test]
async fn denials_by_the_command_line_reach_running_servers() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let server = installation.start_and_wait().await;
    let open_command_line = installation.open_command_line().await;
    let before = server.epoch().await;

    let token = open_command_line.revoke().await;

    assert!(server.refuses(&token).await);
    assert!(open_command_line.refuses(&token).await);
    assert_eq!(server.epoch().await, before, "the copy is still trusted");
}
