//! After a restore nothing works that ended since the backup.

use serde_json::json;

use super::{back_up, denylist_is_healthy, restore, stop};
use crate::support::client::{Session, claims, header};
use crate::support::http::{Http, HttpResponse};
use crate::support::server::{Replica, run};
use crate::support::{Backend, on_both};

on_both! {
    everybody_signs_in_again_after_a_restore,
    a_logout_after_the_backup_is_not_undone,
    a_signing_key_that_leaked_after_the_backup_stays_refused,
    a_reset_link_that_was_used_after_the_backup_stays_used,
    a_restore_can_be_repeated,
}

/// Asserts that neither token of a session is accepted, and that this is no failure for now.
async fn assert_ended(session: &Session, http: &Http) {
    let session = session.at(http);
    session.check().await.expect_problem(401, "invalid_token");
    let refused = session.refresh().await.expect(401);
    assert!(
        ["session_revoked", "session_expired"].contains(&refused.code().as_str()),
        "{}",
        refused.text
    );
}

async fn everybody_signs_in_again_after_a_restore(backend: Backend) {
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let rotated_before = alice.login().await;
    let before = rotated_before.rotate().await;
    let unused = alice.login().await;
    let file = back_up(&backend);
    // Its generation is ahead of the row in the backup, which does not know the other session at all.
    let ahead = before.rotate().await;
    let after = alice.login().await;
    stop(server);

    restore(&backend, &file);

    let server = Replica::start(&backend).await;
    let sessions = [&rotated_before, &before, &unused, &ahead, &after];
    for session in sessions {
        assert_ended(session, &server.http).await;
    }
    let new = alice.at(&server.http).login().await;
    new.check().await.expect(200);
    // The copy in Redis is complete by then, and still says so.
    denylist_is_healthy(&server).await;
    for session in sessions {
        assert_ended(session, &server.http).await;
    }
    new.check().await.expect(200);
    new.rotate().await.check().await.expect(200);
    assert_last_event(&server).await;
}

async fn assert_last_event(server: &Replica) {
    let admin = server.http.admin().login().await;
    let events = server.http.get("/v1/events").bearer(&admin.access);
    let events = events.send().await.expect(200).json();
    let kinds = events["items"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds[0], "database_restored", "{kinds:?}");
}

/// A version that was issued after the backup is lower than every version that is issued after the restore.
async fn a_logout_after_the_backup_is_not_undone(backend: Backend) {
    let version = |session: &Session| claims(&session.access)["authority_version"].as_u64();
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (one, everywhere) = (alice.login().await, alice.login().await);
    let file = back_up(&backend);
    one.logout().await.expect(204);
    everywhere.logout_everywhere().await.expect(204);
    run(&backend, &["user", "roles", "alice", "reader"]);
    let latest = alice.login().await;
    assert!(version(&latest) > version(&one));
    stop(server);

    restore(&backend, &file);

    let server = Replica::start(&backend).await;
    for session in [&one, &everywhere, &latest] {
        assert_ended(session, &server.http).await;
    }
    let new = alice.at(&server.http).login().await;
    assert!(version(&new) > version(&latest));
    let roles = claims(&new.access)["roles"].clone();
    assert!(roles.is_null(), "the account is as it was: {roles}");
}

async fn kids(http: &Http) -> Vec<String> {
    let jwks = http.get("/.well-known/jwks.json").send().await.expect(200);
    let jwks = jwks.json();
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

async fn a_signing_key_that_leaked_after_the_backup_stays_refused(backend: Backend) {
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    let leaked = header(&session.access)["kid"].as_str().unwrap().to_owned();
    let file = back_up(&backend);
    run(&backend, &["key", "rotate", "--now"]);
    stop(server);

    restore(&backend, &file);

    let server = Replica::start(&backend).await;
    let live = kids(&server.http).await;
    assert_eq!(live.len(), 1);
    assert_ne!(live, [leaked]);
    assert_ended(&session, &server.http).await;
}

async fn use_link(http: &Http, link: &str, password: &str) -> HttpResponse {
    let body = json!({"link": link, "password": password});
    http.post("/v1/password/reset").json(&body).send().await
}

async fn a_reset_link_that_was_used_after_the_backup_stays_used(backend: Backend) {
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let printed = run(&backend, &["user", "reset-link", "alice"]);
    let (_, link) = printed.split_once("/reset#").unwrap();
    let link = link.trim();
    let file = back_up(&backend);
    let used = use_link(&server.http, link, "another long password of alice").await;
    used.expect(204);
    stop(server);

    restore(&backend, &file);

    let server = Replica::start(&backend).await;
    let again = use_link(&server.http, link, "a third long password of alice").await;
    again.expect_problem(404, "not_found");
    // The password is that of the backup, which nobody can know better.
    alice.at(&server.http).login().await;
}

async fn a_restore_can_be_repeated(backend: Backend) {
    let server = Replica::start(&backend).await;
    let alice = server.http.person("alice").await;
    let file = back_up(&backend);
    stop(server);
    restore(&backend, &file);
    let server = Replica::start(&backend).await;
    let between = alice.at(&server.http).login().await;
    stop(server);

    restore(&backend, &file);

    let server = Replica::start(&backend).await;
    assert_ended(&between, &server.http).await;
    let new = alice.at(&server.http).login().await;
    let version = |session: &Session| claims(&session.access)["authority_version"].as_u64();
    assert!(version(&new) > version(&between));
    new.check().await.expect(200);
}

/// A Redis that nobody emptied between the servers, beside a SQLite file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_lists_in_redis_do_not_matter_beside_a_file() {
    let redis = crate::support::redis::Redis::start();
    let backend = Backend::sqlite().with("REDIS_URL", &redis.url());
    everybody_signs_in_again_after_a_restore(backend.clone()).await;
    assert!(!redis.ask::<Vec<String>>(&["KEYS", "*"]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_after_another_restore_needs_the_file_for_itself() {
    let backend = Backend::sqlite();
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let said = super::failure(&backend, &["restored"]);

    assert!(said.contains("stop it first"), "{said}");
    session.check().await.expect(200);
    stop(server);
    run(&backend, &["restored"]);
    let server = Replica::start(&backend).await;
    assert_ended(&session, &server.http).await;
}
