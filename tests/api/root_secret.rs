//! Rotation of the root secret: no one is signed out, whatever is interrupted.

use serde_json::json;

use crate::support::browser::{Browser, CSRF_COOKIE};
use crate::support::client::{Session, claims};
use crate::support::server::{Replica, command, run};
use crate::support::{Backend, on_both};

const OLD: &str = "0123456789abcdefghijklmnopqrstuv";
const NEW: &str = "vutsrqponmlkjihgfedcba9876543210";
const KEY: &str = "key-of-the-laptop-1";

on_both! {
    a_rotation_of_the_root_secret_signs_no_one_out,
    after_a_leak_everyone_is_signed_out_and_can_log_in_again,
}

fn with_secrets(backend: &Backend, current: &str, previous: &str) -> Backend {
    let backend = backend.clone().with("LATCHET_ROOT_SECRET", current);
    backend.with("LATCHET_ROOT_SECRET_PREVIOUS", previous)
}

/// Runs a command that must fail, and returns its output on standard error.
#[track_caller]
fn failure(backend: &Backend, arguments: &[&str]) -> String {
    let output = command(backend).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    said
}

async fn refresh_with_key(session: &Session, server: &Replica) -> Session {
    let body = json!({"refresh_token": session.refresh});
    let request = server.http.post("/v1/refresh").json(&body);
    let answer = request.header("idempotency-key", KEY).send().await;
    Session::of(server.http.clone(), &answer.expect(200))
}

async fn a_rotation_of_the_root_secret_signs_no_one_out(backend: Backend) {
    let old = backend.clone().with("LATCHET_ROOT_SECRET", OLD);
    let server = Replica::start(&old).await;
    let alice = server.http.person("alice").await;
    let (used, unused, retried) = (
        alice.login().await,
        alice.login().await,
        alice.login().await,
    );
    let mut browser = Browser::login(&alice).await;
    let csrf = browser.jar[CSRF_COOKIE].clone();
    let lost = refresh_with_key(&retried, &server).await;
    server.kill();

    let both = with_secrets(&backend, NEW, OLD);
    let server = Replica::start(&both).await;
    server.log_line("latchet secret rotate").await;
    used.at(&server.http).check().await.expect(200);
    let used = used.at(&server.http).rotate().await;
    let again = refresh_with_key(&retried, &server).await;
    assert_eq!(claims(&again.refresh), claims(&lost.refresh));
    assert_ne!(
        again.refresh, lost.refresh,
        "it is signed with the new secret"
    );
    again.rotate().await.check().await.expect(200);
    browser.http = server.http.clone();
    let answer = browser.refresh().await.expect(200);
    browser.take(&answer);
    assert_ne!(browser.jar[CSRF_COOKIE], csrf, "it would be refused later");
    let answer = browser.refresh().await.expect(200);
    browser.take(&answer);
    assert!(run(&both, &["secret", "status"]).contains("1 under the previous one"));

    let rotated = run(&both, &["secret", "rotate"]);
    assert!(rotated.contains("Sealed 1 value "), "{rotated}");
    assert!(rotated.contains("is needed until"), "{rotated}");
    assert!(run(&both, &["secret", "rotate"]).contains("Sealed 0 values"));
    used.check().await.expect(200);
    server.kill();

    let server = Replica::start(&backend.with("LATCHET_ROOT_SECRET", NEW)).await;
    used.at(&server.http).check().await.expect(200);
    used.at(&server.http)
        .rotate()
        .await
        .logout()
        .await
        .expect(204);
    browser.http = server.http.clone();
    browser.refresh().await.expect(200);
    // The secret that signed it is forgotten.
    let refused = unused.at(&server.http).refresh().await;
    assert_eq!(refused.status, 401, "{}", refused.text);
}

async fn after_a_leak_everyone_is_signed_out_and_can_log_in_again(backend: Backend) {
    let old = backend.clone().with("LATCHET_ROOT_SECRET", OLD);
    let server = Replica::start(&old).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    server.kill();
    let rotate = ["secret", "rotate", "--leaked"];
    let new = backend.clone().with("LATCHET_ROOT_SECRET", NEW);

    assert!(failure(&old, &rotate).contains("still the one of this database"));
    let both = with_secrets(&backend, NEW, OLD);
    assert!(failure(&both, &rotate).contains("remove LATCHET_ROOT_SECRET_PREVIOUS"));
    assert!(run(&new, &rotate).contains("have ended"));

    assert!(failure(&old, &["key", "list"]).contains("another root secret"));
    // Not even with the leaked secret is a token of that time accepted.
    let server = Replica::start(&both).await;
    let session = session.at(&server.http);
    assert_eq!(session.check().await.status, 401);
    assert_eq!(session.refresh().await.status, 401);
    let session = alice.at(&server.http).login().await.rotate().await;
    session.check().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_rotate_the_root_secret_one_after_the_other() {
    let backend = Backend::postgres();
    let phases = [
        backend.clone().with("LATCHET_ROOT_SECRET", OLD),
        with_secrets(&backend, OLD, NEW),
        with_secrets(&backend, NEW, OLD),
        backend.clone().with("LATCHET_ROOT_SECRET", NEW),
    ];
    let mut replicas = [
        Replica::start(&phases[0]).await,
        Replica::start(&phases[0]).await,
    ];
    let mut session = replicas[0].http.person("alice").await.login().await;

    let [_, new_is_known, new_signs, new_alone] = &phases;
    for phase in [new_is_known, new_signs, new_alone] {
        if std::ptr::eq(phase, new_alone) {
            run(new_signs, &["secret", "rotate"]);
        }
        for restarted in 0..2 {
            let replica = Replica::start(phase).await;
            std::mem::replace(&mut replicas[restarted], replica).kill();
            for replica in replicas.iter().cycle().take(4) {
                session = session.at(&replica.http).rotate().await;
                for replica in &replicas {
                    session.at(&replica.http).check().await.expect(200);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_in_the_data_folder_is_replaced_while_no_server_runs() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let folder = backend.folder.path().join("data");
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    let old = read("root-secret").unwrap();

    assert!(failure(&backend, &["secret", "rotate"]).contains("stop it first"));
    assert_eq!(read("root-secret").unwrap(), old);
    server.kill();
    // As if the program had ended after the first of its steps.
    std::fs::copy(
        folder.join("root-secret"),
        folder.join("root-secret.previous"),
    )
    .unwrap();
    run(&backend, &["key", "list"]);
    run(&backend, &["secret", "rotate"]);

    assert_ne!(read("root-secret").unwrap(), old);
    assert_eq!(read("root-secret.previous").unwrap().trim(), old.trim());
    assert!(run(&backend, &["secret", "rotate"]).contains("Sealed 0 values"));
    assert_eq!(read("root-secret.previous").unwrap().trim(), old.trim());
    let server = Replica::start(&backend).await;
    let session = session.at(&server.http).rotate().await;
    server.kill();
    std::fs::remove_file(folder.join("root-secret.previous")).unwrap();
    let server = Replica::start(&backend).await;
    session.at(&server.http).rotate().await;
}

#[test]
fn wrong_previous_secrets_are_refused_with_the_reason() {
    let backend = Backend::sqlite().with("LATCHET_ROOT_SECRET", OLD);
    run(&backend, &["migrate"]);
    run(&backend, &["key", "list"]);
    let other = "abcdefghijklmnopqrstuvwxyz012345";
    let said = |current, previous| {
        let backend = with_secrets(&backend, current, previous);
        failure(&backend, &["secret", "rotate"])
    };

    assert!(said(OLD, OLD).contains("is the same as the root secret"));
    assert!(said(NEW, "short").contains("the previous root secret is shorter"));
    let wrong = said(NEW, other);
    assert!(wrong.contains("the signing key "), "{wrong}");
    assert!(wrong.contains("another root secret"), "{wrong}");
    assert!(!wrong.contains(NEW) && !wrong.contains(other), "{wrong}");
    let unreadable = backend
        .clone()
        .with("LATCHET_ROOT_SECRET_PREVIOUS_FILE", "/missing");
    assert!(failure(&unreadable, &["secret", "rotate"]).contains("/missing"));
    assert!(failure(&backend, &["secret", "rotate"]).contains("LATCHET_ROOT_SECRET_PREVIOUS"));
    let listed = run(&backend, &["key", "list"]);
    assert!(listed.contains("active"), "nothing was changed: {listed}");
}
