//! Databases that a program with an earlier schema has filled, written by `scripts/schema-fixture`.

use std::fmt::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use latchet_guard::clock::Clock;
use serde::Deserialize;

use super::without_administrator;
use crate::support::Backend;
use crate::support::child::program;
use crate::support::postgres::Postgres;
use crate::support::tool::{assert_passes, root};

/// Facts that users of a fixture know.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Knowledge {
    pub(super) root_secret: String,
    pub(super) issuer: String,
    taken_at_ms: i64,
    pub(super) users: Vec<KnownUser>,
    pub(super) sessions: KnownSessions,
    pub(super) key_ids: Vec<String>,
    pub(super) reset_link: KnownResetLink,
}

/// A user with the password.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct KnownUser {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) roles: Vec<String>,
    pub(super) disabled: bool,
}

/// Sessions by state.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct KnownSessions {
    pub(super) live: Vec<KnownSession>,
    pub(super) ended: Vec<KnownSession>,
    pub(super) expired: Vec<KnownSession>,
}

/// A session with its newest refresh token.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct KnownSession {
    pub(super) id: String,
    pub(super) refresh_token: String,
}

/// A link that sets the password of a user.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct KnownResetLink {
    pub(super) user: String,
    pub(super) secret: String,
}

/// The kind of database of a fixture.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Sqlite,
    Postgres,
}

/// A fixture in `tests/fixtures`.
#[derive(Clone, Debug)]
pub(super) struct Fixture {
    pub(super) name: String,
    kind: Kind,
    sql: PathBuf,
    pub(super) known: Knowledge,
}

/// Columns with times in milliseconds. Null and 0, which mean "none", stay.
const TIMES: &[(&str, &[&str])] = &[
    (
        "users",
        &["disabled_at", "created_at", "password_changed_at"],
    ),
    (
        "sessions",
        &[
            "rotated_at",
            "created_at",
            "expires_at",
            "auth_time",
            "revoked_at",
        ],
    ),
    ("revocations", &["not_after", "created_at"]),
    (
        "keys",
        &["created_at", "active_from", "retiring_from", "gone_from"],
    ),
    ("throttles", &["resets_at", "charged_at", "forgets_at"]),
    ("setup_links", &["expires_at", "used_at"]),
    ("denylist_epoch", &["changed_at"]),
    ("reset_links", &["expires_at", "made_at"]),
    ("events", &["at"]),
    ("access_lifetimes", &["used_until"]),
];

impl Fixture {
    /// Returns every fixture, the oldest schema first.
    pub(super) fn all() -> Vec<Self> {
        let folder = root().join("tests/fixtures");
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .collect();
        names.sort();
        names.iter().map(|path| Self::read(path)).collect()
    }

    fn read(sql: &Path) -> Self {
        let name = sql.file_stem().unwrap().to_str().unwrap().to_owned();
        let known = std::fs::read_to_string(sql.with_extension("json")).unwrap();
        Self {
            kind: if name.ends_with("-sqlite") {
                Kind::Sqlite
            } else {
                Kind::Postgres
            },
            sql: sql.to_owned(),
            known: serde_json::from_str(&known).unwrap(),
            name,
        }
    }

    /// Returns the number of migrations that its schema has.
    pub(super) fn migrations(&self) -> usize {
        let number = self.name.split('-').nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Makes a database of the fixture, as if it had been filled a moment ago.
    pub(super) fn load(self) -> LoadedFixture {
        let backend = match self.kind {
            Kind::Sqlite => Backend::sqlite(),
            Kind::Postgres => Backend::postgres_alone(),
        };
        let backend = without_administrator(backend)
            .with("LATCHET_ROOT_SECRET", &self.known.root_secret)
            .with("LATCHET_ISSUER", &self.known.issuer);
        let loaded = LoadedFixture {
            fixture: self,
            backend,
        };
        let mut script = std::fs::read_to_string(&loaded.fixture.sql).unwrap();
        let columns = loaded.shifted_times(&script);
        script.push_str(&columns);
        loaded.execute_script(&script);
        loaded
    }
}

/// A fixture in a database of its own.
#[derive(Debug)]
pub(super) struct LoadedFixture {
    fixture: Fixture,
    pub(super) backend: Backend,
}

impl Deref for LoadedFixture {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl LoadedFixture {
    /// Returns statements that move all times by the age of the fixture. A test must not fail at a date.
    fn shifted_times(&self, script: &str) -> String {
        let age = Clock::system().now().millis() - self.known.taken_at_ms;
        let mut statements = String::new();
        for (table, columns) in TIMES {
            for column in *columns {
                // Older schemas lack some.
                if script.contains(column) {
                    writeln!(
                        statements,
                        "UPDATE {table} SET {column} = {column} + {age} WHERE {column} > 0;"
                    )
                    .unwrap();
                }
            }
        }
        statements
    }

    /// Runs statements.
    pub(super) fn execute_script(&self, script: &str) {
        let file = self.backend.folder.path().join("script.sql");
        std::fs::write(&file, script).unwrap();
        match self.kind {
            Kind::Sqlite => {
                self.python(
                    "db.executescript(open(sys.argv[2]).read()); db.commit()",
                    &[file.to_str().unwrap()],
                );
            }
            Kind::Postgres => {
                assert_passes(
                    Command::new(program("psql"))
                        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
                        .arg("--single-transaction")
                        .arg("--file")
                        .arg(&file)
                        .arg(&self.backend.settings()["DATABASE_URL"]),
                );
            }
        }
    }

    /// Returns the first column of the result of a statement, one row a line.
    pub(super) fn value(&self, sql: &str) -> String {
        match self.kind {
            Kind::Sqlite => {
                let script = "for row in db.execute(sys.argv[2]): print(row[0])";
                self.python(script, &[sql]).trim().to_owned()
            }
            Kind::Postgres => Postgres::shared()
                .sql(&self.backend.database(), sql)
                .trim()
                .to_owned(),
        }
    }

    /// Returns the tables with their columns.
    pub(super) fn columns(&self) -> Vec<(String, Vec<String>)> {
        let listing = match self.kind {
            Kind::Sqlite => {
                "SELECT t.name || ' ' || group_concat(c.name, ' ') FROM sqlite_schema t, \
                 pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' \
                 AND t.name <> 'seaql_migrations' GROUP BY t.name ORDER BY t.name"
            }
            Kind::Postgres => {
                "SELECT table_name || ' ' || string_agg(column_name, ' ') \
                 FROM information_schema.columns WHERE table_schema = 'public' \
                 AND table_name <> 'seaql_migrations' GROUP BY table_name ORDER BY table_name"
            }
        };
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        self.value(listing)
            .lines()
            .map(|line| {
                let mut names = words(line);
                let table = names.remove(0);
                (table, names)
            })
            .collect()
    }

    /// Returns the content of these columns, one text for each table.
    pub(super) fn rows(&self, columns: &[(String, Vec<String>)]) -> Vec<String> {
        let text = |(table, names): &(String, Vec<String>)| {
            let names = names
                .iter()
                .map(|name| format!("COALESCE(CAST(\"{name}\" AS text), '-')"));
            let row = names.collect::<Vec<_>>().join(" || ' ' || ");
            self.value(&format!("SELECT {row} AS content FROM {table} ORDER BY 1"))
        };
        columns.iter().map(text).collect()
    }

    fn python(&self, script: &str, arguments: &[&str]) -> String {
        let data = self.backend.folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let script = format!(
            "import os, sqlite3, sys\nos.umask(0o077)\ndb = sqlite3.connect(sys.argv[1])\n{script}\n"
        );
        let mut python = Command::new("python3");
        assert_passes(
            python
                .args(["-c", &script])
                .arg(data.join("latchet.db"))
                .args(arguments),
        )
    }
}
