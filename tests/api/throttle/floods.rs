//! Floods of wrong logins: their cost, and the requests that they must not delay.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tokio::task::JoinSet;

use super::{WRONG, behind_a_proxy, login_from};
use crate::support::client::Person;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

/// Connections of a flood.
const CROWD: usize = 200;

on_both! {
    refused_logins_write_nothing,
    a_flood_from_one_address_delays_no_other_login,
    a_flood_from_many_addresses_delays_no_other_login,
}

/// The database of a server, which from now on records what is written about throttles.
struct Recorded(DatabaseConnection);

impl Recorded {
    async fn begin(backend: &Backend) -> Self {
        let database = backend.connect().await;
        let triggers: &[&str] = match database.get_database_backend() {
            DbBackend::Postgres => &[
                "CREATE TABLE written (n int)",
                "CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN INSERT INTO written VALUES (1); RETURN NULL; END $$",
                "CREATE TRIGGER recorded AFTER INSERT OR UPDATE OR DELETE ON throttles
                    FOR EACH ROW EXECUTE FUNCTION record()",
            ],
            _ => &[
                "CREATE TABLE written (n int)",
                "CREATE TRIGGER inserted AFTER INSERT ON throttles
                    BEGIN INSERT INTO written VALUES (1); END",
                "CREATE TRIGGER updated AFTER UPDATE ON throttles
                    BEGIN INSERT INTO written VALUES (1); END",
            ],
        };
        for sql in triggers {
            database.execute_unprepared(sql).await.unwrap();
        }
        Self(database)
    }

    async fn writes(&self) -> i64 {
        let backend = self.0.get_database_backend();
        let count = Statement::from_string(backend, "SELECT count(*) AS n FROM written");
        let row = self.0.query_one_raw(count).await.unwrap().unwrap();
        row.try_get("", "n").unwrap()
    }
}

/// Guesses at once on so many connections, each of them twice, and returns the statuses.
async fn flood(person: &Person, address: impl Fn(usize) -> String) -> Vec<u16> {
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let (person, address) = (person.clone(), address(number));
        crowd.spawn(async move {
            let first = login_from(&person, WRONG, &address).await.status;
            [first, login_from(&person, WRONG, &address).await.status]
        });
    }
    crowd.join_all().await.into_iter().flatten().collect()
}

async fn refused_logins_write_nothing(backend: Backend) {
    let server = InProcessServer::start(&behind_a_proxy(&backend)).await;
    let alice = server.http.person("alice").await;
    let recorded = Recorded::begin(&backend).await;
    for _ in 0..10 {
        login_from(&alice, WRONG, "198.51.100.1").await.expect(401);
    }
    let before = recorded.writes().await;
    assert!(
        before >= 60,
        "each takes three places and keeps them: {before}"
    );

    let statuses = flood(&alice, |_| "198.51.100.1".to_owned()).await;

    assert_eq!(statuses, [429; 2 * CROWD]);
    assert_eq!(recorded.writes().await, before);
}

async fn a_flood_from_one_address_delays_no_other_login(backend: Backend) {
    let server = InProcessServer::start(&behind_a_proxy(&backend)).await;
    keeps_nobody_else_out(&server, |_| "198.51.100.1".to_owned()).await;
}

async fn a_flood_from_many_addresses_delays_no_other_login(backend: Backend) {
    let server = InProcessServer::start(&behind_a_proxy(&backend)).await;
    keeps_nobody_else_out(&server, |number| format!("198.51.100.{}", number % 64)).await;
}

async fn keeps_nobody_else_out(server: &InProcessServer, address: fn(usize) -> String) {
    let alice = server.http.person("alice").await;
    let mut session = server.http.person("bob").await.login().await;
    let carol = server.http.person("carol").await;
    let flooded = alice.clone();
    let mut flooding = JoinSet::new();
    flooding.spawn(async move { flood(&flooded, address).await });

    let statuses = loop {
        if let Some(statuses) = flooding.try_join_next() {
            break statuses.unwrap();
        }
        session = session.rotate().await;
        session.check().await.expect(200);
        login_from(&carol, &carol.password, "203.0.113.7")
            .await
            .expect(200);
    };

    let guesses = statuses.iter().filter(|status| **status == 401).count();
    assert!(guesses <= 30, "{guesses} guesses at one account");
    let refused = |status: &u16| [401, 429, 503].contains(status);
    assert!(statuses.iter().all(refused), "{statuses:?}");
}
