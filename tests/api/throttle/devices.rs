//! Devices on which a user has logged in before.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    ADDRESSES, GUESSES, WRONG, behind_a_proxy, exhaust_stranger_budget, login_from,
    server_with_small_budgets, stranger,
};
use crate::support::client::Person;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

/// Name of the cookie on plain http.
const DEVICE_COOKIE: &str = "latchet_device";

/// Where the owner is, and no stranger.
const HOME: &str = "203.0.113.7";

/// A network without a login so far.
const ELSEWHERE: &str = "203.0.113.77";

on_both! {
    strangers_do_not_lock_the_owner_out_of_a_browser_that_is_known,
    strangers_do_not_lock_the_owner_out_of_a_program_that_is_known,
    failures_on_a_known_device_count_on_no_other_device_and_no_stranger,
    known_devices_have_one_more_budget_together,
    strangers_in_the_same_network_do_not_lock_the_owner_out_of_a_known_device,
    failures_on_a_known_device_do_not_count_on_its_network,
    a_device_that_logs_in_again_stays_the_same_device,
    a_device_is_known_to_its_own_accounts_only,
    an_invalid_device_token_is_ignored,
    a_new_password_keeps_the_device_known,
}

async fn login_with(person: &Person, password: &str, token: &str) -> HttpResponse {
    let body = json!({"username": person.name, "password": password, "device_token": token});
    let request = person.http.post("/v1/login").json(&body);
    request.header("x-forwarded-for", HOME).send().await
}

/// Logs in at home for the first time, and returns the proof.
async fn known(person: &Person) -> String {
    let answer = login_from(person, &person.password, HOME).await;
    answer.expect(200).field("device_token")
}

/// A browser that keeps the cookie of its device, and nothing else.
struct BrowserVisitor {
    http: Http,
    address: &'static str,
    jar: BTreeMap<String, String>,
}

impl BrowserVisitor {
    fn new(http: &Http, address: &'static str) -> Self {
        Self {
            http: http.clone(),
            address,
            jar: BTreeMap::new(),
        }
    }

    async fn login(&mut self, person: &Person, password: &str) -> HttpResponse {
        let body = json!({"username": person.name, "password": password, "transport": "cookie"});
        let cookies: Vec<String> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.http.post("/v1/login").json(&body);
        let request = request.header("x-forwarded-for", self.address);
        let answer = request.header("cookie", &cookies.join("; ")).send().await;
        for cookie in answer.set_cookies() {
            if let Some(value) = cookie.strip_prefix(&format!("{DEVICE_COOKIE}=")) {
                for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=34560000"] {
                    assert!(cookie.contains(attribute), "{cookie}");
                }
                let (value, _) = value.split_once(';').expect("attributes");
                self.jar.insert(DEVICE_COOKIE.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

async fn strangers_do_not_lock_the_owner_out_of_a_browser_that_is_known(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let bob = server.http.person("bob").await;
    let mut browser = BrowserVisitor::new(&server.http, HOME);
    for person in [&alice, &bob] {
        let answer = browser.login(person, &person.password).await.expect(200);
        assert!(answer.json()["device_token"].is_null(), "{}", answer.text);
    }
    for person in [&alice, &bob] {
        exhaust_stranger_budget(person).await;
        server.pass(std::time::Duration::from_secs(1));

        browser.login(person, &person.password).await.expect(200);

        let mut another = BrowserVisitor::new(&server.http, ELSEWHERE);
        another.login(person, &person.password).await.expect(429);
        server.pass(std::time::Duration::from_hours(3));
    }
}

async fn strangers_do_not_lock_the_owner_out_of_a_program_that_is_known(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let token = known(&alice).await;
    exhaust_stranger_budget(&alice).await;

    login_with(&alice, &alice.password, &token)
        .await
        .expect(200);

    let form = [
        ("grant_type", "password"),
        ("username", &alice.name),
        ("password", &alice.password),
        ("device_token", &token),
    ];
    let request = server.http.post("/oauth/token").form(&form);
    let answer = request.header("x-forwarded-for", HOME).send().await;
    assert_eq!(answer.expect(200).field("device_token"), token);
}

async fn failures_on_a_known_device_count_on_no_other_device_and_no_stranger(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let (laptop, phone) = (known(&alice).await, known(&alice).await);
    assert_ne!(laptop, phone);

    for _ in 0..GUESSES {
        login_with(&alice, WRONG, &laptop).await.expect(401);
    }

    login_with(&alice, &alice.password, &laptop)
        .await
        .expect_problem(429, "too_many_requests");
    login_with(&alice, &alice.password, &phone)
        .await
        .expect(200);
    login_from(&alice, &alice.password, HOME).await.expect(200);
}

async fn known_devices_have_one_more_budget_together(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let bob = server.http.person("bob").await;
    let bobs = known(&bob).await;
    let mut fresh = known(&alice).await;
    for _ in 0..ADDRESSES {
        for _ in 0..GUESSES {
            login_with(&alice, WRONG, &fresh).await.expect(401);
        }
        // A login without a proof makes a device that nobody has guessed on.
        fresh = known(&alice).await;
    }

    login_with(&alice, &alice.password, &fresh)
        .await
        .expect_problem(429, "too_many_requests");
    login_with(&bob, &bob.password, &bobs).await.expect(200);
    // Not that of strangers, who cannot use it up either.
    login_from(&alice, &alice.password, HOME).await.expect(200);
}

/// A server on which two failures use up the budget of a network.
async fn few_in_a_network(backend: &Backend) -> InProcessServer {
    let backend = behind_a_proxy(backend).with("LATCHET_THROTTLE_IP", "2/15m");
    InProcessServer::start(&backend).await
}

async fn strangers_in_the_same_network_do_not_lock_the_owner_out_of_a_known_device(
    backend: Backend,
) {
    let server = few_in_a_network(&backend).await;
    let alice = server.http.person("alice").await;
    let token = known(&alice).await;
    for name in ["nobody", "somebody"] {
        let unknown = stranger(&server, name);
        login_from(&unknown, WRONG, HOME).await.expect(401);
    }
    login_from(&alice, &alice.password, HOME)
        .await
        .expect_problem(429, "too_many_requests");

    login_with(&alice, &alice.password, &token)
        .await
        .expect(200);

    // At another account it is the device of a stranger.
    login_with(&stranger(&server, "nobody"), WRONG, &token)
        .await
        .expect_problem(429, "too_many_requests");
}

async fn failures_on_a_known_device_do_not_count_on_its_network(backend: Backend) {
    let server = few_in_a_network(&backend).await;
    let alice = server.http.person("alice").await;
    let bob = server.http.person("bob").await;
    let token = known(&alice).await;
    for _ in 0..2 {
        login_with(&alice, WRONG, &token).await.expect(401);
    }

    login_from(&bob, &bob.password, HOME).await.expect(200);
}

async fn a_device_that_logs_in_again_stays_the_same_device(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let first = known(&alice).await;
    for _ in 1..GUESSES {
        login_with(&alice, WRONG, &first).await.expect(401);
    }

    let again = login_with(&alice, &alice.password, &first).await;

    assert_eq!(again.expect(200).field("device_token"), first);
    login_with(&alice, WRONG, &first).await.expect(401);
    login_with(&alice, WRONG, &first).await.expect(429);
}

async fn a_device_is_known_to_its_own_accounts_only(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let mallory = known(&server.http.person("mallory").await).await;
    for _ in 0..GUESSES {
        login_with(&alice, WRONG, &mallory).await.expect(401);
    }

    // They counted as those of a stranger at that address.
    login_with(&alice, WRONG, &mallory)
        .await
        .expect_problem(429, "too_many_requests");
    login_from(&alice, WRONG, HOME)
        .await
        .expect_problem(429, "too_many_requests");
}

async fn an_invalid_device_token_is_ignored(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let alice = server.http.person("alice").await;
    let token = known(&alice).await;
    let (rest, last) = token.split_at(token.len() - 1);
    let forged = format!("{rest}{}", if last == "A" { "E" } else { "A" });

    for forged in [forged.as_str(), "x", "a.b.c", &"x".repeat(256)] {
        let answer = login_with(&alice, &alice.password, forged).await;
        assert_ne!(answer.expect(200).field("device_token"), forged);
    }
}

async fn a_new_password_keeps_the_device_known(backend: Backend) {
    let server = server_with_small_budgets(&backend).await;
    let mut alice = server.http.person("alice").await;
    let token = known(&alice).await;
    let session = alice.login().await;
    let new = "another long password of alice";
    let body = json!({"current_password": alice.password, "new_password": new});
    let request = server.http.post("/v1/me/password").bearer(&session.access);
    request.json(&body).send().await.expect(200);
    new.clone_into(&mut alice.password);
    exhaust_stranger_budget(&alice).await;

    login_with(&alice, new, &token).await.expect(200);
}
