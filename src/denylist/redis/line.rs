//! Handle of the connection that checks use, with the last inspection of its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use redis::RedisError;
use tokio::sync::Notify;

use super::refusal::advice;
use super::standing::{Moment, Standing};
use super::{ConnectError, Connection, Target};
use crate::clock::Clock;

/// URL of Redis, and the current connection unless it is broken. Checks only read the connection; the
/// task that watches the server replaces it.
#[derive(Debug)]
pub(crate) struct Line {
    target: Target,
    clock: Clock,
    link: ArcSwapOption<Link>,
    connections: AtomicU64,
    dropped: Notify,
}

/// A connection with the last inspection of its server.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Distinguishes this connection from earlier and later ones.
    number: u64,
    pub(crate) connection: Connection,
    pub(crate) standing: Standing,
}

/// Failure to connect to Redis or to inspect it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", advice(.0).unwrap_or("the Redis server could not be inspected"))]
    Inspect(#[from] RedisError),
}

impl Line {
    pub(crate) fn new(target: Target, clock: Clock) -> Self {
        Self {
            target,
            clock,
            link: ArcSwapOption::empty(),
            connections: AtomicU64::new(0),
            dropped: Notify::new(),
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            instant: Instant::now(),
            time: self.clock.now(),
        }
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    /// Finds the server, connects, and inspects it.
    pub(crate) async fn connect(&self) -> Result<Arc<Link>, LinkError> {
        let connection = self.target.connect().await?;
        let standing = self.inspect(&connection).await?;
        let link = Arc::new(Link {
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            connection,
            standing,
        });
        self.link.store(Some(Arc::clone(&link)));
        Ok(link)
    }

    /// Inspects the server again; drops the connection if it does not respond.
    pub(crate) async fn inspect_again(&self, link: &Link) -> Result<Arc<Link>, RedisError> {
        let standing = match self.inspect(&link.connection).await {
            Ok(standing) => standing,
            Err(error) => {
                self.drop_link(link);
                return Err(error);
            }
        };
        let fresh = Arc::new(Link {
            standing,
            ..link.clone()
        });
        self.replace(link.number, Some(&fresh));
        Ok(fresh)
    }

    async fn inspect(&self, connection: &Connection) -> Result<Standing, RedisError> {
        let asked = self.moment();
        let inspection = connection.inspect().await?;
        Ok(Standing { inspection, asked })
    }

    /// Drops a broken connection: checks do not use Redis until there is a new one.
    pub(crate) fn drop_link(&self, link: &Link) {
        self.replace(link.number, None);
        self.dropped.notify_one();
    }

    /// Waits until a connection is dropped.
    pub(crate) async fn dropped(&self) {
        self.dropped.notified().await;
    }

    fn replace(&self, number: u64, new: Option<&Arc<Link>>) {
        self.link.rcu(|current| match current {
            Some(current) if current.number == number => new.cloned(),
            current => current.clone(),
        });
    }
}
