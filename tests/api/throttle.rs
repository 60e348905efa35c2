//! Failed logins are counted, and cannot be counted for someone else.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::client::Person;
use crate::support::http::HttpResponse;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

mod devices;
mod floods;
mod registrations;
mod signed_in;

const WRONG: &str = "wrong, but long enough";

/// Guesses that [`few_guesses`] allows from one address, on one device or within one session.
const GUESSES: usize = 3;

/// Number of addresses that use up the shared budget of strangers.
const ADDRESSES: usize = 2;

on_both! {
    an_account_is_throttled_after_ten_failures_and_opens_later,
    unknown_users_are_throttled_like_known_ones,
    an_address_is_counted_over_all_accounts,
    an_untrusted_forwarded_address_is_ignored,
    a_trusted_proxy_names_the_client_address,
    attempts_at_once_are_all_counted,
    twenty_logins_at_once_with_the_right_password_succeed,
    attempts_at_a_busy_server_are_not_counted,
    guesses_from_many_addresses_throttle_an_account_for_unknown_devices,
    strangers_in_other_networks_lock_nobody_out_of_a_known_network,
    guesses_from_a_known_network_have_their_own_budget,
    retry_after_doubles_while_guessing_continues,
    a_password_reset_lifts_the_throttle,
}

/// The server trusts the forwarded address of these tests.
fn behind_a_proxy(backend: &Backend) -> Backend {
    backend
        .clone()
        .with("LATCHET_TRUSTED_PROXIES", "127.0.0.0/8")
}

/// A server behind a proxy, on which few guesses use a budget up: each of them is hashed.
async fn server_with_small_budgets(backend: &Backend) -> InProcessServer {
    let backend = behind_a_proxy(backend)
        .with("LATCHET_THROTTLE_ACCOUNT_IP", &format!("{GUESSES}/15m"))
        .with(
            "LATCHET_THROTTLE_ACCOUNT",
            &format!("{}/15m", GUESSES * ADDRESSES),
        );
    InProcessServer::start(&backend).await
}

/// Tries to log in from an address.
async fn login_from(person: &Person, password: &str, address: &str) -> HttpResponse {
    let body = json!({"username": person.name, "password": password});
    let request = person.http.post("/v1/login").json(&body);
    request.header("x-forwarded-for", address).send().await
}

/// Uses up the shared budget of strangers for an account on such a server.
async fn exhaust_stranger_budget(person: &Person) {
    for address in 1..=ADDRESSES {
        for _ in 0..GUESSES {
            login_from(person, WRONG, &format!("198.51.100.{address}"))
                .await
                .expect_problem(401, "invalid_credentials");
        }
    }
    login_from(person, &person.password, "198.51.100.99")
        .await
        .expect_problem(429, "too_many_requests");
}

fn wait_of(refused: &HttpResponse) -> Duration {
    Duration::from_secs(refused.header("retry-after").parse().expect("seconds"))
}

async fn attempt(person: &Person, forwarded: &str) -> HttpResponse {
    let body = json!({"username": person.name, "password": "wrong, but long enough"});
    let request = person.http.post("/v1/login").json(&body);
    request.header("x-forwarded-for", forwarded).send().await
}

fn stranger(server: &InProcessServer, name: &str) -> Person {
    Person {
        http: server.http.clone(),
        name: name.to_owned(),
        password: String::new(),
    }
}

async fn an_account_is_throttled_after_ten_failures_and_opens_later(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
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

async fn unknown_users_are_throttled_like_known_ones(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
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
    let server = InProcessServer::start(&backend.with("LATCHET_THROTTLE_IP", "5/15m")).await;
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

async fn an_untrusted_forwarded_address_is_ignored(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_THROTTLE_IP", "5/15m")).await;
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

async fn a_trusted_proxy_names_the_client_address(backend: Backend) {
    let backend = backend
        .with("LATCHET_THROTTLE_IP", "5/15m")
        .with("LATCHET_TRUSTED_PROXIES", "127.0.0.0/8");
    let server = InProcessServer::start(&backend).await;
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
    // An entry that the client itself put in front of the proxy's entry is not trusted.
    attempt(&stranger(&server, "c"), "203.0.113.1, 198.51.100.7")
        .await
        .expect_problem(429, "too_many_requests");
}

async fn attempts_at_once_are_all_counted(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
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

async fn twenty_logins_at_once_with_the_right_password_succeed(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;

    for _ in 0..2 {
        let mut logins = JoinSet::new();
        for _ in 0..20 {
            let alice = alice.clone();
            logins.spawn(async move { alice.try_login(&alice.password).await.status });
        }
        assert_eq!(logins.join_all().await, [200; 20]);
    }
}

/// More at once than may ever fail, over two replicas that share a budget of two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_over_two_replicas_wait_for_each_other_instead_of_being_refused() {
    let backend = Backend::postgres().with("LATCHET_THROTTLE_ACCOUNT_IP", "2/15m");
    let servers = [
        InProcessServer::start(&backend).await,
        InProcessServer::start(&backend).await,
    ];
    let alice = servers[0].http.person("alice").await;

    let mut logins = JoinSet::new();
    for server in servers.iter().cycle().take(12) {
        let alice = alice.at(&server.http);
        logins.spawn(async move { alice.try_login(&alice.password).await.status });
    }

    assert_eq!(logins.join_all().await, [200; 12]);
}

async fn attempts_at_a_busy_server_are_not_counted(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_PASSWORD_THREADS", "1")).await;
    let alice = server.http.person("alice").await;
    let mut logins = JoinSet::new();
    // The queue holds 256. Some are answered while the others are still on their way.
    for _ in 0..640 {
        let alice = alice.clone();
        logins.spawn(async move { alice.try_login(&alice.password).await });
    }

    let answers = logins.join_all().await;

    let (right, busy): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!right.is_empty());
    assert!(!busy.is_empty(), "the queue is never full");
    for refused in busy {
        let refused = refused.expect_problem(503, "unavailable");
        assert!(wait_of(&refused) < Duration::from_mins(1));
    }
    // The full budget is left.
    for _ in 0..10 {
        alice.try_login(WRONG).await.expect(401);
    }
    alice.try_login(WRONG).await.expect(429);
}

async fn guesses_from_many_addresses_throttle_an_account_for_unknown_devices(backend: Backend) {
    let server = InProcessServer::start(&behind_a_proxy(&backend)).await;
    let alice = server.http.person("alice").await;
    let bob = server.http.person("bob").await;
    for _ in 0..10 {
        login_from(&alice, WRONG, "198.51.100.9").await.expect(401);
    }

    // One address has its own budget, which is a part of that of all.
    login_from(&alice, &alice.password, "198.51.100.9")
        .await
        .expect(429);
    login_from(&alice, &alice.password, "198.51.100.1")
        .await
        .expect(200);
    for address in ["198.51.100.2", "198.51.100.4"] {
        for _ in 0..10 {
            login_from(&alice, WRONG, address).await.expect(401);
        }
    }

    login_from(&alice, &alice.password, "198.51.100.3")
        .await
        .expect_problem(429, "too_many_requests");
    login_from(&bob, &bob.password, "198.51.100.9")
        .await
        .expect(200);
}

async fn strangers_in_other_networks_lock_nobody_out_of_a_known_network(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    login_from(&alice, &alice.password, "203.0.113.9")
        .await
        .expect(200);
    login_from(&alice, &alice.password, "2001:db8:1:2::9")
        .await
        .expect(200);
    exhaust_stranger_budget(&alice).await;

    // The whole /64 of a customer is one network.
    for address in ["203.0.113.9", "2001:db8:1:2:ffff::1", "203.0.113.9"] {
        login_from(&alice, &alice.password, address)
            .await
            .expect(200);
    }
    for address in ["203.0.113.8", "2001:db8:1:3::9"] {
        login_from(&alice, &alice.password, address)
            .await
            .expect_problem(429, "too_many_requests");
    }
}

async fn guesses_from_a_known_network_have_their_own_budget(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    login_from(&alice, &alice.password, "203.0.113.9")
        .await
        .expect(200);
    exhaust_stranger_budget(&alice).await;

    for _ in 0..GUESSES {
        login_from(&alice, WRONG, "203.0.113.9")
            .await
            .expect_problem(401, "invalid_credentials");
    }

    login_from(&alice, &alice.password, "203.0.113.9")
        .await
        .expect_problem(429, "too_many_requests");
}

async fn retry_after_doubles_while_guessing_continues(backend: Backend) {
    let server = InProcessServer::start(&backend.with("LATCHET_THROTTLE_IP", "1000/15m")).await;
    let alice = server.http.person("alice").await;
    let mut waits = Vec::new();

    for _ in 0..4 {
        for _ in 0..10 {
            alice.try_login(WRONG).await.expect(401);
        }
        let wait = wait_of(&alice.try_login(WRONG).await.expect(429));
        server.pass(wait);
        // To the minute: the clock of the server runs.
        waits.push(wait.as_secs().div_ceil(60));
    }

    assert_eq!(waits, [15, 30, 60, 60]);
    alice.login().await;
}

async fn a_password_reset_lifts_the_throttle(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let id = alice.login().await.user_id();
    for _ in 0..10 {
        alice.try_login(WRONG).await.expect(401);
    }
    alice.try_login(&alice.password).await.expect(429);
    let admin = server.http.admin().login().await;
    let path = format!("/v1/users/{id}/reset-link");
    let made = admin.http.post(&path).bearer(&admin.access).send().await;
    let address = made.expect(201).field("link");
    let (_, link) = address.split_once('#').expect("a secret");

    let new = "another long password of alice";
    let body = json!({"link": link, "password": new});
    let reset = server
        .http
        .post("/v1/password/reset")
        .json(&body)
        .send()
        .await;
    reset.expect(204);

    // The refusal is remembered for some seconds.
    crate::support::poll::until_some("the throttle to be lifted", async || {
        let answer = alice.try_login(new).await;
        (answer.status == 200).then_some(())
    })
    .await;
}
