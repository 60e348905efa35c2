//! Reauthentication of signed-in users, and the accounts of services.

use serde_json::json;

use super::{
    ADDRESSES, GUESSES, WRONG, exhaust_stranger_budget, login_from, server_with_small_budgets,
};
use crate::support::client::Session;
use crate::support::http::HttpResponse;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    strangers_do_not_throttle_the_reauthentication_of_a_user,
    guesses_of_a_signed_in_user_count_on_the_session_alone,
    strangers_do_not_throttle_the_account_of_a_service,
}

async fn reauthenticate(session: &Session, password: &str) -> HttpResponse {
    let request = session.http.post("/v1/reauthenticate");
    let body = json!({"password": password});
    request.bearer(&session.access).json(&body).send().await
}

async fn change_password(session: &Session, current: &str, new: &str) -> HttpResponse {
    let request = session.http.post("/v1/me/password");
    let body = json!({"current_password": current, "new_password": new});
    request.bearer(&session.access).json(&body).send().await
}

async fn strangers_do_not_throttle_the_reauthentication_of_a_user(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let session = alice.login().await;
    exhaust_stranger_budget(&alice).await;

    reauthenticate(&session, &alice.password).await.expect(200);
    change_password(&session, &alice.password, "another long password of alice")
        .await
        .expect(200);
}

async fn guesses_of_a_signed_in_user_count_on_the_session_alone(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (stolen, own) = (alice.login().await, alice.login().await);

    for _ in 0..5 {
        reauthenticate(&stolen, WRONG)
            .await
            .expect_problem(401, "invalid_credentials");
        change_password(&stolen, WRONG, "another long password of alice")
            .await
            .expect_problem(401, "invalid_credentials");
    }

    reauthenticate(&stolen, &alice.password)
        .await
        .expect_problem(429, "too_many_requests");
    reauthenticate(&own, &alice.password).await.expect(200);
    alice.login().await;
}

/// Each network has its own budget there, and there is none that all of them share.
async fn strangers_do_not_throttle_the_account_of_a_service(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let service = server.http.account("gateway", &["introspect"]).await;
    for address in 1..=2 * ADDRESSES {
        let address = format!("198.51.100.{address}");
        for _ in 0..GUESSES {
            login_from(&service, WRONG, &address).await.expect(401);
        }
        login_from(&service, &service.password, &address)
            .await
            .expect_problem(429, "too_many_requests");
    }

    login_from(&service, &service.password, "203.0.113.7")
        .await
        .expect(200);
}
