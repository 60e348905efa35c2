//! Opening a database: creating it, refusing it, and recovering from failures.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use sea_orm::ConnectionTrait;

use super::*;

async fn refusal(url: &str) -> StoreError {
    Store::open(&url.parse().unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn a_sqlite_file_and_its_folder_are_readable_by_their_owner_only() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&sqlite_url(&folder)).await.unwrap();
    store
        .create_user(new_user("alice"), &Actor::Operator, NOW)
        .await
        .unwrap();

    let mode = |path: &str| {
        let metadata = std::fs::metadata(folder.path().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("data"), 0o700);
    for file in [
        "data/latchet.db",
        "data/latchet.db-wal",
        "data/latchet.db-shm",
    ] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

/// Returns how many POSIX locks this process has on the file, as the kernel lists them.
#[cfg(target_os = "linux")]
fn locks_of(file: &std::path::Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let owner = std::process::id().to_string();
    let number = format!(":{}", std::fs::metadata(file).unwrap().ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let ours = locks.lines().filter(|lock| {
        let mut words = lock.split_whitespace();
        words.any(|word| word == owner) && words.any(|word| word.ends_with(&number))
    });
    ours.count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn looking_at_a_sqlite_file_releases_no_lock_of_sqlite() {
    let folder = TempDir::new().unwrap();
    let url = sqlite_url(&folder);
    let file = folder.path().join("data/latchet.db");

    let store = Store::open(&url).await.unwrap();
    assert!(locks_of(&file) > 0, "after opening");
    store.check_suitability().await.unwrap();
    assert!(locks_of(&file) > 0, "after a check");
    crate::store::inspect_database(&url, NOW).await.unwrap();
    assert!(locks_of(&file) > 0, "after an inspection");
    let another = Store::open(&url).await.unwrap();
    assert!(locks_of(&file) > 0, "after opening it again");
    drop(another);
}

#[tokio::test]
async fn a_database_in_memory_is_refused() {
    let error = refusal("sqlite::memory:").await;

    assert!(error.to_string().contains("in memory"), "{error}");
}

#[tokio::test]
async fn a_table_that_is_gone_is_named() {
    let test_store = TestStore::start().await;
    test_store.store.check_suitability().await.unwrap();
    let lose = "ALTER TABLE reset_links RENAME TO lost";
    let db = test_store.store.writer();
    db.execute_unprepared(lose).await.unwrap();

    let error = test_store.store.check_suitability().await.unwrap_err();

    assert_eq!(error.to_string(), "the database lacks tables: reset_links");
}

#[tokio::test]
async fn an_error_names_the_folder_that_cannot_be_created() {
    let error = refusal("sqlite:///proc/no/latchet.db").await;

    assert_eq!(error.to_string(), "cannot create /proc/no");
}

#[tokio::test]
async fn data_is_present_after_reopening() {
    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    test_store.present_token(&session, 0, NOW).await;
    let before = test_store.stored(&session).await;

    let reopened = test_store.replica().await;

    let after = reopened.session(&session.id).await.unwrap();
    assert_eq!(after.unwrap().session, before);
    reopened.ping().await.unwrap();
}

/// As after a full disk at a commit: SQLite has rolled back before the driver asks for it.
#[tokio::test]
async fn after_a_rollback_by_sqlite_itself_later_transactions_are_committed() {
    let folder = TempDir::new().unwrap();
    let url = sqlite_url(&folder);
    let store = Store::open(&url).await.unwrap();
    let full = store.begin().await.unwrap();
    full.execute_unprepared("ROLLBACK").await.unwrap();
    drop(full);
    drop(store.begin().await.unwrap());

    let new = new_user("alice");
    let created = store.create_user(new, &Actor::Operator, NOW).await.unwrap();

    let another = Store::open(&url).await.unwrap();
    assert!(another.user(&created.id).await.unwrap().is_some());
}

/// As after a short loss of the connection: later writes must not go into a transaction that the driver has
/// forgotten, because it would never be committed.
#[tokio::test]
async fn an_abandoned_begin_leaves_no_transaction_that_later_writes_join() {
    async fn turns(count: u64) {
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
    }

    let test_store = TestStore::start().await;
    let session = test_store.log_in_alice().await;
    let another = test_store.replica().await;
    let mut now = NOW;
    for generation in 0..24 {
        // At some point between the wait for a connection and the response to `BEGIN`.
        tokio::select! {
            biased;
            _ = test_store.store.begin() => {}
            () = turns(generation) => {}
        }

        now = now + MINUTE;
        test_store.present_token(&session, generation, now).await;

        let seen = another.session(&session.id).await.unwrap().unwrap();
        assert_eq!(seen.session.state.generation, generation + 1);
    }
}

#[tokio::test]
async fn several_processes_open_an_empty_database_at_once() {
    let folder = TempDir::new().unwrap();
    let url = empty_database(&folder).await;

    let opened = run_concurrently((0..4).map(|_| {
        let url = url.clone();
        async move { Store::open(&url).await }
    }))
    .await;

    for store in opened {
        store.unwrap().ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_a_suggested_fix() {
    let test_store = TestStore::start().await;
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)";
    test_store
        .store
        .writer()
        .execute_unprepared(newer)
        .await
        .unwrap();

    let refused = Store::open(&test_store.url).await;

    let error = refused.unwrap_err().to_string();
    assert!(error.contains("m9999_later"), "{error}");
    assert!(
        error.contains("start that version or a later one"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unresponsive_postgres_is_unavailable_before_the_deadline() {
    // Nothing listens on the first port; the second accepts connections and never responds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();

    for port in [1, port] {
        let started = Instant::now();
        let error = refusal(&format!("postgres://me:hunter2@127.0.0.1:{port}/x")).await;

        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(started.elapsed() < super::super::QUERY_DEADLINE);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
