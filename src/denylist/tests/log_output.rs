//! Log output about a distrusted copy: each event once.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::TestInstallation;
use super::redis_server::RedisServer;
use crate::logging::captured_log::CapturedLog;
use latchet_guard::clock::Clock;
use latchet_guard::denylist::redis::RedisReader;

/// Waits until `who` has logged each of these lines that often, and returns all its lines, with the
/// details.
async fn until(log: &CapturedLog, who: &str, wanted: &[(usize, &str)]) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let lines = log.lines();
        let messages = lines.iter().filter_map(|line| {
            let message = line["message"].as_str()?;
            let detail = ["reason", "error", "entries"].map(|name| match &line[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            let is_ours = line["level"] != "DEBUG" && line["target"].as_str()?.starts_with(who);
            is_ours.then(|| format!("{message}: {}", detail.concat()))
        });
        let messages: Vec<String> = messages.collect();
        if wanted
            .iter()
            .all(|(times, text)| count(&messages, text) >= *times)
        {
            return messages;
        }
        assert!(Instant::now() < deadline, "{wanted:?} not in {messages:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn count(messages: &[String], text: &str) -> usize {
    messages
        .iter()
        .filter(|messages| messages.contains(text))
        .count()
}

/// No line is logged twice in a row.
fn assert_nothing_is_repeated(messages: &[String]) {
    let mut once = messages.to_vec();
    once.dedup();
    assert_eq!(once, messages);
}

#[tokio::test]
async fn a_server_logs_each_change_of_trust_once() {
    const TARGET: &str = "latchet::denylist";
    const BACKFILLED: &str = "Redis was backfilled from the database: 2";
    const TRUSTED: &str = "the denylist in Redis is trusted; checks use it";
    const FAILING: &str = "checks use the database, not Redis: it is not connected";
    let mut redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let open_command_line = installation.open_command_line().await;
    let _tokens = [
        open_command_line.revoke_in_sql_only().await,
        open_command_line.revoke_in_sql_only().await,
    ];
    let log = CapturedLog::begin();
    let _process = installation.start_and_wait().await;
    until(&log, TARGET, &[(1, BACKFILLED), (1, TRUSTED)]).await;

    redis.kill();
    until(
        &log,
        TARGET,
        &[(1, FAILING), (1, "Redis connection failed: ")],
    )
    .await;
    redis.resume();

    let messages = until(&log, TARGET, &[(2, BACKFILLED), (2, TRUSTED)]).await;
    assert_nothing_is_repeated(&messages);
}

#[tokio::test]
async fn a_copy_in_memory_logs_each_failure_once() {
    const TARGET: &str = "latchet::denylist::replicated_memory";
    const FAILING: &str =
        "the denylist cannot follow the database; checks use the database directly: ";
    const RECOVERED: &str = "the denylist follows the database again";
    let installation = TestInstallation::at(None);
    let log = CapturedLog::begin();
    let process = installation.start_and_wait().await;
    let database = super::database(&installation).await;
    let run = async |sql: &str| database.execute_unprepared(sql).await.unwrap();
    process.until_healthy().await;

    run("ALTER TABLE revocations RENAME TO away").await;
    // Wait until it has failed more than once.
    process.until_distrusted("does not follow").await;
    until(&log, TARGET, &[(1, FAILING)]).await;
    run("ALTER TABLE away RENAME TO revocations").await;
    process.until_healthy().await;

    let messages = until(&log, TARGET, &[(1, RECOVERED)]).await;
    assert_eq!(
        (messages.len(), count(&messages[..1], FAILING)),
        (2, 1),
        "{messages:?}"
    );
}

#[tokio::test]
async fn a_reader_logs_each_change_of_trust_once() {
    const TARGET: &str = "latchet_guard::denylist";
    const TRUSTED: &str = "the denylist in Redis is trusted";
    const FAILING: &str = "the denylist in Redis is not trusted: it is not connected";
    let mut redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let _process = installation.start_and_wait().await;
    let log = CapturedLog::begin();
    let reader = RedisReader::start(redis.url().parse().unwrap(), Clock::system());
    super::reader::until(&reader, "").await;

    redis.kill();
    until(&log, TARGET, &[(1, FAILING)]).await;
    redis.resume();

    let messages = until(&log, TARGET, &[(1, TRUSTED)]).await;
    assert_nothing_is_repeated(&messages);
}
