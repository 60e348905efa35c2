//! Changes of what a user may do take effect at the next request, and sessions have a limit.

use serde_json::{Value, json};

use crate::support::client::{Session, claims};
use crate::support::http::HttpResponse;
use crate::support::local::InProcessServer;
use crate::support::server::{Replica, run};
use crate::support::{Backend, on_both};

on_both! {
    a_demoted_administrator_does_not_regain_the_role,
    a_retry_after_a_change_of_roles_has_the_same_refresh_token_and_the_new_roles,
    an_outdated_token_still_logs_out,
    an_outdated_token_is_inactive,
    a_token_from_before_the_account_was_disabled_stays_refused,
    a_changed_password_outdates_the_token_and_keeps_the_session,
    one_login_above_the_limit_ends_the_least_recently_used_session,
    the_sessions_of_a_user_are_listed_page_by_page,
    roles_set_by_the_command_line_outdate_tokens_of_a_running_server,
}

async fn set_roles(by: &Session, whom: &Session, roles: &[&str]) -> HttpResponse {
    let path = format!("/v1/users/{}/roles", whom.user_id());
    let request = by.http.request("PUT", &path).bearer(&by.access);
    request.json(&json!({"roles": roles})).send().await
}

async fn verify(session: &Session) -> HttpResponse {
    let request = session.http.get("/v1/verify").bearer(&session.access);
    request.send().await
}

async fn a_demoted_administrator_does_not_regain_the_role(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let mallory = server.http.administrator("mallory").await;
    let demoted = mallory.login().await;
    verify(&demoted).await.expect(204);

    set_roles(&admin, &demoted, &[]).await.expect(200);

    let regained = set_roles(&demoted, &demoted, &["admin"]).await;
    regained.expect_problem(401, "token_outdated");
    verify(&demoted).await.expect_problem(401, "token_outdated");
    let refreshed = demoted.rotate().await;
    assert_eq!(claims(&refreshed.access).get("roles"), None);
    let again = set_roles(&refreshed, &demoted, &["admin"]).await;
    again.expect_problem(401, "fresh_token_required");
    let fresh = mallory.login().await;
    let again = set_roles(&fresh, &demoted, &["admin"]).await;
    again.expect_problem(403, "insufficient_scope");
    verify(&refreshed).await.expect(204);
}

async fn a_retry_after_a_change_of_roles_has_the_same_refresh_token_and_the_new_roles(
    backend: Backend,
) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("alice").await.login().await;
    let first = alice.rotate().await;

    set_roles(&admin, &alice, &["editor"]).await.expect(200);
    let retry = alice.rotate().await;

    assert_eq!(retry.refresh, first.refresh);
    assert_eq!(claims(&retry.access)["roles"], json!(["editor"]));
    first.check().await.expect_problem(401, "token_outdated");
    retry.check().await.expect(200);
}

async fn an_outdated_token_still_logs_out(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("alice").await.login().await;
    set_roles(&admin, &alice, &["editor"]).await.expect(200);

    alice.logout().await.expect(204);

    alice.refresh().await.expect_problem(401, "session_revoked");
    alice.check().await.expect_problem(401, "token_revoked");
}

async fn an_outdated_token_is_inactive(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("alice").await.login().await;
    let active = async || -> Value {
        let request = server.http.post("/oauth/introspect").bearer(&admin.access);
        let answer = request.form(&[("token", &alice.access)]).send().await;
        answer.expect(200).json()["active"].clone()
    };
    assert_eq!(active().await, json!(true));

    set_roles(&admin, &alice, &["editor"]).await.expect(200);

    assert_eq!(active().await, json!(false));
}

async fn a_token_from_before_the_account_was_disabled_stays_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("alice").await.login().await;
    for change in ["disable", "enable"] {
        let path = format!("/v1/users/{}/{change}", alice.user_id());
        let changed = server.http.post(&path).bearer(&admin.access).send().await;
        changed.expect(200);
    }

    alice.check().await.expect_problem(401, "token_outdated");
    alice.refresh().await.expect_problem(401, "session_revoked");
}

async fn a_changed_password_outdates_the_token_and_keeps_the_session(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (here, elsewhere) = (alice.login().await, alice.login().await);
    let body = json!({
        "current_password": alice.password,
        "new_password": "another long password of alice",
    });

    let request = server.http.post("/v1/me/password").bearer(&here.access);
    let changed = request.json(&body).send().await;

    assert!(changed.status < 300, "{changed:?}");
    for session in [&here, &elsewhere] {
        session.check().await.expect_problem(401, "token_outdated");
    }
    here.rotate().await.check().await.expect(200);
    let ended = elsewhere.refresh().await;
    ended.expect_problem(401, "session_revoked");
}

async fn one_login_above_the_limit_ends_the_least_recently_used_session(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_MAX_SESSIONS", "2")).await;
    let alice = server.http.person("alice").await;
    let (used, unused) = (alice.login().await, alice.login().await);
    let used = used.rotate().await;

    let third = alice.login().await;

    unused.check().await.expect_problem(401, "token_revoked");
    let ended = unused.refresh().await;
    ended.expect_problem(401, "session_revoked");
    used.check().await.expect(200);
    third.check().await.expect(200);
    let admin = server.http.admin().login().await;
    let events = server.http.get("/v1/events").bearer(&admin.access);
    let events = events.send().await.expect(200).json();
    let told: Vec<&Value> = events["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["kind"] == "session_limit_reached")
        .map(|event| &event["session_id"])
        .collect();
    assert_eq!(told, [&json!(unused.id)], "{events}");
}

async fn the_sessions_of_a_user_are_listed_page_by_page(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("alice").await;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(alice.login().await);
    }
    let of_alice = format!("/v1/users/{}/sessions", expected[0].user_id());

    for (path, by) in [("/v1/me/sessions", &expected[0]), (&of_alice, &admin)] {
        let mut ids = Vec::new();
        let mut page = format!("{path}?limit=2");
        loop {
            let answer = server.http.get(&page).bearer(&by.access).send().await;
            let answer = answer.expect(200).json();
            let items = answer["items"].as_array().expect("a list");
            assert!(items.len() <= 2, "{answer}");
            ids.extend(items.iter().map(|item| item["id"].clone()));
            let Some(next) = answer["next"].as_str() else {
                break;
            };
            page = format!("{path}?limit=2&after={next}");
        }
        assert_eq!(ids.len(), expected.len());
        for session in &expected {
            assert!(ids.contains(&json!(session.id)), "{ids:?}");
        }
    }
}

async fn roles_set_by_the_command_line_outdate_tokens_of_a_running_server(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.administrator("alice").await.login().await;
    alice.check().await.expect(200);

    run(&backend, &["user", "roles", "alice", "editor"]);

    alice.check().await.expect_problem(401, "token_outdated");
    let refreshed = alice.rotate().await;
    assert_eq!(claims(&refreshed.access)["roles"], json!(["editor"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_roles_takes_effect_on_every_replica() {
    for backend in [Backend::postgres(), Backend::postgres_alone()] {
        let replicas = [
            Replica::start(&backend).await,
            Replica::start(&backend).await,
        ];
        let alice = replicas[0].http.administrator("alice").await;
        let admin = replicas[0].http.admin().login().await;

        for round in 0..6 {
            let session = alice.login().await;
            let [here, there] = &replicas;
            let admin = admin.at(&if round % 2 == 0 { here } else { there }.http);

            set_roles(&admin, &session, &[]).await.expect(200);

            for replica in &replicas {
                let answer = session.at(&replica.http).check().await;
                assert_eq!(answer.code(), "token_outdated", "in round {round}");
            }
            set_roles(&admin, &session, &["admin"]).await.expect(200);
        }
    }
}
