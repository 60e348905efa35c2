//! Sentinel and Cluster: finding the master, also after a failover.

use std::time::{Duration, Instant};

use super::server::Server;
use super::{Installation, Token};
use crate::denylist::redis::TargetError;
use crate::server::config::DatabaseKind;
use crate::server::denylist::OpenDenylist;

#[tokio::test]
async fn a_failover_by_sentinel_revives_nothing() {
    let mut master = Server::start();
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    let watched = format!("sentinel monitor main 127.0.0.1 {} 1", master.port());
    let sentinel = Server::start_with(&[
        "sentinel",
        &watched,
        "sentinel down-after-milliseconds main 300",
        "sentinel failover-timeout main 3000",
    ]);
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
    let installation = Installation::at(Some(url));
    let process = installation.serve().await;
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
    process.until_good().await;

    assert!(process.refuses(&token).await);
    assert!(process.refuses(&late).await);
    let link = process.redis().line.link().unwrap();
    assert_eq!(
        link.connection.address(),
        format!("127.0.0.1:{}", replica.port())
    );
}

#[tokio::test]
async fn in_a_cluster_the_owner_of_the_slot_is_found() {
    let nodes = [cluster_node(), cluster_node()];
    let slot: u16 = nodes[0].run(&["CLUSTER", "KEYSLOT", super::MARK]);
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
    let installation = Installation::at(Some(url));
    let process = installation.serve().await;
    let token = process.revoke().await;

    assert!(process.refuses(&token).await);
    assert!(!process.refuses(&Token::valid()).await);
    let link = process.redis().line.link().unwrap();
    assert_eq!(link.connection.address(), format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_url_that_names_no_redis_is_refused() {
    let tool = Installation::at(None).tool().await;

    let opened = OpenDenylist::open(
        DatabaseKind::Sqlite,
        Some("http://localhost"),
        tool.store,
        tool.clock,
    );

    assert!(matches!(opened, Err(TargetError::Url(_))));
}

fn cluster_node() -> Server {
    Server::start_with(&["--cluster-enabled", "yes"])
}

async fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "timed out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
