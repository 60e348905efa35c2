//! Tests of the harness: its faults take effect, and end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::postgres::Postgres;
use crate::support::proxy::{NetworkFault, Proxy};
use crate::support::redis::Redis;

#[test]
fn a_killed_postgres_comes_back_with_its_data() {
    let postgres = Postgres::start();
    postgres.sql(
        "postgres",
        "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)",
    );

    postgres.kill();
    postgres.resume();

    assert_eq!(postgres.sql("postgres", "SELECT n FROM kept").trim(), "7");
}

#[test]
fn databases_of_the_shared_postgres_are_separate() {
    let (one, other) = (Postgres::shared().database(), Postgres::shared().database());

    assert_ne!(one, other);
}

#[test]
fn a_killed_redis_forgets_what_was_not_saved() {
    let redis = Redis::start();
    redis.ask::<()>(&["SET", "saved", "1"]);
    redis.save();
    redis.ask::<()>(&["SET", "unsaved", "1"]);

    redis.kill();
    redis.resume();

    assert_eq!(redis.ask::<Vec<String>>(&["KEYS", "*"]), ["saved"]);
}

#[test]
fn a_frozen_redis_responds_after_it_is_thawed() {
    let redis = Redis::start();
    let frozen = std::sync::atomic::AtomicBool::new(true);
    redis.freeze();

    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            redis.ask::<()>(&["PING"]);
            frozen.load(std::sync::atomic::Ordering::SeqCst)
        });
        std::thread::sleep(Duration::from_millis(100));
        frozen.store(false, std::sync::atomic::Ordering::SeqCst);
        redis.thaw();

        assert!(!asked.join().unwrap(), "it answered while frozen");
    });
}

#[tokio::test]
async fn the_proxy_loses_responses_hangs_and_cuts() {
    let redis = Redis::start();
    let proxy = Proxy::start(&redis.address()).await;
    let ping = async || {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        drop(stream.write_all(b"PING\r\n").await);
        let mut answer = Vec::new();
        // Redis keeps the connection open, so that a whole response shows as silence after it.
        let read =
            tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut answer));
        let ended = read.await.is_ok();
        let answer = String::from_utf8(answer).unwrap();
        (answer, ended)
    };

    assert_eq!(ping().await, ("+PONG\r\n".to_owned(), false));

    proxy.set(NetworkFault::Slow(Duration::from_millis(50)));
    let start = Instant::now();
    assert_eq!(ping().await, ("+PONG\r\n".to_owned(), false));
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "there and back"
    );

    proxy.set(NetworkFault::LoseAnswers);
    assert_eq!(ping().await, (String::new(), true));
    assert_eq!(proxy.lost().await, "+PONG\r\n");

    proxy.set(NetworkFault::Hang);
    assert_eq!(ping().await, (String::new(), false));

    proxy.set(NetworkFault::Cut);
    assert!(ping().await.1, "a cut connection ends");
}
