//! Behaviour of a server while Redis or the database fails.

use std::sync::Arc;

use sea_orm::ConnectionTrait;

use super::redis_server::RedisServer;
use super::{TestInstallation, database};
use crate::denylist::DenylistHealth;
use crate::store::DenylistEpoch;

#[tokio::test]
async fn without_redis_and_sql_checks_are_unavailable() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let database = database(&installation).await;

    let away = "ALTER TABLE denylist_epoch RENAME TO away";
    database.execute_unprepared(away).await.unwrap();

    process
        .until("checks to be unavailable", |health| {
            *health == DenylistHealth::Unavailable
        })
        .await;
}

#[tokio::test]
async fn a_logout_does_not_connect_to_redis_on_a_server() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let mut process = installation.start_and_wait().await;
    let epoch = process.epoch().await;
    process.tasks.shutdown().await;
    let handle = &process.redis().handle;
    // On a slow machine the connection may have been dropped already.
    if let Some(current) = handle.current() {
        handle.drop_connection(&current);
    }

    process.revoke().await;

    assert_ne!(process.epoch().await, epoch, "no process trusts the copy");
    assert!(handle.current().is_none());
}

#[tokio::test]
async fn a_late_epoch_record_does_not_replace_a_newer_one() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let open_command_line = installation.open_command_line().await;
    let list = open_command_line.redis();
    let older = list.read_epoch_record().await.unwrap();
    let newer = list.read_epoch_record().await.unwrap();

    let known = || list.epoch_record().unwrap();
    list.handle.authority().keep_newer(&older);
    assert!(Arc::ptr_eq(&known(), &newer));
    let newest = list.read_epoch_record().await.unwrap();
    assert!(Arc::ptr_eq(&known(), &newest));
}

#[tokio::test]
async fn an_expired_inspection_is_renewed_before_a_denial_is_written() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let mut process = installation.start_and_wait().await;
    let epoch = process.epoch().await;
    process.tasks.shutdown().await;
    let handle = &process.redis().handle;
    process
        .until("the lease to end", |_| {
            let current = handle.current();
            current.is_none_or(|inspected| !inspected.server_status.is_current(handle.now()))
        })
        .await;
    redis.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    redis.run::<()>(&["CONFIG", "SET", "maxmemory", "100mb"]);

    process.revoke().await;

    assert_ne!(process.epoch().await, epoch, "no process trusts the copy");
}

#[tokio::test]
async fn an_expired_epoch_record_is_read_again_before_a_denial_is_written() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let mut process = installation.start_and_wait().await;
    process.tasks.shutdown().await;
    process
        .until("the lease to end", |health| {
            *health == DenylistHealth::Unavailable
        })
        .await;
    let others = DenylistEpoch {
        epoch: "e".into(),
        run_id: "another server".into(),
        changed_at: process.clock.now(),
    };
    process.store.begin_epoch(&others).await.unwrap();

    process.revoke().await;

    assert_ne!(process.epoch().await, "e", "no process trusts that copy");
}

#[tokio::test]
async fn the_state_of_the_connection_to_redis_is_known() {
    let mut redis = RedisServer::start();
    let with_redis = TestInstallation::on(&redis).start_and_wait().await;
    let without_redis = TestInstallation::at(None).start().await;

    assert_eq!(with_redis.denylist.is_redis_connected(), Some(true));
    assert_eq!(without_redis.denylist.is_redis_connected(), None);
    redis.kill();
    with_redis.until_distrusted("not connected").await;
    assert_eq!(with_redis.denylist.is_redis_connected(), Some(false));
}
