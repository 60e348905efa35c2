//! The connection that checks use while others are created and dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::server::Server;
use crate::clock::Clock;
use crate::denylist::redis::{Line, Link};

fn line(server: &Server) -> Line {
    Line::new(server.url().parse().unwrap(), Clock::system())
}

fn uses(line: &Line, this: &Arc<Link>) -> bool {
    line.link().is_some_and(|used| Arc::ptr_eq(&used, this))
}

async fn is_told_of_a_drop(line: &Line) -> bool {
    timeout(Duration::ZERO, line.dropped()).await.is_ok()
}

#[tokio::test]
async fn what_befalls_an_old_connection_is_nothing_to_the_one_in_use() {
    let redis = Server::start();
    let line = line(&redis);
    let old = line.connect().await.unwrap();
    let new = line.connect().await.unwrap();

    line.inspect_again(&old).await.unwrap();
    assert!(uses(&line, &new));
    line.drop_link(&old);
    assert!(uses(&line, &new));
    let inspected = line.inspect_again(&new).await.unwrap();
    assert!(uses(&line, &inspected));
    line.drop_link(&new);
    assert!(line.link().is_none());
}

#[tokio::test]
async fn a_connection_that_is_no_longer_used_leaves_no_work() {
    let redis = Server::start();
    let line = line(&redis);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let current = line.connect().await.unwrap();
    assert!(tasks() > before);

    line.drop_link(&current);
    drop(current);

    let deadline = Instant::now() + Duration::from_secs(20);
    while tasks() > before {
        assert!(Instant::now() < deadline, "{} tasks go on", tasks());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn who_watches_is_told_when_a_connection_is_given_up() {
    let mut redis = Server::start();
    let line = line(&redis);
    let current = line.connect().await.unwrap();
    line.inspect_again(&current).await.unwrap();
    assert!(!is_told_of_a_drop(&line).await);

    redis.kill();
    line.inspect_again(&current).await.unwrap_err();

    assert!(line.link().is_none());
    assert!(is_told_of_a_drop(&line).await);
}
