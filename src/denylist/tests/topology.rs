//! Sentinel and Cluster: finding the master, also after a failover.

use std::time::{Duration, Instant};

use super::redis_server::RedisServer;
use super::{TestInstallation, Token};
use crate::config::DatabaseKind;
use crate::denylist::DenylistBackend;
use latchet_guard::denylist::redis::RedisUrlError;

#[tokio::test]
async fn a_failover_by_sentinel_revives_no_revoked_token() {
    let mut master = RedisServer::start();
    let replica =
        RedisServer::start_with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    let watched = format!("sentinel monitor main 127.0.0.1 {} 1", master.port());
    let sentinel = RedisServer::start_with(&[
        "sentinel",
        &watched,
        "sentinel down-after-milliseconds main 300",
        "sentinel failover-timeout main 3000",
    ]);
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
    let installation = TestInstallation::at(Some(url));
    let process = installation.start_and_wait().await;
    let epoch = process.epoch().await;
    wait_until(|| {
        replica
            .run::<String>(&["INFO", "replication"])
            .contains("link_status:up")
    })
    .await;
    wait_until(|| {
        sentinel
            .run::<String>(&["INFO", "sentinel"])
            .contains("slaves=1")
    })
    .await;
    let token = process.revoke().await;
    // From now on acknowledged writes do not reach the replica.
    replica.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let late = process.revoke().await;

    master.kill();
    let deadline = Instant::now() + Duration::from_mins(1);
    while process.epoch().await == epoch {
        assert!(
            Instant::now() < deadline,
            "the new master was not backfilled"
        );
        assert!(process.refuses(&token).await);
        assert!(process.refuses(&late).await);
        assert!(!process.refuses(&Token::valid()).await);
    }
    process.until_healthy().await;

    assert!(process.refuses(&token).await);
    assert!(process.refuses(&late).await);
    let inspected = process.redis().handle.current().unwrap();
    assert_eq!(
        inspected.connection.address(),
        format!("127.0.0.1:{}", replica.port())
    );
}

#[tokio::test]
async fn in_a_cluster_the_owner_of_the_slot_is_found() {
    let nodes = [cluster_node(), cluster_node()];
    let slot: u16 = nodes[0].run(&["CLUSTER", "KEYSLOT", super::EPOCH_MARKER_KEY]);
    let shares = [(0, slot - 1), (slot, 16_383)];
    for (node, (from, to)) in nodes.iter().zip(shares) {
        node.run::<()>(&[
            "CLUSTER",
            "ADDSLOTSRANGE",
            &from.to_string(),
            &to.to_string(),
        ]);
    }
    let port = nodes[1].port().to_string();
    nodes[0].run::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port]);
    for node in &nodes {
        wait_until(|| {
            node.run::<String>(&["CLUSTER", "INFO"])
                .contains("cluster_state:ok")
        })
        .await;
    }

    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port());
    let installation = TestInstallation::at(Some(url));
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;

    assert!(process.refuses(&token).await);
    assert!(!process.refuses(&Token::valid()).await);
    let inspected = process.redis().handle.current().unwrap();
    assert_eq!(inspected.connection.address(), format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_url_that_names_no_redis_is_refused() {
    let open_command_line = TestInstallation::at(None).open_command_line().await;

    let opened = DenylistBackend::open(
        DatabaseKind::Sqlite,
        Some("http://localhost"),
        open_command_line.store,
        open_command_line.clock,
    );

    assert!(matches!(opened, Err(RedisUrlError::Url(_))));
}

fn cluster_node() -> RedisServer {
    RedisServer::start_with(&["--cluster-enabled", "yes"])
}

async fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "timed out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
