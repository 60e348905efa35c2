//! A forgotten password, reset by a mail to a verified address.

use serde_json::{Value, json};

use crate::support::client::Person;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::mailbox::Mailbox;
use crate::support::poll;
use crate::support::{Backend, on_both};

on_both! {
    a_link_sets_a_new_password_once_and_starts_no_session,
    a_code_sets_a_new_password_with_its_request_alone,
    an_unknown_address_gets_the_same_response_and_no_mail,
    an_unverified_address_and_a_disabled_account_get_no_mail,
    a_new_password_voids_every_link_and_code,
    guesses_are_counted_across_requests,
    a_weak_password_uses_nothing_up,
    a_link_is_used_once_by_concurrent_requests,
    a_reset_opens_an_account_that_strangers_had_throttled,
    the_mail_is_in_the_language_of_the_account,
}

const OLD: &str = "the first long password";
const NEW: &str = "a second long password";

/// A server with mail, and an account with a verified address.
struct Fixture {
    server: InProcessServer,
    mailbox: Mailbox,
    ada: Person,
}

impl Fixture {
    async fn start(backend: &Backend) -> Self {
        let backend = backend.clone().with("LATCHET_REGISTRATION", "open");
        let server = InProcessServer::start(&backend).await;
        let mailbox = Mailbox::of(&backend);
        let body = json!({"username": "ada", "password": OLD, "email": "ada@example.org"});
        let register = server.http.post("/v1/register").json(&body);
        let register = register.header("accept-language", "de-DE");
        register.send().await.expect(202);
        let mail = mailbox.mail_to("ada@example.org", 1).await;
        let proof = json!({"link": mail.secret()});
        let verified = server.http.post("/v1/email/verify").json(&proof);
        verified.send().await.expect(204);
        let ada = Person {
            http: server.http.clone(),
            name: "ada".to_owned(),
            password: OLD.to_owned(),
        };
        Self {
            server,
            mailbox,
            ada,
        }
    }

    fn http(&self) -> &Http {
        &self.server.http
    }

    async fn forgot(&self, email: &str) -> HttpResponse {
        forgot(self.http(), email).await
    }

    /// Asks for a mail, and returns the response with the mail.
    async fn mailed(&self, number: usize) -> (HttpResponse, crate::support::mailbox::ReceivedMail) {
        let accepted = self.forgot("ada@example.org").await.expect(202);
        (
            accepted,
            self.mailbox.mail_to("ada@example.org", number).await,
        )
    }
}

async fn forgot(http: &Http, email: &str) -> HttpResponse {
    let body = json!({"email": email});
    http.post("/v1/password/forgot").json(&body).send().await
}

async fn reset(http: &Http, proof: Value, password: &str) -> HttpResponse {
    let mut body = proof;
    body["password"] = password.into();
    http.post("/v1/password/reset").json(&body).send().await
}

async fn a_link_sets_a_new_password_once_and_starts_no_session(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let http = fixture.http();
    let session = fixture.ada.login().await;
    let (_, mail) = fixture.mailed(2).await;

    assert_eq!(
        mail.link(),
        format!("{}/reset#{}", http.base(), mail.secret())
    );
    let link = json!({"link": mail.secret()});
    let user = http
        .post("/v1/password/reset/user")
        .json(&link)
        .send()
        .await;
    assert_eq!(user.expect(200).json(), json!({"username": "ada"}));
    let done = reset(http, link.clone(), NEW).await.expect(204);

    assert_eq!(done.text, "");
    assert!(done.set_cookies().is_empty());
    session.check().await.expect_problem(401, "token_outdated");
    session
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
    fixture
        .ada
        .try_login(OLD)
        .await
        .expect_problem(401, "invalid_credentials");
    fixture.ada.try_login(NEW).await.expect(200);
    reset(http, link, OLD)
        .await
        .expect_problem(404, "not_found");
    let notice = fixture.mailbox.mail_to("ada@example.org", 3).await;
    assert!(!notice.text.contains('#'), "{}", notice.text);
}

async fn a_code_sets_a_new_password_with_its_request_alone(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let http = fixture.http();
    let (first, mail) = fixture.mailed(2).await;
    let other = fixture.forgot("nobody@example.org").await.expect(202);
    let proof = |request: &HttpResponse, code: &str| json!({"request": request.field("request"), "code": code});

    let foreign = reset(http, proof(&other, &mail.code()), NEW).await;
    foreign.expect_problem(400, "invalid_code");
    let alone = reset(http, json!({"code": mail.code()}), NEW).await;
    alone.expect_problem(400, "validation_failed");
    let spaced = format!("{} {}", &mail.code()[..3], &mail.code()[3..]);
    reset(http, proof(&first, &spaced), NEW).await.expect(204);

    fixture.ada.try_login(NEW).await.expect(200);
    let again = reset(http, proof(&first, &mail.code()), OLD).await;
    again.expect_problem(400, "invalid_code");
}

async fn an_unknown_address_gets_the_same_response_and_no_mail(backend: Backend) {
    let fixture = Fixture::start(&backend).await;

    let unknown = fixture.forgot("nobody@example.org").await.expect(202);
    let (known, _) = fixture.mailed(2).await;

    let shape = |answer: &HttpResponse| {
        let body = answer.json();
        let request = body["request"].as_str().expect("a secret").len();
        let members = body.as_object().expect("an object").len();
        (members, request, body["expires_in"].clone())
    };
    assert_eq!(shape(&unknown), shape(&known));
    // The mail of the known address was written after it, so the other one has been handled.
    assert!(fixture.mailbox.mails_to("nobody@example.org").is_empty());
    let guess = json!({"request": unknown.field("request"), "code": "123456"});
    let refused = reset(fixture.http(), guess, NEW).await;
    refused.expect_problem(400, "invalid_code");
}

async fn an_unverified_address_and_a_disabled_account_get_no_mail(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let http = fixture.http();
    let body = json!({"username": "bob", "password": OLD, "email": "bob@example.org"});
    http.post("/v1/register")
        .json(&body)
        .send()
        .await
        .expect(202);
    fixture.mailbox.mail_to("bob@example.org", 1).await;
    let user = fixture.ada.login().await.user_id();
    let (_, mail) = fixture.mailed(2).await;
    let admin = http.admin().login().await;
    let path = format!("/v1/users/{user}/disable");
    http.post(&path)
        .bearer(&admin.access)
        .send()
        .await
        .expect(200);

    fixture.forgot("bob@example.org").await.expect(202);
    fixture.forgot("ada@example.org").await.expect(202);
    let late = reset(http, json!({"link": mail.secret()}), NEW).await;
    late.expect_problem(404, "not_found");
    let path = format!("/v1/users/{user}/enable");
    http.post(&path)
        .bearer(&admin.access)
        .send()
        .await
        .expect(200);

    fixture.mailed(3).await;
    assert_eq!(fixture.mailbox.mails_to("bob@example.org").len(), 1);
}

async fn a_new_password_voids_every_link_and_code(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let http = fixture.http();
    let session = fixture.ada.login().await;
    let (request, first) = fixture.mailed(2).await;
    let (_, second) = fixture.mailed(3).await;
    let add = json!({"email": "new@example.org"});
    let add = http
        .post("/v1/me/emails")
        .bearer(&session.access)
        .json(&add);
    add.send().await.expect(202);
    let added = fixture.mailbox.mail_to("new@example.org", 1).await;

    let body = json!({"current_password": OLD, "new_password": NEW});
    let change = http.post("/v1/me/password").bearer(&session.access);
    change.json(&body).send().await.expect(200);

    for link in [&first, &second] {
        let late = reset(http, json!({"link": link.secret()}), OLD).await;
        late.expect_problem(404, "not_found");
    }
    let code = json!({"request": request.field("request"), "code": first.code()});
    reset(http, code, OLD)
        .await
        .expect_problem(400, "invalid_code");
    let proof = json!({"link": added.secret()});
    let late = http.post("/v1/email/verify").json(&proof).send().await;
    late.expect_problem(400, "invalid_code");
}

async fn guesses_are_counted_across_requests(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let http = fixture.http();
    let (first, mail) = fixture.mailed(2).await;
    let wrong = if mail.code() == "111111" {
        "222222"
    } else {
        "111111"
    };
    for _ in 0..5 {
        let guess = json!({"request": first.field("request"), "code": wrong});
        reset(http, guess, NEW)
            .await
            .expect_problem(400, "invalid_code");
    }

    let (second, newer) = fixture.mailed(3).await;
    let right = json!({"request": second.field("request"), "code": newer.code()});
    reset(http, right, NEW)
        .await
        .expect_problem(400, "invalid_code");

    reset(http, json!({"link": newer.secret()}), NEW)
        .await
        .expect(204);
}

async fn a_weak_password_uses_nothing_up(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let http = fixture.http();
    let (request, mail) = fixture.mailed(2).await;
    let code = json!({"request": request.field("request"), "code": mail.code()});

    for proof in [json!({"link": mail.secret()}), code.clone()] {
        reset(http, proof, "password")
            .await
            .expect_problem(400, "weak_password");
    }

    reset(http, code, NEW).await.expect(204);
}

async fn a_link_is_used_once_by_concurrent_requests(backend: Backend) {
    let fixture = Fixture::start(&backend).await;
    let (_, mail) = fixture.mailed(2).await;
    let secret = mail.secret();

    let resets = (0..8).map(|number| {
        let link = json!({"link": secret});
        let password = format!("the long password number {number}");
        let http = fixture.http();
        async move { reset(http, link, &password).await.status }
    });
    let mut statuses = futures_util::future::join_all(resets).await;

    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404, 404, 404, 404, 404, 404, 404]);
}

async fn a_reset_opens_an_account_that_strangers_had_throttled(backend: Backend) {
    let backend = backend.with("LATCHET_THROTTLE_ACCOUNT_IP", "2/15m");
    let fixture = Fixture::start(&backend).await;
    for _ in 0..2 {
        let refused = fixture.ada.try_login("a wrong long password").await;
        refused.expect_problem(401, "invalid_credentials");
    }
    let refused = fixture.ada.try_login(OLD).await;
    refused.expect_problem(429, "too_many_requests");

    let (_, mail) = fixture.mailed(2).await;
    reset(fixture.http(), json!({"link": mail.secret()}), NEW)
        .await
        .expect(204);

    // A server repeats a refusal from memory for some seconds.
    poll::until_some("a login after the reset", async || {
        let answer = fixture.ada.try_login(NEW).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

async fn the_mail_is_in_the_language_of_the_account(backend: Backend) {
    let fixture = Fixture::start(&backend).await;

    let (_, mail) = fixture.mailed(2).await;

    assert!(mail.text.contains("Passwort"), "{}", mail.text);
    assert!(
        mail.headers.contains("\nAuto-Submitted: auto-generated\n"),
        "{}",
        mail.headers
    );
}
