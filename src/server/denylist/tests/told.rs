//! Log output about a distrusted copy: each event once.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::Installation;
use super::server::Server;
use crate::clock::Clock;
use crate::denylist::redis::RedisReader;
use crate::server::logging::captured::Captured;

/// Waits until `who` has logged each of these lines that often, and returns all its lines, with the
/// details.
async fn until(log: &Captured, who: &str, wanted: &[(usize, &str)]) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let lines = log.lines();
        let told = lines.iter().filter_map(|line| {
            let message = line["message"].as_str()?;
            let detail = ["reason", "error", "entries"].map(|name| match &line[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            let is_ours = line["level"] != "DEBUG" && line["target"].as_str()?.starts_with(who);
            is_ours.then(|| format!("{message}: {}", detail.concat()))
        });
        let told: Vec<String> = told.collect();
        if wanted
            .iter()
            .all(|(times, text)| count(&told, text) >= *times)
        {
            return told;
        }
        assert!(Instant::now() < deadline, "{wanted:?} not in {told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn count(told: &[String], text: &str) -> usize {
    told.iter().filter(|told| told.contains(text)).count()
}

/// No line is logged twice in a row.
fn check_nothing_is_repeated(told: &[String]) {
    let mut once = told.to_vec();
    once.dedup();
    assert_eq!(once, told);
}

#[tokio::test]
async fn by_a_server() {
    const WHO: &str = "latchet::server::denylist";
    const FILLED: &str = "Redis was backfilled from the database: 2";
    const BELIEVED: &str = "the denylist in Redis is trusted; checks use it";
    const AWAY: &str = "checks use the database, not Redis: it is not connected";
    let mut redis = Server::start();
    let installation = Installation::on(&redis);
    let tool = installation.tool().await;
    let _tokens = [tool.commit().await, tool.commit().await];
    let log = Captured::begin();
    let _process = installation.serve().await;
    until(&log, WHO, &[(1, FILLED), (1, BELIEVED)]).await;

    redis.kill();
    until(&log, WHO, &[(1, AWAY), (1, "Redis connection failed: ")]).await;
    redis.resume();

    let told = until(&log, WHO, &[(2, FILLED), (2, BELIEVED)]).await;
    check_nothing_is_repeated(&told);
}

#[tokio::test]
async fn by_a_copy_in_memory() {
    const WHO: &str = "latchet::server::denylist::memory";
    const AWAY: &str =
        "the denylist cannot follow the database; checks use the database directly: ";
    const BACK: &str = "the denylist follows the database again";
    let installation = Installation::at(None);
    let log = Captured::begin();
    let process = installation.serve().await;
    let database = super::database(&installation).await;
    let run = async |sql: &str| database.execute_unprepared(sql).await.unwrap();
    process.until_good().await;

    run("ALTER TABLE revocations RENAME TO away").await;
    // Wait until it has failed more than once.
    process.until_doubted("does not follow").await;
    until(&log, WHO, &[(1, AWAY)]).await;
    run("ALTER TABLE away RENAME TO revocations").await;
    process.until_good().await;

    let told = until(&log, WHO, &[(1, BACK)]).await;
    assert_eq!((told.len(), count(&told[..1], AWAY)), (2, 1), "{told:?}");
}

#[tokio::test]
async fn by_a_reader() {
    const WHO: &str = "latchet::denylist";
    const BELIEVED: &str = "the denylist in Redis is trusted";
    const AWAY: &str = "the denylist in Redis is not trusted: it is not connected";
    let mut redis = Server::start();
    let installation = Installation::on(&redis);
    let _process = installation.serve().await;
    let log = Captured::begin();
    let reader = RedisReader::start(redis.url().parse().unwrap(), Clock::system());
    super::reader::until(&reader, "").await;

    redis.kill();
    until(&log, WHO, &[(1, AWAY)]).await;
    redis.resume();

    let told = until(&log, WHO, &[(1, BELIEVED)]).await;
    check_nothing_is_repeated(&told);
}
