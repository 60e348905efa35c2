//! The connection that checks use while others are created and dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Token;
use super::redis_server::RedisServer;
use crate::denylist::trust::SqlAuthority;
use latchet_guard::clock::Clock;
use latchet_guard::denylist::redis::{Distrust, InspectedConnection, RedisHandle};

fn handle(server: &RedisServer) -> RedisHandle<SqlAuthority> {
    let url = server.url().parse().unwrap();
    RedisHandle::new(url, Clock::system(), SqlAuthority::default())
}

fn uses(handle: &RedisHandle<SqlAuthority>, this: &Arc<InspectedConnection>) -> bool {
    handle
        .current()
        .is_some_and(|used| Arc::ptr_eq(&used, this))
}

async fn is_notified_of_a_drop(handle: &RedisHandle<SqlAuthority>) -> bool {
    timeout(Duration::ZERO, handle.connection_dropped())
        .await
        .is_ok()
}

#[tokio::test]
async fn failure_of_a_replaced_connection_is_ignored() {
    let redis = RedisServer::start();
    let handle = handle(&redis);
    let old = handle.connect().await.unwrap();
    let new = handle.connect().await.unwrap();

    handle.reinspect(&old).await.unwrap();
    assert!(uses(&handle, &new));
    handle.drop_connection(&old);
    assert!(uses(&handle, &new));
    let inspected = handle.reinspect(&new).await.unwrap();
    assert!(uses(&handle, &inspected));
    handle.drop_connection(&new);
    assert!(handle.current().is_none());
}

#[tokio::test]
async fn without_a_connection_redis_is_not_trusted() {
    let redis = RedisServer::start();
    let handle = handle(&redis);
    let valid = Token::valid();

    assert_eq!(handle.distrust(), Some(Distrust::NotConnected));
    let status = handle.status(valid.ids(), Clock::system().now()).await;
    assert_eq!(status, Err(Distrust::NotConnected));
}

#[tokio::test]
async fn a_dropped_connection_leaves_no_task() {
    let redis = RedisServer::start();
    let handle = handle(&redis);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let current = handle.connect().await.unwrap();
    assert!(tasks() > before);

    handle.drop_connection(&current);
    drop(current);

    let deadline = Instant::now() + Duration::from_secs(20);
    while tasks() > before {
        assert!(Instant::now() < deadline, "{} tasks go on", tasks());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn dropping_a_connection_notifies_the_watching_task() {
    let mut redis = RedisServer::start();
    let handle = handle(&redis);
    let current = handle.connect().await.unwrap();
    handle.reinspect(&current).await.unwrap();
    assert!(!is_notified_of_a_drop(&handle).await);

    redis.kill();
    handle.reinspect(&current).await.unwrap_err();

    assert!(handle.current().is_none());
    assert!(is_notified_of_a_drop(&handle).await);
}
