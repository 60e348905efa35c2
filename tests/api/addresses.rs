//! E-mail addresses: proof of them, login by them, and what other accounts can claim.

use serde_json::json;

use crate::support::client::{Person, Session};
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::mailbox::Mailbox;
use crate::support::server::Replica;
use crate::support::{Backend, on_both};

on_both! {
    a_registration_with_an_address_is_verified_by_the_code_of_the_mail,
    an_address_is_verified_by_the_link_of_the_mail_once,
    only_a_verified_address_logs_in,
    a_known_address_gets_the_same_response_and_its_owner_a_mail,
    an_unverified_claim_blocks_no_one_and_ends_when_the_owner_verifies,
    a_code_is_valid_with_its_own_request_and_for_five_guesses_in_all,
    the_primary_address_receives_notices,
    an_address_is_added_by_a_fresh_token_and_belongs_to_its_user,
    a_removed_address_voids_its_mails,
    a_verified_address_wins_over_a_user_name_of_the_same_spelling,
    mails_to_one_address_are_limited,
    a_registration_that_fails_uses_up_no_mail_of_the_address,
    an_address_that_is_not_added_uses_up_no_mail_of_its_owner,
    the_throttle_does_not_show_which_account_has_an_address,
    the_mail_names_the_account_and_links_nothing_else,
    a_failed_login_by_an_address_logs_the_domain_alone,
    where_mail_is_off_the_routes_say_so,
    links_start_with_the_public_url,
    a_mail_waits_for_a_server_that_was_killed,
}

const PASSWORD: &str = "a long password of ada";

async fn register(http: &Http, name: &str, email: &str) -> HttpResponse {
    let body = json!({"username": name, "password": PASSWORD, "email": email});
    http.post("/v1/register").json(&body).send().await
}

async fn verify(http: &Http, proof: serde_json::Value) -> HttpResponse {
    http.post("/v1/email/verify").json(&proof).send().await
}

fn ada(http: &Http, name: &str) -> Person {
    Person {
        http: http.clone(),
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

async fn start(backend: &Backend) -> (InProcessServer, Mailbox) {
    let backend = backend.clone().with("LATCHET_REGISTRATION", "open");
    let server = InProcessServer::start(&backend).await;
    let mailbox = Mailbox::of(&backend);
    (server, mailbox)
}

/// Registers an account with a verified address.
async fn verified(http: &Http, mailbox: &Mailbox, name: &str, email: &str) -> Person {
    let number = mailbox.mails_to(email).len() + 1;
    register(http, name, email).await.expect(202);
    let mail = mailbox.mail_to(email, number).await;
    verify(http, json!({"link": mail.secret()}))
        .await
        .expect(204);
    ada(http, name)
}

async fn emails_of(session: &Session) -> serde_json::Value {
    let listed = session.http.get("/v1/me/emails").bearer(&session.access);
    listed.send().await.expect(200).json()["items"].clone()
}

async fn add_email(session: &Session, email: &str) -> HttpResponse {
    let add = session.http.post("/v1/me/emails").bearer(&session.access);
    add.json(&json!({"email": email})).send().await
}

async fn a_registration_with_an_address_is_verified_by_the_code_of_the_mail(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;

    let accepted = register(http, "ada", "Ada@Example.org").await.expect(202);
    let mail = mailbox.mail_to("Ada@example.org", 1).await;
    let proof = json!({"request": accepted.field("request"), "code": mail.code()});
    verify(http, proof.clone()).await.expect(204);

    assert_eq!(accepted.json()["expires_in"], 3600);
    assert!(mail.text.contains("ada"), "{}", mail.text);
    let session = ada(http, "ADA@example.ORG").login().await;
    let emails = emails_of(&session).await;
    assert_eq!(emails[0]["address"], "Ada@example.org");
    assert_eq!(emails[0]["verified"], true);
    assert_eq!(emails[0]["primary"], true);
    verify(http, proof)
        .await
        .expect_problem(400, "invalid_code");
}

async fn an_address_is_verified_by_the_link_of_the_mail_once(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    register(http, "ada", "ada@example.org").await.expect(202);
    let mail = mailbox.mail_to("ada@example.org", 1).await;

    assert_eq!(
        mail.link(),
        format!("{}/verify#{}", http.base(), mail.secret())
    );
    // A program that follows the links of a mail uses nothing up.
    http.get("/verify").send().await.expect(200);
    http.request("HEAD", "/verify").send().await.expect(200);
    verify(http, json!({"link": "wrong"}))
        .await
        .expect_problem(400, "invalid_code");
    let both = json!({"link": mail.secret(), "code": mail.code()});
    verify(http, both)
        .await
        .expect_problem(400, "validation_failed");
    verify(http, json!({"link": mail.secret()}))
        .await
        .expect(204);
    let again = verify(http, json!({"link": mail.secret()})).await;
    again.expect_problem(400, "invalid_code");
}

async fn only_a_verified_address_logs_in(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    register(http, "ada", "ada@example.org").await.expect(202);
    let by_address = ada(http, "ada@example.org");

    let refused = by_address.try_login(PASSWORD).await;
    refused.expect_problem(401, "invalid_credentials");
    ada(http, "ada").login().await;
    let mail = mailbox.mail_to("ada@example.org", 1).await;
    verify(http, json!({"link": mail.secret()}))
        .await
        .expect(204);
    by_address.login().await;
    let wrong = by_address.try_login("a long password of eve").await;
    wrong.expect_problem(401, "invalid_credentials");
}

async fn a_known_address_gets_the_same_response_and_its_owner_a_mail(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    verified(http, &mailbox, "ada", "ada@example.org").await;

    let known = register(http, "eve", "ada@example.org").await.expect(202);
    let unknown = register(http, "bob", "bob@example.org").await.expect(202);

    let members = |answer: &HttpResponse| {
        let body = answer.json();
        let body = body.as_object().expect("an object");
        body.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(members(&known), members(&unknown));
    assert_eq!(known.field("request").len(), unknown.field("request").len());
    // Neither by a login nor by a list can the stranger find out.
    let eve = ada(http, "eve").login().await;
    let emails = emails_of(&eve).await;
    assert_eq!(emails[0]["verified"], false);
    let notice = mailbox.mail_to("ada@example.org", 2).await;
    assert!(!notice.text.contains("eve"), "{}", notice.text);
    assert!(!notice.text.contains('#'), "{}", notice.text);
    let guess = json!({"request": known.field("request"), "code": "000000"});
    verify(http, guess)
        .await
        .expect_problem(400, "invalid_code");
}

async fn an_unverified_claim_blocks_no_one_and_ends_when_the_owner_verifies(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    register(http, "squatter", "ada@example.org")
        .await
        .expect(202);
    let earlier = mailbox.mail_to("ada@example.org", 1).await;

    verified(http, &mailbox, "ada", "ada@example.org").await;

    let late = verify(http, json!({"link": earlier.secret()})).await;
    late.expect_problem(400, "invalid_code");
    let squatter = ada(http, "squatter").login().await;
    assert_eq!(emails_of(&squatter).await, json!([]));
    ada(http, "ada@example.org").login().await;
}

async fn a_code_is_valid_with_its_own_request_and_for_five_guesses_in_all(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let first = register(http, "ada", "ada@example.org").await.expect(202);
    let mail = mailbox.mail_to("ada@example.org", 1).await;
    let session = ada(http, "ada").login().await;
    let second = add_email(&session, "ada@example.org").await.expect(202);
    let newer = mailbox.mail_to("ada@example.org", 2).await;
    let guess = async |answer: &HttpResponse, code: &str| {
        verify(
            http,
            json!({"request": answer.field("request"), "code": code}),
        )
        .await
    };
    let wrong = if mail.code() == "111111" {
        "222222"
    } else {
        "111111"
    };
    let wrong = if newer.code() == wrong {
        "333333"
    } else {
        wrong
    };

    for request in [&first, &second, &first, &second, &first] {
        guess(request, wrong)
            .await
            .expect_problem(400, "invalid_code");
    }

    let right = guess(&first, &mail.code()).await;
    right.expect_problem(400, "invalid_code");
    let right = guess(&second, &newer.code()).await;
    right.expect_problem(400, "invalid_code");
    // A third request gives no more guesses, and the link of a mail stays valid.
    let third = add_email(&session, "ada@example.org").await.expect(202);
    let newest = mailbox.mail_to("ada@example.org", 3).await;
    let right = guess(&third, &newest.code()).await;
    right.expect_problem(400, "invalid_code");
    verify(http, json!({"link": newest.secret()}))
        .await
        .expect(204);
}

async fn the_primary_address_receives_notices(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let ada = verified(http, &mailbox, "ada", "old@example.org").await;
    let session = ada.login().await;

    add_email(&session, "new@example.org").await.expect(202);
    let mail = mailbox.mail_to("new@example.org", 1).await;
    verify(http, json!({"link": mail.secret()}))
        .await
        .expect(204);

    let added = mailbox.mail_to("old@example.org", 2).await;
    assert!(added.text.contains("new@example.org"), "{}", added.text);
    let emails = emails_of(&session).await;
    assert_eq!(emails[0]["primary"], true);
    let path = format!(
        "/v1/me/emails/{}/primary",
        emails[1]["id"].as_str().expect("an id")
    );
    let made = http.post(&path).bearer(&session.access).send().await;
    made.expect(204);
    let changed = mailbox.mail_to("old@example.org", 3).await;
    assert!(changed.text.contains("new@example.org"), "{}", changed.text);
    let body = json!({"current_password": PASSWORD, "new_password": "another long pass phrase"});
    let change = http.post("/v1/me/password").bearer(&session.access);
    change.json(&body).send().await.expect(200);
    mailbox.mail_to("new@example.org", 2).await;
    assert_eq!(mailbox.mails_to("old@example.org").len(), 3);
}

async fn an_address_is_added_by_a_fresh_token_and_belongs_to_its_user(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let ada = verified(http, &mailbox, "ada", "ada@example.org").await;
    let session = ada.login().await;
    let bob = verified(http, &mailbox, "bob", "bob@example.org").await;
    let bob = bob.login().await;
    let id = emails_of(&session).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let own = format!("/v1/me/emails/{id}");
    for path in [own.as_str(), "/v1/me/emails/none"] {
        let refused = http.delete(path).bearer(&bob.access).send().await;
        refused.expect_problem(404, "not_found");
    }
    let path = format!("{own}/primary");
    let refused = http.post(&path).bearer(&bob.access).send().await;
    refused.expect_problem(404, "not_found");
    let again = add_email(&session, "ADA@example.org").await;
    again.expect_problem(409, "conflict");
    let malformed = add_email(&session, "ada@example.org,eve@example.org").await;
    malformed.expect_problem(400, "validation_failed");

    let refreshed = session.rotate().await;
    let stale = add_email(&refreshed, "other@example.org").await;
    stale.expect_problem(401, "fresh_token_required");
    let stale = http.delete(&own).bearer(&refreshed.access).send().await;
    stale.expect_problem(401, "fresh_token_required");
    assert!(mailbox.mails_to("other@example.org").is_empty());
}

async fn a_removed_address_voids_its_mails(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let by_address = ada(http, "ada@example.org");
    let session = verified(http, &mailbox, "ada", "ada@example.org").await;
    let session = session.login().await;
    let forgot = json!({"email": "ada@example.org"});
    http.post("/v1/password/forgot")
        .json(&forgot)
        .send()
        .await
        .expect(202);
    let reset = mailbox.mail_to("ada@example.org", 2).await;

    let id = emails_of(&session).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/v1/me/emails/{id}");
    http.delete(&path)
        .bearer(&session.access)
        .send()
        .await
        .expect(204);

    let body = json!({"link": reset.secret(), "password": "another long pass phrase"});
    let late = http.post("/v1/password/reset").json(&body).send().await;
    late.expect_problem(404, "not_found");
    let refused = by_address.try_login(PASSWORD).await;
    refused.expect_problem(401, "invalid_credentials");
    mailbox.mail_to("ada@example.org", 3).await;
}

async fn a_verified_address_wins_over_a_user_name_of_the_same_spelling(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let legacy = http.person("ada@example.org").await;
    legacy.login().await;

    verified(http, &mailbox, "ada", "ada@example.org").await;

    ada(http, "ada@example.org").login().await;
    let refused = legacy.try_login(&legacy.password).await;
    refused.expect_problem(401, "invalid_credentials");
}

async fn mails_to_one_address_are_limited(backend: Backend) {
    let backend = backend.with("LATCHET_THROTTLE_MAIL", "3/1h");
    let (server, mailbox) = start(&backend).await;
    let forgot = async |email: &str| {
        let body = json!({"email": email});
        server
            .http
            .post("/v1/password/forgot")
            .json(&body)
            .send()
            .await
    };

    for _ in 0..3 {
        forgot("nobody@example.org").await.expect(202);
    }

    let refused = forgot("Nobody@EXAMPLE.org").await;
    refused.expect_problem(429, "too_many_requests");
    forgot("other@example.org").await.expect(202);
    assert!(mailbox.mails_to("nobody@example.org").is_empty());
}

async fn a_registration_that_fails_uses_up_no_mail_of_the_address(backend: Backend) {
    let backend = backend.with("LATCHET_THROTTLE_MAIL", "3/1h");
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    verified(http, &mailbox, "ada", "ada@example.org").await;

    for _ in 0..4 {
        let taken = register(http, "ada", "ada@example.org").await;
        taken.expect_problem(409, "conflict");
    }

    let body = json!({"email": "ada@example.org"});
    let forgot = http.post("/v1/password/forgot").json(&body).send().await;
    forgot.expect(202);
    mailbox.mail_to("ada@example.org", 2).await;
}

async fn an_address_that_is_not_added_uses_up_no_mail_of_its_owner(backend: Backend) {
    let backend = backend
        .with("LATCHET_THROTTLE_MAIL", "3/1h")
        .with("LATCHET_THROTTLE_MAIL_IP", "100/1h");
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    verified(http, &mailbox, "ada", "ada@example.org").await;
    let eve = http.person("eve").await.login().await;
    for number in 0..10 {
        let address = format!("eve{number}@example.org");
        add_email(&eve, &address).await.expect(202);
    }

    for _ in 0..4 {
        let eleventh = add_email(&eve, "ada@example.org").await;
        eleventh.expect_problem(409, "conflict");
    }

    let body = json!({"email": "ada@example.org"});
    let forgot = http.post("/v1/password/forgot").json(&body).send().await;
    forgot.expect(202);
}

async fn the_throttle_does_not_show_which_account_has_an_address(backend: Backend) {
    let backend = backend.with("LATCHET_THROTTLE_ACCOUNT_IP", "3/15m");
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    verified(http, &mailbox, "bob", "bob@example.org").await;
    verified(http, &mailbox, "ada", "ada@example.org").await;
    let guess = async |name: &str| {
        ada(http, name)
            .try_login("a wrong long password")
            .await
            .status
    };

    // Whether an account has the address makes no difference for another spelling of it.
    for address in ["ada@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            assert_eq!(guess(address).await, 401, "{address}");
        }
        let shouted = address.to_uppercase();
        for spelling in [format!(" {address}"), shouted] {
            assert_eq!(guess(&spelling).await, 429, "{spelling}");
        }
    }
    // Nor does a name that is throttled.
    for _ in 0..3 {
        assert_eq!(guess("bob").await, 401);
    }
    assert_eq!(guess("bob").await, 429);
    assert_eq!(guess("bob@example.org").await, 401);
}

async fn the_mail_names_the_account_and_links_nothing_else(backend: Backend) {
    let (server, mailbox) = start(&backend).await;

    let name = "http://evil.example/x";
    register(&server.http, name, "ada@example.org")
        .await
        .expect(202);

    let mail = mailbox.mail_to("ada@example.org", 1).await;
    assert!(!mail.text.contains(name), "{}", mail.text);
    assert!(
        mail.text.contains("http[:][/][/]evil[.]example[/]x"),
        "{}",
        mail.text
    );
}

async fn a_failed_login_by_an_address_logs_the_domain_alone(backend: Backend) {
    let server = Replica::start(&backend).await;

    let refused = ada(&server.http, "zara.unique@example.org")
        .try_login(PASSWORD)
        .await;
    refused.expect_problem(401, "invalid_credentials");

    let log = server.log().await;
    assert!(!log.contains("zara.unique"), "{log}");
    assert!(log.contains("@example.org"), "{log}");
}

async fn where_mail_is_off_the_routes_say_so(backend: Backend) {
    let backend = backend.with("LATCHET_MAIL", "off");
    let (server, _) = start(&backend).await;
    let http = &server.http;
    let bob = http.person("bob").await.login().await;

    let body = json!({"email": "ada@example.org"});
    let forgot = http.post("/v1/password/forgot").json(&body).send().await;
    forgot.expect_problem(404, "not_found");
    register(http, "ada", "ada@example.org")
        .await
        .expect_problem(404, "not_found");
    add_email(&bob, "bob@example.org")
        .await
        .expect_problem(404, "not_found");
    let plain = json!({"username": "ada", "password": PASSWORD});
    http.post("/v1/register")
        .json(&plain)
        .send()
        .await
        .expect(201);
    let options = http.get("/v1/sign-in-options").send().await.expect(200);
    assert_eq!(options.json(), json!({"registration": true, "mail": false}));
}

async fn links_start_with_the_public_url(backend: Backend) {
    let backend = backend
        .with("LATCHET_PUBLIC_URL", "https://auth.example.org")
        .with("LATCHET_MAIL", "log");
    let (server, mailbox) = start(&backend).await;
    let body = json!({"username": "ada", "password": PASSWORD, "email": "ada@example.org"});

    let request = server.http.post("/v1/register").json(&body);
    let request = request
        .header("host", "evil.example")
        .header("forwarded", "host=evil.example;proto=https")
        .header("x-forwarded-host", "evil.example")
        .header("accept-language", "de");
    request.send().await.expect(202);

    let mail = mailbox.mail_to("ada@example.org", 1).await;
    let expected = format!("https://auth.example.org/verify#{}", mail.secret());
    assert_eq!(mail.link(), expected);
    assert!(!mail.text.contains("evil"), "{}", mail.text);
    assert!(mail.text.contains("Sie"), "{}", mail.text);
}

async fn a_mail_waits_for_a_server_that_was_killed(backend: Backend) {
    let backend = backend
        .with("LATCHET_REGISTRATION", "open")
        .with("LATCHET_SMTP_URL", "smtp://127.0.0.1:9?tls=none")
        .with("LATCHET_MAIL_FROM", "latchet@example.org");
    let server = Replica::start(&backend).await;
    register(&server.http, "ada", "ada@example.org")
        .await
        .expect(202);
    server.kill();

    let backend = backend.with("LATCHET_MAIL", "log");
    let server = Replica::start(&backend).await;

    let mail = Mailbox::of(&backend).mail_to("ada@example.org", 1).await;
    verify(&server.http, json!({"link": mail.secret()}))
        .await
        .expect(204);
}
