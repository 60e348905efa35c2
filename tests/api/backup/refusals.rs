//! Files and moments at which nothing is restored, and the database stays as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{database_file, failure, names, output, stop};
use crate::support::Backend;
use crate::support::server::{Replica, command, run};
use crate::support::tool::assert_passes;

/// An installation whose server has stopped, and a backup of it.
struct Installation {
    backend: Backend,
    backup: PathBuf,
}

impl Installation {
    /// The backup is older than the account of Bob.
    async fn start() -> Self {
        let backend = Backend::sqlite();
        let server = Replica::start(&backend).await;
        server.http.person("alice").await.login().await;
        stop(server);
        run(&backend, &["backup", "copy.db"]);
        add(&backend, "bob");
        let backup = backend.folder.path().join("copy.db");
        Self { backend, backup }
    }

    fn data(&self) -> PathBuf {
        self.backend.folder.path().join("data")
    }

    /// Asserts that a restore of `file` is refused for this reason, also as a dry run, and changes nothing.
    #[track_caller]
    fn assert_refused(&self, file: &str, reason: &str) {
        let before = content(&self.data());
        for arguments in [&["restore", file, "--dry-run"][..], &["restore", file]] {
            let said = failure(&self.backend, arguments);
            assert!(said.contains(reason), "{arguments:?}: {said}");
        }
        let after = content(&self.data());
        assert!(before == after, "{file}: {:?}", names(&self.data()));
        assert!(run(&self.backend, &["user", "list"]).contains("bob"));
    }

    /// Writes a file beside the backup, and returns its name.
    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.backend.folder.path().join(name), bytes).unwrap();
        name.to_owned()
    }
}

fn add(backend: &Backend, name: &str) {
    run(
        backend,
        &["user", "add", name, "--password-file", "admin-password"],
    );
}

/// Returns the content of each file in a folder, except the lock, which names the last process that held it.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = names(folder).into_iter();
    names
        .filter(|name| !name.ends_with("db.lock"))
        .map(|name| (name.clone(), fs::read(folder.join(name)).unwrap()))
        .collect()
}

/// Runs statements on a SQLite file.
fn sql(file: &Path, statements: &str) {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.executescript(sys.argv[2])\n\
        db.close()";
    let mut python = Command::new("python3");
    assert_passes(python.args(["-c", script]).arg(file).arg(statements));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_backup_is_refused_with_the_reason() {
    let installation = Installation::start().await;
    let good = fs::read(&installation.backup).unwrap();
    let refuse = |name: &str, bytes: &[u8], reason: &str| {
        installation.assert_refused(&installation.write(name, bytes), reason);
    };

    refuse("empty", b"", "it is empty");
    refuse("text", b"users: alice, bob\n", "not a SQLite database");
    refuse("short", &good[..good.len() / 2], "it is damaged");
    refuse("shorter", &good[..good.len() - 1], "it is damaged");
    for page in 0..good.len() / 4096 {
        let mut flipped = good.clone();
        // The kind of a page of a tree, or of the file.
        let first = if page == 0 { 100 } else { page * 4096 };
        flipped[first..first + 8]
            .iter_mut()
            .for_each(|byte| *byte ^= 0xff);
        refuse("flipped", &flipped, "it is damaged");
    }
    sql(
        &installation.backend.folder.path().join("foreign"),
        "CREATE TABLE users (id)",
    );
    installation.assert_refused("foreign", "another program");
    installation.assert_refused(".", "not a file");
    installation.assert_refused("missing", "cannot read the backup missing");
    installation.assert_refused("data/latchet.db", "the database itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_journal_lies_beside_it_is_refused() {
    let installation = Installation::start().await;
    installation.write("copy.db-wal", b"frames");

    installation.assert_refused("copy.db", "copy.db-wal belongs to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_schema_is_refused_and_the_program_for_it_is_named() {
    let installation = Installation::start().await;
    let (older, newer) = ("older.db", "newer.db");
    let copy = |name: &str, statement: &str| {
        let file = installation.backend.folder.path().join(name);
        fs::copy(&installation.backup, &file).unwrap();
        sql(&file, statement);
    };
    copy(
        older,
        "DELETE FROM seaql_migrations WHERE version = 'm0009_addresses';
        DROP TABLE emails;
        DROP TABLE codes;
        DROP TABLE outbox;
        ALTER TABLE users DROP COLUMN locale;",
    );
    copy(
        newer,
        "INSERT INTO seaql_migrations VALUES ('m9999_later', 0)",
    );

    installation.assert_refused(older, "an older version of Latchet wrote older.db (its schema is that of step m0008_service_credentials): restore it with that version");
    installation.assert_refused(newer, "a newer version of Latchet wrote it (schema step m9999_later is unknown to this program): use that version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_secret_that_opens_no_key_is_refused() {
    let installation = Installation::start().await;
    let other = run(&installation.backend, &["secret"]);
    let backend = installation.backend.clone();
    let wrong = Installation {
        backend: backend.with("LATCHET_ROOT_SECRET", other.trim()),
        backup: installation.backup.clone(),
    };
    let before = content(&installation.data());

    for arguments in [
        &["restore", "copy.db", "--dry-run"][..],
        &["restore", "copy.db"],
    ] {
        let said = failure(&wrong.backend, arguments);
        assert!(
            said.contains("the root secret does not belong to"),
            "{said}"
        );
    }
    let secret = installation.data().join("root-secret");
    let moved = installation.backend.folder.path().join("moved");
    fs::rename(&secret, &moved).unwrap();
    let said = failure(&installation.backend, &["restore", "copy.db"]);
    assert!(said.contains("there is no root secret"), "{said}");
    assert!(!secret.exists(), "a new one opens nothing");
    fs::rename(&moved, &secret).unwrap();

    assert!(before == content(&installation.data()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_restored_under_a_running_server() {
    let installation = Installation::start().await;
    let server = Replica::start(&installation.backend).await;
    let holder = format!("process {}", server.id());

    for arguments in [
        &["restore", "copy.db", "--dry-run"][..],
        &["restore", "copy.db"],
    ] {
        let said = failure(&installation.backend, arguments);
        assert!(said.contains(&holder), "{said}");
        assert!(said.contains("stop it first"), "{said}");
    }

    server.http.get("/readyz").send().await.expect(200);
    assert!(run(&installation.backend, &["user", "list"]).contains("bob"));
    stop(server);
    run(&installation.backend, &["restore", "copy.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_has_the_database_open_is_not_overlooked() {
    let installation = Installation::start().await;
    let file = database_file(&installation.backend);
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute('SELECT count(*) FROM users').fetchall()\n\
        print('open', flush=True)\n\
        sys.stdin.read()";
    let mut other = Command::new("python3");
    other.args(["-c", script]).arg(&file);
    other.stdin(std::process::Stdio::piped());
    let mut other = other.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let printed = other.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(printed), &mut line).unwrap();

    let said = failure(&installation.backend, &["restore", "copy.db"]);

    assert!(said.contains("another program has"), "{said}");
    assert!(run(&installation.backend, &["user", "list"]).contains("bob"));
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    run(&installation.backend, &["restore", "copy.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_reports_and_changes_no_byte() {
    let installation = Installation::start().await;
    let before = content(&installation.data());

    let said = run(&installation.backend, &["restore", "copy.db", "--dry-run"]);

    for part in [
        "copy.db can be restored; nothing was changed",
        "users          2",
        "live sessions  2",
        "ago)",
        "It would replace ",
        "Everybody has to sign in again",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(content(&installation.data()) == before);
    let empty = Backend::sqlite();
    let file = installation.backup.to_str().unwrap();
    let secret = installation.data().join("root-secret");
    let empty = empty.with("LATCHET_ROOT_SECRET_FILE", secret.to_str().unwrap());
    let said = run(&empty, &["restore", file, "--dry-run"]);
    assert!(said.contains("It would create "), "{said}");
    assert!(!empty.folder.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replaced_database_is_kept_and_its_later_changes_are_listed() {
    let installation = Installation::start().await;
    let backend = &installation.backend;
    run(backend, &["user", "disable", "alice"]);

    let said = run(backend, &["restore", "copy.db"]);

    assert!(said.contains("user_created  bob"), "{said}");
    assert!(said.contains("user_disabled  alice"), "{said}");
    let (_, kept) = said.split_once("The previous database is ").unwrap();
    let (kept, _) = kept.split_once(".\n").unwrap();
    assert!(!run(backend, &["user", "list"]).contains("bob"));
    // It is whole, so it can be restored in turn.
    run(backend, &["restore", kept]);
    let listed = run(backend, &["user", "list"]);
    assert!(
        listed.contains("bob") && listed.contains("disabled"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_replaced_and_kept_with_its_journal() {
    let installation = Installation::start().await;
    let data = installation.data();
    fs::write(data.join("latchet.db"), "not a database any more").unwrap();
    fs::write(data.join("latchet.db-wal"), "frames").unwrap();

    let said = run(&installation.backend, &["restore", "copy.db"]);

    assert!(said.contains("cannot be read"), "{said}");
    let listed = run(&installation.backend, &["user", "list"]);
    assert!(listed.contains("alice"), "{listed}");
    let names = names(&data);
    let is_kept = |suffix: &str| {
        let kept = |name: &&String| name.contains(".replaced-") && name.ends_with(suffix);
        names
            .iter()
            .find(kept)
            .unwrap_or_else(|| panic!("{names:?}"))
    };
    assert_eq!(
        fs::read(data.join(is_kept("Z"))).unwrap(),
        b"not a database any more"
    );
    assert_eq!(fs::read(data.join(is_kept("-wal"))).unwrap(), b"frames");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_replaces_no_file() {
    let installation = Installation::start().await;
    let backend = &installation.backend;
    let before = fs::read(&installation.backup).unwrap();
    std::os::unix::fs::symlink("nowhere", backend.folder.path().join("link")).unwrap();

    for name in ["copy.db", "data/latchet.db", "link", "data"] {
        let said = failure(backend, &["backup", name]);
        assert!(said.contains("exists: name a new file"), "{name}: {said}");
    }

    assert!(fs::read(&installation.backup).unwrap() == before);
    let said = failure(backend, &["backup", "no/such/folder/copy.db"]);
    assert!(said.contains("nothing was left behind"), "{said}");
    let said = failure(&Backend::sqlite(), &["backup", "copy.db"]);
    assert!(said.contains("no Latchet installation found"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_to_is_named() {
    let installation = Installation::start().await;
    let folder = installation.backend.folder.path().join("closed");
    fs::create_dir(&folder).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    fs::set_permissions(&folder, closed).unwrap();
    // Root may write anywhere, unless it gives that up.
    let latchet = command(&installation.backend);
    let mut limited = if rustix::process::geteuid().is_root() {
        let mut limited = Command::new("setpriv");
        limited.arg("--bounding-set=-dac_override,-dac_read_search");
        limited.arg(latchet.get_program());
        limited.env_clear().envs(installation.backend.settings());
        limited.current_dir(installation.backend.folder.path());
        limited
    } else {
        latchet
    };

    let refused = limited.args(["backup", "closed/copy.db"]).output().unwrap();

    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(
        said.contains("cannot write the backup closed/copy.db"),
        "{said}"
    );
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(names(&folder), Vec::<String>::new());
}

#[test]
fn postgres_has_programs_of_its_own_which_are_named_without_the_password() {
    let backend = Backend::postgres_alone();
    let url = "postgres://app:not-to-be-printed@127.0.0.1:1/auth?sslmode=disable";
    let backend = backend.with("DATABASE_URL", url);

    for (arguments, command) in [
        (
            &["backup", "a file"][..],
            "pg_dump --format=custom --file='a file' postgres://app@127.0.0.1:1/auth",
        ),
        (
            &["restore", "file"],
            "pg_restore --clean --if-exists --single-transaction --dbname=postgres://app@127.0.0.1:1/auth file",
        ),
    ] {
        let refused = output(&backend, arguments);
        let said = String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(command), "{said}");
        assert!(!said.contains("not-to-be-printed"), "{said}");
    }
}
