//! Handle of the connection that checks use, with the last inspection of its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use redis::RedisError;
use tokio::sync::Notify;

use super::refusal::advice;
use super::server_status::{DualInstant, ServerStatus};
use super::{ConnectError, RedisConnection, RedisUrl};
use crate::clock::Clock;

/// URL of Redis, and the current connection unless it is broken. Checks only read the connection; the
/// task that watches the server replaces it.
#[derive(Debug)]
pub struct RedisHandle {
    url: RedisUrl,
    clock: Clock,
    current: ArcSwapOption<InspectedConnection>,
    connections: AtomicU64,
    connection_dropped: Notify,
}

/// A connection with the last inspection of its server.
#[derive(Clone, Debug)]
pub struct InspectedConnection {
    /// Distinguishes this connection from earlier and later ones.
    number: u64,
    pub connection: RedisConnection,
    pub server_status: ServerStatus,
}

/// Failure to connect to Redis or to inspect it.
#[derive(Debug, thiserror::Error)]
pub enum RedisHandleError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", advice(.0).unwrap_or("the Redis server could not be inspected"))]
    Inspect(#[from] RedisError),
}

impl RedisHandle {
    pub fn new(url: RedisUrl, clock: Clock) -> Self {
        Self {
            url,
            clock,
            current: ArcSwapOption::empty(),
            connections: AtomicU64::new(0),
            connection_dropped: Notify::new(),
        }
    }

    pub fn now(&self) -> DualInstant {
        DualInstant {
            instant: Instant::now(),
            time: self.clock.now(),
        }
    }

    pub fn current(&self) -> Option<Arc<InspectedConnection>> {
        self.current.load_full()
    }

    /// Finds the server, connects, and inspects it.
    pub async fn connect(&self) -> Result<Arc<InspectedConnection>, RedisHandleError> {
        let connection = self.url.connect().await?;
        let server_status = self.inspect(&connection).await?;
        let inspected = Arc::new(InspectedConnection {
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            connection,
            server_status,
        });
        self.current.store(Some(Arc::clone(&inspected)));
        Ok(inspected)
    }

    /// Inspects the server again; drops the connection if it does not respond.
    pub async fn reinspect(
        &self,
        inspected: &InspectedConnection,
    ) -> Result<Arc<InspectedConnection>, RedisError> {
        let server_status = match self.inspect(&inspected.connection).await {
            Ok(server_status) => server_status,
            Err(error) => {
                self.drop_connection(inspected);
                return Err(error);
            }
        };
        let fresh = Arc::new(InspectedConnection {
            server_status,
            ..inspected.clone()
        });
        self.replace(inspected.number, Some(&fresh));
        Ok(fresh)
    }

    async fn inspect(&self, connection: &RedisConnection) -> Result<ServerStatus, RedisError> {
        let requested_at = self.now();
        let server_info = connection.inspect().await?;
        Ok(ServerStatus {
            server_info,
            requested_at,
        })
    }

    /// Drops a broken connection: checks do not use Redis until there is a new one.
    pub fn drop_connection(&self, inspected: &InspectedConnection) {
        self.replace(inspected.number, None);
        self.connection_dropped.notify_one();
    }

    /// Waits until a connection is dropped.
    pub async fn connection_dropped(&self) {
        self.connection_dropped.notified().await;
    }

    fn replace(&self, number: u64, new: Option<&Arc<InspectedConnection>>) {
        self.current.rcu(|current| match current {
            Some(current) if current.number == number => new.cloned(),
            current => current.clone(),
        });
    }
}
