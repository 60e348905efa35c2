//! Behaviour of a server while Redis or the database fails.

use std::sync::Arc;

use sea_orm::ConnectionTrait;

use super::server::Server;
use super::{Installation, database};
use crate::server::denylist::Health;
use crate::server::store::Epoch;

#[tokio::test]
async fn with_redis_in_doubt_and_the_database_away_there_are_no_answers() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let database = database(&installation).await;

    let away = "ALTER TABLE denylist_epoch RENAME TO away";
    database.execute_unprepared(away).await.unwrap();

    process
        .until("checks to be unavailable", |health| *health == Health::Down)
        .await;
}

#[tokio::test]
async fn a_server_that_has_lost_redis_does_not_look_for_it_at_a_logout() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let mut process = installation.serve().await;
    let epoch = process.epoch().await;
    process.tasks.shutdown().await;
    let line = &process.redis().line;
    // On a slow machine the connection may have been dropped already.
    if let Some(current) = line.link() {
        line.drop_link(&current);
    }

    process.revoke().await;

    assert_ne!(process.epoch().await, epoch, "no process trusts the copy");
    assert!(line.link().is_none());
}

#[tokio::test]
async fn a_late_answer_of_sql_does_not_replace_a_newer_one() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let tool = installation.tool().await;
    let list = tool.redis();
    let older = list.read_witness().await.unwrap();
    let newer = list.read_witness().await.unwrap();

    let known = || list.witness().unwrap();
    list.take_witness(&older);
    assert!(Arc::ptr_eq(&known(), &newer));
    let newest = list.read_witness().await.unwrap();
    assert!(Arc::ptr_eq(&known(), &newest));
}

#[tokio::test]
async fn a_server_that_was_not_looked_at_for_a_while_is_before_it_takes_a_denial() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let mut process = installation.serve().await;
    let epoch = process.epoch().await;
    process.tasks.shutdown().await;
    let line = &process.redis().line;
    process
        .until("the lease to end", |_| {
            let current = line.link();
            current.is_none_or(|link| !link.standing.is_current(line.moment()))
        })
        .await;
    redis.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    redis.run::<()>(&["CONFIG", "SET", "maxmemory", "100mb"]);

    process.revoke().await;

    assert_ne!(process.epoch().await, epoch, "no process trusts the copy");
}

#[tokio::test]
async fn a_server_that_has_not_heard_from_sql_asks_it_before_it_takes_a_denial() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let mut process = installation.serve().await;
    process.tasks.shutdown().await;
    process
        .until("the lease to end", |health| *health == Health::Down)
        .await;
    let others = Epoch {
        epoch: "e".into(),
        run_id: "another server".into(),
        changed_at: process.clock.now(),
    };
    process.store.begin_epoch(&others).await.unwrap();

    process.revoke().await;

    assert_ne!(process.epoch().await, "e", "no process trusts that copy");
}
