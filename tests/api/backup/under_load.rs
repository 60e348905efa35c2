//! Backups of a SQLite file while its server writes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::{names, output};
use crate::support::client::Person;
use crate::support::server::{Replica, run};
use crate::support::{Backend, poll};

/// Visits until `is_over`; each request must succeed.
async fn keep_visiting(person: Person, is_over: Arc<AtomicBool>, visits: Arc<AtomicUsize>) {
    while !is_over.load(Ordering::Relaxed) {
        let session = person.login().await;
        let session = session.rotate().await;
        session.check().await.expect(200);
        session.logout().await.expect(204);
        session.check().await.expect_problem(401, "token_revoked");
        visits.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_consistent_and_fails_no_request() {
    let backend = Backend::sqlite()
        .with("LATCHET_THROTTLE_ACCOUNT", "10000/15m")
        .with("LATCHET_THROTTLE_ACCOUNT_IP", "10000/15m")
        .with("LATCHET_THROTTLE_IP", "100000/15m");
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let kept = alice.login().await;
    let (is_over, visits) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut load = JoinSet::new();
    for _ in 0..6 {
        load.spawn(keep_visiting(
            alice.clone(),
            is_over.clone(),
            visits.clone(),
        ));
    }

    for round in 0..4 {
        let before = visits.load(Ordering::Relaxed);
        let (beside, name) = (backend.clone(), format!("backup-{round}"));
        let backup = tokio::task::spawn_blocking(move || output(&beside, &["backup", &name]));
        let backup = backup.await.unwrap();
        let said = String::from_utf8_lossy(&backup.stderr).into_owned();
        assert!(backup.status.success(), "{said}");
        poll::until_some("visits to go on", async || {
            (visits.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    // A request that failed is a task that panicked.
    load.join_all().await;
    kept.check().await.expect(200);

    let secret = backend.folder.path().join("data/root-secret");
    for round in 0..4 {
        let other = Backend::sqlite().with("LATCHET_ROOT_SECRET_FILE", secret.to_str().unwrap());
        let file = backend.folder.path().join(format!("backup-{round}"));
        run(&other, &["restore", file.to_str().unwrap()]);
        let restored = Replica::start(&other).await;
        let session = alice.at(&restored.http).login().await;
        session.check().await.expect(200);
        kept.at(&restored.http).check().await.expect(401);
    }
    let left = names(backend.folder.path());
    assert!(!left.iter().any(|name| name.contains(".part-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_private_and_says_where_the_root_secret_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    server.http.person("alice").await.login().await;

    let said = run(&backend, &["backup", "copy.db"]);

    for part in [
        "users          2",
        "live sessions  2",
        "root secret is not in this file",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let file = std::fs::metadata(backend.folder.path().join("copy.db")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}
