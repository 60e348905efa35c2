//! Deletion of accounts, by their users and by administrators, and the export of what is kept.

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::support::client::{Person, Session};
use crate::support::http::Http;
use crate::support::local::InProcessServer;
use crate::support::mailbox::Mailbox;
use crate::support::poll;
use crate::support::server::run;
use crate::support::{Backend, on_both};

on_both! {
    a_user_deletes_the_own_account_and_nothing_of_it_remains,
    a_deletion_takes_effect_at_the_next_request,
    an_administrator_deletes_users_but_not_the_last_administrator,
    a_deletion_needs_a_fresh_token,
    the_command_deletes_an_account,
    an_export_contains_what_is_kept,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_sqlite_contain_nothing_of_a_deleted_account() {
    let backend = Backend::sqlite();
    let (server, mailbox) = start(&backend).await;
    let session = ada(&server.http, &mailbox).await.login().await;
    let folder = std::path::PathBuf::from(&backend.settings()["LATCHET_DATA_DIR"]);
    let files_with = |text: &str| {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).expect("the folder is ours") {
            let path = entry.expect("the folder is ours").path();
            let Ok(bytes) = std::fs::read(&path) else {
                continue;
            };
            if bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                found.push(path);
            }
        }
        found
    };
    assert!(!files_with("ada.l@example.org").is_empty());

    delete(&session, "/v1/me").await.expect(204);

    poll::until_some("the journal to be empty", async || {
        files_with("ada.l@example.org").is_empty().then_some(())
    })
    .await;
    mailbox.mail_to("ada.l@example.org", 2).await;
    assert_eq!(
        files_with("ada.l@example.org"),
        Vec::<std::path::PathBuf>::new()
    );
}

const PASSWORD: &str = "a long password of ada";

/// Registers an account with a verified address.
async fn ada(http: &Http, mailbox: &Mailbox) -> Person {
    let body = json!({"username": "ada", "password": PASSWORD, "email": "ada.l@example.org"});
    http.post("/v1/register")
        .json(&body)
        .send()
        .await
        .expect(202);
    let mail = mailbox.mail_to("ada.l@example.org", 1).await;
    let proof = json!({"link": mail.secret()});
    http.post("/v1/email/verify")
        .json(&proof)
        .send()
        .await
        .expect(204);
    Person {
        http: http.clone(),
        name: "ada".to_owned(),
        password: PASSWORD.to_owned(),
    }
}

async fn start(backend: &Backend) -> (InProcessServer, Mailbox) {
    let backend = backend.clone().with("LATCHET_REGISTRATION", "open");
    (
        InProcessServer::start(&backend).await,
        Mailbox::of(&backend),
    )
}

async fn delete(session: &Session, path: &str) -> crate::support::http::HttpResponse {
    session
        .http
        .delete(path)
        .bearer(&session.access)
        .send()
        .await
}

/// Returns the tables in which a text occurs.
async fn tables_with(backend: &Backend, text: &str) -> Vec<&'static str> {
    let db = backend.connect().await;
    let mut found = Vec::new();
    for (table, columns) in [
        ("users", "username, username_key"),
        ("emails", "address, address_key, user_id"),
        ("sessions", "user_id, user_agent"),
        ("codes", "user_id"),
        ("reset_links", "user_id, made_by"),
        ("events", "kind, ip"),
    ] {
        let text = text.replace('\'', "''");
        let matches: Vec<String> = columns
            .split(", ")
            .map(|column| format!("{column} LIKE '%{text}%'"))
            .collect();
        let sql = format!(
            "SELECT 1 AS n FROM {table} WHERE {} LIMIT 1",
            matches.join(" OR ")
        );
        let query = sea_orm::Statement::from_string(db.get_database_backend(), sql);
        if db
            .query_one_raw(query)
            .await
            .expect("the database answers")
            .is_some()
        {
            found.push(table);
        }
    }
    found
}

async fn a_user_deletes_the_own_account_and_nothing_of_it_remains(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let person = ada(http, &mailbox).await;
    let session = person.login().await;
    let add = json!({"email": "ada.second@example.org"});
    let add = http
        .post("/v1/me/emails")
        .bearer(&session.access)
        .json(&add);
    add.send().await.expect(202);
    let id = session.user_id();
    assert!(!tables_with(&backend, &id).await.is_empty());

    delete(&session, "/v1/me").await.expect(204);

    for text in ["ada.l@", "ada.second@", &id] {
        assert_eq!(
            tables_with(&backend, text).await,
            Vec::<&str>::new(),
            "{text}"
        );
    }
    person
        .try_login(PASSWORD)
        .await
        .expect_problem(401, "invalid_credentials");
    let notice = mailbox.mail_to("ada.l@example.org", 2).await;
    assert!(!notice.text.contains('#'), "{}", notice.text);
    // Name and address are free again.
    let again = json!({"username": "ada", "password": PASSWORD, "email": "ada.l@example.org"});
    http.post("/v1/register")
        .json(&again)
        .send()
        .await
        .expect(202);
    let fresh = person.login().await;
    assert_ne!(fresh.user_id(), id);
    let events = http.admin().login().await;
    let events = http
        .get("/v1/events")
        .bearer(&events.access)
        .send()
        .await
        .expect(200);
    assert!(events.text.contains("user_deleted"), "{}", events.text);
}

async fn a_deletion_takes_effect_at_the_next_request(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let person = ada(&server.http, &mailbox).await;
    let (here, elsewhere) = (person.login().await, person.login().await);

    delete(&here, "/v1/me").await.expect(204);

    for session in [&here, &elsewhere] {
        let refused = session.check().await;
        assert_eq!(refused.status, 401, "{}", refused.text);
        session
            .refresh()
            .await
            .expect_problem(401, "session_expired");
    }
}

async fn an_administrator_deletes_users_but_not_the_last_administrator(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let user = ada(http, &mailbox).await.login().await;
    let admin = http.admin().login().await;
    let path = |session: &Session| format!("/v1/users/{}", session.user_id());

    let refused = delete(&user, &path(&admin)).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    delete(&admin, &path(&admin))
        .await
        .expect_problem(409, "conflict");
    delete(&admin, "/v1/me")
        .await
        .expect_problem(409, "conflict");
    delete(&admin, &path(&user)).await.expect(204);
    delete(&admin, &path(&user))
        .await
        .expect_problem(404, "not_found");
    let other = http.administrator("other").await.login().await;
    delete(&other, &path(&admin)).await.expect(204);
    assert_eq!(admin.check().await.status, 401);
    delete(&other, "/v1/me")
        .await
        .expect_problem(409, "conflict");
}

async fn a_deletion_needs_a_fresh_token(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let session = ada(&server.http, &mailbox).await.login().await;
    let refreshed = session.rotate().await;

    delete(&refreshed, "/v1/me")
        .await
        .expect_problem(401, "fresh_token_required");

    refreshed.check().await.expect(200);
}

async fn the_command_deletes_an_account(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let person = server.http.person("ada").await;
    server.stop().await;

    assert_eq!(
        run(&backend, &["user", "delete", "ada"]),
        "Deleted user ada.\n"
    );

    let server = InProcessServer::start(&backend).await;
    let person = person.at(&server.http);
    let password = person.password.clone();
    person
        .try_login(&password)
        .await
        .expect_problem(401, "invalid_credentials");
}

async fn an_export_contains_what_is_kept(backend: Backend) {
    let (server, mailbox) = start(&backend).await;
    let http = &server.http;
    let session = ada(http, &mailbox).await.login().await;
    let bob = http.person("bob").await.login().await;

    let admin = http.admin().login().await;
    let link = format!("/v1/users/{}/reset-link", session.user_id());
    let made = http.post(&link).bearer(&admin.access).send().await;
    made.expect(201);

    let export = http
        .get("/v1/me/export")
        .bearer(&session.access)
        .send()
        .await;
    let export = export.expect(200);

    let data = export.json();
    assert_eq!(data["user"]["username"], "ada");
    assert_eq!(data["user"]["locale"], "en");
    assert_eq!(data["emails"][0]["address"], "ada.l@example.org");
    assert_eq!(data["sessions"][0]["id"], session.id.as_str());
    let kinds: Vec<&str> = data["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["user_created", "email_verified", "reset_link_made"]);
    // The administrator is another person.
    assert_eq!(data["events"][2].get("by"), None, "{}", export.text);
    assert_eq!(data["events"][2].get("ip"), None, "{}", export.text);
    for foreign in [&bob.id, &bob.user_id()] {
        assert!(!export.text.contains(foreign.as_str()), "{}", export.text);
    }
    assert!(!export.text.contains("argon2"), "{}", export.text);
}
