//! `PgBouncer` between server and database.

use crate::support::Backend;
use crate::support::pgbouncer::{PgBouncer, PoolMode};
use crate::support::postgres::Postgres;
use crate::support::server::{Replica, run};

use super::{crowded, visits};

async fn people_visit(pooler: &PgBouncer) {
    let backend = crowded(Backend::at(&pooler.url()));
    run(&backend, &["migrate"]);
    let replica = Replica::start(&backend).await;
    let another = Replica::start(&backend).await;
    let alice = replica.http.person("alice").await;
    let bob = another.http.person("bob").await;

    for _ in 0..3 {
        tokio::join!(visits(&alice, 6), visits(&bob, 6));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_and_refreshes_work_through_both_modes_of_pgbouncer() {
    for (mode, connections) in [
        (PoolMode::Transaction, 3),
        (PoolMode::Transaction, 20),
        (PoolMode::Session, 40),
    ] {
        let pooler = PgBouncer::start(Postgres::shared(), mode, connections, "");

        people_visit(&pooler).await;
    }
}

/// Its settings drop what it does not know, as its manual advises for other programs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_drops_start_up_options_is_noticed() {
    let drops = "ignore_startup_parameters = extra_float_digits,options";
    let pooler = PgBouncer::start(Postgres::shared(), PoolMode::Transaction, 3, drops);

    people_visit(&pooler).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_transaction_do_not_reach_others_through_a_pooler() {
    let server = Postgres::start();
    let pooler = PgBouncer::start(&server, PoolMode::Transaction, 1, "");
    let isolation = "SET default_transaction_isolation = 'serializable'";
    let database = pooler.database();
    server.sql(
        "postgres",
        &format!("ALTER DATABASE {database} {isolation}"),
    );

    people_visit(&pooler).await;

    // The one server connection is as it was, and no statement has kept a name on it.
    let client = std::process::Command::new(crate::support::child::program("psql"))
        .args(["--no-psqlrc", "--tuples-only", "--no-align", &pooler.url()])
        .args(["--command", "SHOW statement_timeout"])
        .args(["--command", "SELECT count(*) FROM pg_prepared_statements"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(client.stdout).unwrap(), "0\n0\n");
}
