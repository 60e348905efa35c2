//! Logins are counted before anything is hashed, and cannot be counted for someone else.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::client::Person;
use crate::support::http::Answer;
use crate::support::local::Local;
use crate::support::{Backend, on_both};

on_both! {
    an_account_is_closed_after_ten_attempts_and_opens_again,
    unknown_users_are_counted_alike,
    an_address_is_counted_over_all_accounts,
    nobody_chooses_the_address_they_are_counted_as,
    a_trusted_proxy_says_who_is_asking,
    attempts_at_once_are_all_counted,
}

async fn attempt(person: &Person, forwarded: &str) -> Answer {
    let body = json!({"username": person.name, "password": "wrong, but long enough"});
    let request = person.http.post("/v1/login").json(&body);
    request.header("x-forwarded-for", forwarded).send().await
}

fn stranger(server: &Local, name: &str) -> Person {
    Person {
        http: server.http.clone(),
        name: name.to_owned(),
        password: String::new(),
    }
}

async fn an_account_is_closed_after_ten_attempts_and_opens_again(backend: Backend) {
    let server = Local::start(&backend).await;
    let alice = server.http.person("alice").await;
    for _ in 0..10 {
        alice
            .try_login("wrong, but long enough")
            .await
            .expect_problem(401, "invalid_credentials");
    }

    let refused = alice
        .try_login(&alice.password)
        .await
        .expect_problem(429, "too_many_requests");

    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    server.pass(Duration::from_secs(wait));
    alice.login().await;
}

async fn unknown_users_are_counted_alike(backend: Backend) {
    let server = Local::start(&backend).await;
    let nobody = stranger(&server, "nobody");
    for _ in 0..10 {
        nobody
            .try_login("wrong, but long enough")
            .await
            .expect_problem(401, "invalid_credentials");
    }

    let start = Instant::now();
    for _ in 0..20 {
        nobody
            .try_login("wrong, but long enough")
            .await
            .expect_problem(429, "too_many_requests");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "nothing is hashed for these"
    );
}

async fn an_address_is_counted_over_all_accounts(backend: Backend) {
    let server = Local::start(&backend.with("LATCHET_THROTTLE_IP", "5/15m")).await;
    for name in ["a", "b", "c", "d", "e"] {
        stranger(&server, name)
            .try_login("wrong, but long enough")
            .await
            .expect(401);
    }

    stranger(&server, "f")
        .try_login("wrong, but long enough")
        .await
        .expect_problem(429, "too_many_requests");
}

async fn nobody_chooses_the_address_they_are_counted_as(backend: Backend) {
    let server = Local::start(&backend.with("LATCHET_THROTTLE_IP", "5/15m")).await;
    for number in 0..5 {
        let person = stranger(&server, &format!("user{number}"));
        attempt(&person, &format!("198.51.100.{number}"))
            .await
            .expect(401);
    }

    attempt(&stranger(&server, "another"), "198.51.100.99")
        .await
        .expect_problem(429, "too_many_requests");
}

async fn a_trusted_proxy_says_who_is_asking(backend: Backend) {
    let backend = backend
        .with("LATCHET_THROTTLE_IP", "5/15m")
        .with("LATCHET_TRUSTED_PROXIES", "127.0.0.0/8");
    let server = Local::start(&backend).await;
    for number in 0..5 {
        attempt(&stranger(&server, &format!("user{number}")), "198.51.100.7")
            .await
            .expect(401);
    }

    attempt(&stranger(&server, "a"), "198.51.100.7")
        .await
        .expect_problem(429, "too_many_requests");
    attempt(&stranger(&server, "b"), "198.51.100.8")
        .await
        .expect(401);
    // What the client itself put in front of the proxy's entry is not believed.
    attempt(&stranger(&server, "c"), "203.0.113.1, 198.51.100.7")
        .await
        .expect_problem(429, "too_many_requests");
}

async fn attempts_at_once_are_all_counted(backend: Backend) {
    let server = Local::start(&backend).await;
    let alice = server.http.person("alice").await;

    let mut attempts = JoinSet::new();
    for _ in 0..30 {
        let alice = alice.clone();
        attempts.spawn(async move { alice.try_login("wrong, but long enough").await.status });
    }
    let hashed = attempts
        .join_all()
        .await
        .into_iter()
        .filter(|status| *status == 401)
        .count();

    assert_eq!(hashed, 10);
}
