//! Databases and Redis of a server under test, and the settings that select them.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use tempfile::TempDir;

use super::client::ADMIN;
use super::postgres::Postgres;
use super::redis::Redis;
use super::scratch;

/// `iss` and `aud` of the tokens of every test server.
pub(crate) const ISSUER: &str = "https://issuer.test";

/// The storage of one test: empty at first, shared by every server that the test starts on it.
///
/// Clones share it, and each server keeps one: it goes when the last server on it has gone.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    /// Folder with the database file, secrets and logs.
    pub(crate) folder: Arc<TempDir>,
    redis: Option<Arc<Redis>>,
    settings: BTreeMap<String, String>,
}

impl Backend {
    /// SQLite in a file, and the denylist in memory.
    pub(crate) fn sqlite() -> Self {
        let folder = scratch::folder();
        let password_file = folder.path().join("admin-password");
        std::fs::write(&password_file, ADMIN.password).expect("the folder is ours");
        let settings = [
            // By default it is the address, and servers of one backend have one each.
            ("LATCHET_ISSUER", ISSUER.to_owned()),
            (
                "LATCHET_DATA_DIR",
                folder.path().join("data").display().to_string(),
            ),
            ("LATCHET_BOOTSTRAP_ADMIN", ADMIN.name.to_owned()),
            (
                "LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE",
                password_file.display().to_string(),
            ),
        ];
        Self {
            folder: Arc::new(folder),
            redis: None,
            settings: settings
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        }
    }

    /// A database of its own in the shared PostgreSQL, and the denylist in SQL.
    pub(crate) fn postgres_alone() -> Self {
        Self::on(Postgres::shared())
    }

    /// A database of its own in `postgres`, and the denylist in SQL.
    pub(crate) fn on(postgres: &Postgres) -> Self {
        static SECRET: LazyLock<String> = LazyLock::new(|| {
            let made = Command::new(super::server::BINARY)
                .arg("secret")
                .output()
                .expect("latchet starts");
            String::from_utf8(made.stdout)
                .expect("secrets are text")
                .trim()
                .to_owned()
        });
        Self::sqlite()
            .with("DATABASE_URL", &postgres.database())
            .with("LATCHET_ROOT_SECRET", &SECRET)
    }

    /// The PostgreSQL database of this URL, and the denylist in SQL.
    pub(crate) fn at(url: &str) -> Self {
        Self::postgres_alone().with("DATABASE_URL", url)
    }

    /// A database of its own in the shared PostgreSQL, and the denylist in a Redis of its own.
    pub(crate) fn postgres() -> Self {
        let redis = Redis::start();
        let mut backend = Self::postgres_alone().with("REDIS_URL", &redis.url());
        backend.redis = Some(Arc::new(redis));
        backend
    }

    /// Returns this backend with a setting changed for every server started on it.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Returns this backend with a setting left at its default.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }

    /// Returns the environment of a server on this backend.
    pub(crate) fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Returns the name of its PostgreSQL database.
    pub(crate) fn database(&self) -> String {
        let url = &self.settings["DATABASE_URL"];
        url.rsplit('/').next().expect("a URL has parts").to_owned()
    }

    /// Connects to the database of a server that has been started.
    pub(crate) async fn connect(&self) -> sea_orm::DatabaseConnection {
        let url = self.settings.get("DATABASE_URL").cloned();
        let file = || format!("sqlite://{}/latchet.db", self.settings["LATCHET_DATA_DIR"]);
        let connected = sea_orm::Database::connect(url.unwrap_or_else(file)).await;
        connected.expect("the database accepts connections")
    }

    /// Returns the Redis of this test alone.
    pub(crate) fn redis(&self) -> &Redis {
        self.redis.as_deref().expect("this backend has a Redis")
    }
}

/// Runs each test once on SQLite with the denylist in memory and once on PostgreSQL with Redis.
///
/// A test is an `async fn` that takes a [`Backend`]; one that is left out of the list is an unused
/// function, hence a compiler warning.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::Backend::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::support::Backend::postgres()).await;
            })+
        }
    };
}
pub(crate) use on_both;
