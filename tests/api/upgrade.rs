//! Upgrades: data of earlier schemas, databases of later ones, and servers that run meanwhile.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::Backend;
use crate::support::client::{Person, Session};
use crate::support::http::Http;
use crate::support::server::{Replica, run};

mod fixture;
mod guide;
mod migrations;
mod newer_schema;

use fixture::{Fixture, KnownSession, LoadedFixture};

/// Runs each test, an `async fn` that takes a [`LoadedFixture`], on every fixture of both databases.
macro_rules! on_every_fixture {
    ($($test:ident),+ $(,)?) => {
        mod of_every_schema {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                for fixture in crate::upgrade::Fixture::all() {
                    super::$test(fixture.load()).await;
                }
            })+
        }
    };
}

on_every_fixture! {
    a_migration_keeps_every_value_of_every_table,
    users_log_in_with_their_passwords_and_roles,
    live_sessions_continue_and_ended_ones_stay_ended,
    signing_keys_and_reset_links_still_work,
}

#[test]
fn the_newest_schema_has_fixtures() {
    let newest = migration::known_migrations().pop().unwrap();
    let number = newest[1..].split('_').next().unwrap().to_owned();

    for kind in ["sqlite", "postgres"] {
        let name = format!("schema-{number}-{kind}");
        assert!(
            Fixture::all().iter().any(|fixture| fixture.name == name),
            "tests/fixtures/{name}.sql is missing: {newest} is new. Create it by \
             `cargo build && scripts/schema-fixture target/debug/latchet`, and keep the older ones"
        );
    }
}

#[test]
fn an_earlier_schema_has_fixtures() {
    let newest = migration::known_migrations().len();
    let earlier = |kind: &str| -> Vec<usize> {
        let fixtures = Fixture::all().into_iter();
        let mut schemas: Vec<usize> = fixtures
            .filter(|fixture| fixture.name.ends_with(kind))
            .map(|fixture| fixture.migrations())
            .filter(|migrations| *migrations < newest)
            .collect();
        schemas.sort_unstable();
        schemas
    };

    assert_eq!(earlier("sqlite"), [4, 7, 8]);
    assert_eq!(earlier("postgres"), [4, 7, 8], "of the same schemas");
}

async fn a_migration_keeps_every_value_of_every_table(fixture: LoadedFixture) {
    let columns = fixture.columns();
    assert!(columns.len() >= 10, "{columns:?}");
    let before = fixture.rows(&columns);

    run(&fixture.backend, &["migrate"]);

    for ((table, _), (before, after)) in columns
        .iter()
        .zip(before.iter().zip(fixture.rows(&columns)))
    {
        let kept = match (table.as_str(), fixture.migrations()) {
            // Their creators were not stored, so m0006 ends them.
            ("reset_links", ..6) => "",
            _ => before.as_str(),
        };
        assert_eq!(kept, after, "{}: {table}", fixture.name);
        let may_be_empty = ["setup_links", "access_lifetimes"].contains(&table.as_str());
        assert!(may_be_empty || !before.is_empty(), "{table} has no data");
    }
    let missing = migration::known_migrations().len() - fixture.migrations();
    let migrated = fixture.value("SELECT count(*) FROM seaql_migrations");
    assert_eq!(migrated, (fixture.migrations() + missing).to_string());
}

async fn users_log_in_with_their_passwords_and_roles(fixture: LoadedFixture) {
    let server = Replica::start(&fixture.backend).await;

    for user in &fixture.known.users {
        let person = Person {
            http: server.http.clone(),
            name: user.name.clone(),
            password: user.password.clone(),
        };
        let answer = person.try_login(&user.password).await;
        if user.disabled {
            answer.expect_problem(401, "invalid_credentials");
            continue;
        }
        let session = Session::of(server.http.clone(), &answer.expect(200));
        let account = session.check().await.expect(200).json();
        assert_eq!(account["roles"], json!(user.roles), "{user:?}");
    }
}

async fn refresh(http: &Http, session: &KnownSession) -> crate::support::http::HttpResponse {
    let body = json!({"refresh_token": session.refresh_token});
    http.post("/v1/refresh").json(&body).send().await
}

async fn live_sessions_continue_and_ended_ones_stay_ended(fixture: LoadedFixture) {
    let server = Replica::start(&fixture.backend).await;

    for session in &fixture.known.sessions.live {
        let answer = refresh(&server.http, session).await.expect(200);
        let next = Session::of(server.http.clone(), &answer);
        assert_eq!(next.id, session.id);
        next.check().await.expect(200);
        let next = next.rotate().await;
        next.logout().await.expect(204);
        next.refresh().await.expect(401);
    }
    let sessions = &fixture.known.sessions;
    for session in sessions.ended.iter().chain(&sessions.expired) {
        let answer = refresh(&server.http, session).await;
        assert_eq!(answer.status, 401, "{session:?}: {}", answer.text);
    }
}

async fn signing_keys_and_reset_links_still_work(fixture: LoadedFixture) {
    let server = Replica::start(&fixture.backend).await;

    let keys = server.http.get("/.well-known/jwks.json").send().await;
    let keys = keys.expect(200).json()["keys"].clone();
    let ids: BTreeSet<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect();
    let before: BTreeSet<_> = fixture.known.key_ids.iter().cloned().collect();
    assert_eq!(ids, before, "{}", fixture.name);

    let link = &fixture.known.reset_link;
    let password = "another long password, set by a link";
    let body = json!({"link": link.secret, "password": password});
    let answer = server
        .http
        .post("/v1/password/reset")
        .json(&body)
        .send()
        .await;
    if fixture.migrations() < 6 {
        assert_ne!(answer.status, 204, "m0006 has ended it");
        return;
    }
    answer.expect(204);
    let person = Person {
        http: server.http.clone(),
        name: link.user.clone(),
        password: password.to_owned(),
    };
    person.login().await;
}

/// Returns a backend without the administrator of other tests.
fn without_administrator(backend: Backend) -> Backend {
    backend
        .without("LATCHET_BOOTSTRAP_ADMIN")
        .without("LATCHET_BOOTSTRAP_ADMIN_PASSWORD_FILE")
}
