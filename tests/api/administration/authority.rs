//! The authority of administrators at the moment of a change, whatever their token says.

use serde_json::{Value, json};

use crate::support::client::{Person, Session};
use crate::support::http::HttpResponse;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    a_demoted_administrator_changes_nothing_by_an_older_token,
    administrators_who_disable_each_other_at_once_leave_one,
    administrators_who_demote_each_other_at_once_leave_one,
    changes_of_authority_need_a_fresh_token,
    sessions_are_ended_without_a_fresh_token,
}

/// Every change that an administrator may make to `user`, with a body that is right.
fn changes(user: &str) -> Vec<(&'static str, String, Value)> {
    let account = json!({"username": "made", "password": "a long password of the one made"});
    vec![
        (
            "PUT",
            format!("/v1/users/{user}/roles"),
            json!({"roles": ["admin"]}),
        ),
        ("POST", "/v1/users".to_owned(), account),
        ("POST", format!("/v1/users/{user}/disable"), json!({})),
        ("POST", format!("/v1/users/{user}/enable"), json!({})),
        ("POST", format!("/v1/users/{user}/reset-link"), json!({})),
        ("POST", "/v1/keys/rotate".to_owned(), json!({})),
    ]
}

async fn ask(by: &Session, method: &str, path: &str, body: &Value) -> HttpResponse {
    let request = by.http.request(method, path).bearer(&by.access);
    request.json(body).send().await
}

async fn user(by: &Session, id: &str) -> Value {
    let answer = ask(by, "GET", &format!("/v1/users/{id}"), &json!({})).await;
    answer.expect(200).json()
}

async fn a_demoted_administrator_changes_nothing_by_an_older_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let demoted = server.http.administrator("demoted").await.login().await;
    let alice = server.http.person("alice").await.login().await;
    let (own, hers) = (demoted.user_id(), alice.user_id());
    let roles = format!("/v1/users/{own}/roles");
    ask(&admin, "PUT", &roles, &json!({"roles": ["editor"]}))
        .await
        .expect(200);

    let regained = ask(&demoted, "PUT", &roles, &json!({"roles": ["admin"]})).await;
    regained.expect_problem(401, "token_outdated");
    for (method, path, body) in changes(&hers) {
        let answer = ask(&demoted, method, &path, &body).await;
        answer.expect_problem(401, "token_outdated");
    }
    for path in [
        format!("/v1/users/{hers}/reset-link"),
        format!("/v1/users/{hers}/sessions"),
        format!("/v1/sessions/{}", alice.id),
    ] {
        let answer = ask(&demoted, "DELETE", &path, &json!({})).await;
        answer.expect_problem(401, "token_outdated");
    }

    assert_eq!(user(&admin, &own).await["roles"], json!(["editor"]));
    assert_eq!(user(&admin, &hers).await["disabled"], false);
    alice.check().await.expect(200);
    let keys = ask(&admin, "GET", "/v1/keys", &json!({})).await.json();
    assert_eq!(keys["items"].as_array().map(Vec::len), Some(1), "{keys}");
    let users = ask(&admin, "GET", "/v1/users?search=made", &json!({})).await;
    assert_eq!(users.expect(200).json()["items"], json!([]));
}

/// Lets the only two administrators do the same to each other in parallel, several times,
/// and asserts that one of them is left each time. `undo` gives the other what was taken.
async fn duel(
    backend: &Backend,
    attack: (&str, &str, Value),
    undo: (&str, &str, Value),
    is_out: fn(&Value) -> bool,
) {
    let server = InProcessServer::start(backend).await;
    let people: [Person; 2] = [
        server.http.admin(),
        server.http.administrator("other").await,
    ];

    for _ in 0..10 {
        let (one, two) = (people[0].login().await, people[1].login().await);
        let path = |of: &Session, what: &str| format!("/v1/users/{}/{what}", of.user_id());
        let (method, what, body) = &attack;
        let (at_two, at_one) = (path(&two, what), path(&one, what));
        let answers = tokio::join!(
            ask(&one, method, &at_two, body),
            ask(&two, method, &at_one, body),
        );

        let (winner, loser) = if answers.0.status == 200 {
            (one, two)
        } else {
            (two, one)
        };
        let statuses = [answers.0.status, answers.1.status];
        assert!(statuses.contains(&200), "{statuses:?}");
        assert!(
            statuses.iter().any(|status| [401, 403].contains(status)),
            "{statuses:?}"
        );
        assert!(!is_out(&user(&winner, &winner.user_id()).await));
        assert!(is_out(&user(&winner, &loser.user_id()).await));
        let (method, what, body) = &undo;
        let undone = ask(&winner, method, &path(&loser, what), body).await;
        undone.expect(200);
    }
}

async fn administrators_who_disable_each_other_at_once_leave_one(backend: Backend) {
    let disable = ("POST", "disable", json!({}));
    let enable = ("POST", "enable", json!({}));

    duel(&backend, disable, enable, |user| user["disabled"] == true).await;
}

async fn administrators_who_demote_each_other_at_once_leave_one(backend: Backend) {
    let demote = ("PUT", "roles", json!({"roles": []}));
    let promote = ("PUT", "roles", json!({"roles": ["admin"]}));

    duel(&backend, demote, promote, |user| user["roles"] == json!([])).await;
}

async fn changes_of_authority_need_a_fresh_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await.rotate().await;
    let alice = server.http.person("alice").await.login().await.user_id();

    for (method, path, body) in changes(&alice) {
        let answer = ask(&admin, method, &path, &body).await;
        let refused = answer.expect_problem(401, "fresh_token_required");
        let challenge = refused.header("www-authenticate");
        assert!(
            challenge.contains("insufficient_user_authentication"),
            "{challenge}"
        );
    }

    let password = json!({"password": server.http.admin().password});
    let proved = ask(&admin, "POST", "/v1/reauthenticate", &password).await;
    let fresh = Session {
        access: proved.expect(200).field("access_token"),
        ..admin
    };
    for (method, path, body) in changes(&alice) {
        let answer = ask(&fresh, method, &path, &body).await;
        // The account is disabled by then and enabled again: all of them are done.
        assert!(
            [200, 201].contains(&answer.status),
            "{method} {path}: {}",
            answer.text
        );
    }
}

async fn sessions_are_ended_without_a_fresh_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await.rotate().await;
    let alice = server.http.person("alice").await;
    let (phone, laptop) = (alice.login().await, alice.login().await);

    let one = format!("/v1/sessions/{}", phone.id);
    ask(&admin, "DELETE", &one, &json!({})).await.expect(204);
    let all = format!("/v1/users/{}/sessions", laptop.user_id());
    ask(&admin, "DELETE", &all, &json!({})).await.expect(204);

    phone.check().await.expect_problem(401, "token_revoked");
    laptop.check().await.expect_problem(401, "token_outdated");
}
