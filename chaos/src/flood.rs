//! A flood: wrong passwords for many accounts at once, more than can be hashed.

use std::sync::Arc;
use std::time::Duration;

use chaos::history::Sender;
use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::time::Instant;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::recorder::Recorder;
use crate::request_spec::RequestSpec;

/// Connections at once; on each a request follows the response to the one before.
const CONNECTIONS: usize = 2000;
const FLOOD_FOR: Duration = Duration::from_secs(3);
/// Time that each of them waits for a response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);

/// Floods all replicas for a while.
pub(crate) async fn run(cluster: &Arc<Cluster>, recorder: &Arc<Recorder>, random: fastrand::Rng) {
    let client = Client::new(cluster, recorder, Sender::Flooder);
    // On a thread of its own, so that legitimate clients do not wait in this process for those of the flood.
    let thread = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .expect("a runtime can be built")
            .block_on(flood(client, random));
    });
    thread.await.expect("the flood does not panic");
}

async fn flood(client: Client, mut random: fastrand::Rng) {
    let end = Instant::now() + FLOOD_FOR;
    let many_sessions = (0..CONNECTIONS).map(|_| {
        let (client, mut random) = (&client, random.fork());
        async move {
            while Instant::now() < end {
                // No user has such a name: the flood must not throttle real accounts.
                let name = format!("nobody-{}", random.u32(..));
                let ask = RequestSpec::login(&name, 0, "a wrong password of the flood");
                let replica = random.usize(..client.replicas());
                client
                    .ask(ask.give_up_after(REQUEST_TIMEOUT), replica)
                    .await;
            }
        }
    });
    join_all(many_sessions).await;
}

/// Raises the limit of open files, which processes that are started later inherit.
pub(crate) fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit that applies may be used up");
}
