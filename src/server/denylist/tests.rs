//! The denylist with a real Redis and a real SQLite file. Several open denylists represent several
//! processes: they share nothing but these two.

mod filling;
mod forgetting;
mod line;
mod memory;
mod out_of_order;
mod reader;
mod server;
mod told;
mod topology;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{Database, DatabaseConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::redis::RedisDenylist;
use super::{Health, Kind, OpenDenylist};
use crate::clock::Clock;
use crate::denylist::{TokenIds, TokenStatus, conformance};
use crate::keys::random_id;
use crate::server::config::DatabaseKind;
use crate::server::store::Store;
use server::Server;

/// A database, and the settings that several processes share.
struct Installation {
    folder: TempDir,
    redis_url: Option<String>,
}

impl Installation {
    fn on(server: &Server) -> Self {
        Self::at(Some(server.url()))
    }

    fn at(redis_url: Option<String>) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            redis_url,
        }
    }

    /// Opens the denylist as a server process does.
    async fn start(&self) -> Process {
        self.start_at(Clock::system()).await
    }

    async fn start_at(&self, clock: Clock) -> Process {
        let mut process = self.tool_at(clock).await;
        process.open.keep(&mut process.tasks);
        process
    }

    /// Starts a server and waits until its copy is trusted.
    async fn serve(&self) -> Process {
        let process = self.start().await;
        process.until_good().await;
        process
    }

    /// Opens the denylist as the command line does.
    async fn tool(&self) -> Process {
        self.tool_at(Clock::system()).await
    }

    async fn tool_at(&self, clock: Clock) -> Process {
        let path = self.folder.path().join("latchet.db");
        let store = Store::open(&format!("sqlite://{}", path.display()).parse().unwrap())
            .await
            .unwrap();
        let open = OpenDenylist::open(
            DatabaseKind::Sqlite,
            self.redis_url.as_deref(),
            store.clone(),
            clock.clone(),
        )
        .unwrap();
        Process {
            open,
            store,
            clock,
            tasks: JoinSet::new(),
        }
    }
}

struct Process {
    open: OpenDenylist,
    store: Store,
    clock: Clock,
    tasks: JoinSet<()>,
}

impl Process {
    async fn until_good(&self) {
        self.until("the copy to be trusted", |health| *health == Health::Good)
            .await;
    }

    /// Waits until the copy is distrusted for a reason that contains this word.
    async fn until_doubted(&self, word: &str) {
        self.until(
            word,
            |health| matches!(health, Health::AskingSql(why) if why.contains(word)),
        )
        .await;
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Health) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let health = self.open.health();
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
    async fn commit(&self) -> Token {
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
        let token = self.commit().await;
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
        self.open.deny(&[denial], now).await.unwrap();
    }

    async fn refuses(&self, token: &Token) -> bool {
        let list = self.open.list();
        let status = list.check(token.ids(), self.clock.now()).await;
        status.unwrap() != TokenStatus::NotDenied
    }

    fn redis(&self) -> &Arc<RedisDenylist> {
        match &self.open.0 {
            Kind::Redis(list) => list,
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
async fn database(installation: &Installation) -> DatabaseConnection {
    let file = installation.folder.path().join("latchet.db");
    let url = format!("sqlite://{}", file.display());
    Database::connect(url).await.unwrap()
}

const MARK: &str = "latchet:{deny}:epoch";

#[tokio::test]
async fn every_mode_keeps_the_promises_of_a_denylist() {
    let redis = Server::start();

    for installation in [Installation::on(&redis), Installation::at(None)] {
        let process = installation.serve().await;
        let list = process.open.list();

        conformance::check(&*list, process.clock.now())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn without_a_copy_sql_alone_decides() {
    let installation = Installation::at(None);
    let tool = installation.tool().await;
    let (store, clock) = (tool.store.clone(), tool.clock.clone());
    let open = OpenDenylist::open(DatabaseKind::Postgres, None, store, clock).unwrap();
    let asking_sql = Process { open, ..tool };

    let token = asking_sql.commit().await;

    assert!(asking_sql.refuses(&token).await);
    assert!(!asking_sql.refuses(&Token::valid()).await);
}

#[tokio::test]
async fn a_denial_is_seen_by_the_next_check_of_every_process() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let [one, other] = [installation.serve().await, installation.serve().await];

    for _ in 0..100 {
        let token = one.revoke().await;
        assert!(other.refuses(&token).await);
        assert!(one.refuses(&token).await);
    }
    assert!(!other.refuses(&Token::valid()).await);
    assert_eq!(other.open.health(), Health::Good);
}

#[tokio::test]
async fn believed_redis_answers_without_sql() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let token = process.revoke().await;
    let only_in_sql = process.commit().await;

    assert!(process.refuses(&token).await);
    assert!(!process.refuses(&only_in_sql).await);
    redis.run::<()>(&["SET", &only_in_sql.key(), "1"]);
    assert!(process.refuses(&only_in_sql).await);
}

#[tokio::test]
async fn the_command_line_denies_for_running_servers() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let server = installation.serve().await;
    let tool = installation.tool().await;
    let before = server.epoch().await;

    let token = tool.revoke().await;

    assert!(server.refuses(&token).await);
    assert!(tool.refuses(&token).await);
    assert_eq!(server.epoch().await, before, "the copy is still trusted");
}
