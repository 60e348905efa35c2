//! A flood: wrong passwords for many accounts at once, more than can be hashed.

use std::sync::Arc;
use std::time::Duration;

use chaos::history::Who;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::client::{Ask, Client};
use crate::record::Recorder;
use crate::world::World;

/// Who ask at once, each of them again as soon as it is answered.
const CROWD: usize = 64;
const LASTS: Duration = Duration::from_secs(3);

/// Floods all replicas for a while.
pub(crate) async fn run(world: &Arc<World>, recorder: &Arc<Recorder>, mut random: fastrand::Rng) {
    let client = Client::new(world, recorder, Who::Flooder);
    let end = Instant::now() + LASTS;
    let crowd = (0..CROWD).map(|_| {
        let (client, mut random) = (&client, random.fork());
        async move {
            while Instant::now() < end {
                // Nobody has such a name: those who do must not be throttled for it.
                let name = format!("nobody-{}", random.u32(..));
                let ask = Ask::login(&name, 0, "a wrong password of the flood");
                client.ask(ask, random.usize(..client.replicas())).await;
            }
        }
    });
    join_all(crowd).await;
}
