//! Handle of the copy in Redis: the connection that checks use, with the last inspection of its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use redis::RedisError;
use tokio::sync::Notify;

use super::refusal::advice;
use super::server_status::{DualInstant, ServerStatus};
use super::trust::{Distrust, EpochAuthority};
use super::{ConnectError, Lookup, RedisConnection, RedisUrl};
use crate::clock::{Clock, Time};
use crate::denylist::demand::Demand;
use crate::denylist::{TokenIds, TokenStatus};

/// The copy in Redis: its URL, the authority that names its epoch, and the current connection unless it
/// is broken. Checks only read the connection; [`keep_current`](Self::keep_current) replaces it.
#[derive(Debug)]
pub struct RedisHandle<A> {
    url: RedisUrl,
    clock: Clock,
    authority: A,
    current: ArcSwapOption<InspectedConnection>,
    connections: AtomicU64,
    connection_dropped: Notify,
    demand: Demand,
}

/// A connection with the last inspection of its server.
#[derive(Clone, Debug)]
pub struct InspectedConnection {
    /// Distinguishes this connection from earlier and later ones.
    number: u64,
    /// The connection.
    pub connection: RedisConnection,
    /// Last inspection of the server at the other end.
    pub server_status: ServerStatus,
}

/// Failure to connect to Redis or to inspect it.
#[derive(Debug, thiserror::Error)]
pub enum RedisHandleError {
    /// No connection was established.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server did not respond to the inspection, or the response was invalid.
    #[error("{}", advice(.0).unwrap_or("the Redis server could not be inspected"))]
    Inspect(#[from] RedisError),
}

impl<A: EpochAuthority> RedisHandle<A> {
    /// Returns a handle without a connection.
    pub fn new(url: RedisUrl, clock: Clock, authority: A) -> Self {
        Self {
            url,
            clock,
            authority,
            current: ArcSwapOption::empty(),
            connections: AtomicU64::new(0),
            connection_dropped: Notify::new(),
            demand: Demand::default(),
        }
    }

    /// Returns the authority that names the epoch.
    pub fn authority(&self) -> &A {
        &self.authority
    }

    /// Returns the demand for the copy.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Returns the present moment.
    pub fn now(&self) -> DualInstant {
        DualInstant::at(self.clock.now())
    }

    /// Returns the status of a token in Redis.
    ///
    /// # Errors
    /// The reason why Redis is not trusted. Nothing is known about the token then.
    pub async fn status(&self, ids: TokenIds<'_>, now: Time) -> Result<TokenStatus, Distrust> {
        let began = DualInstant::at(now);
        let inspected = self.current_for_check().ok_or(Distrust::NotConnected)?;
        let epoch_record = inspected
            .server_status
            .trusted_epoch(&self.authority, began)?;
        self.look_up(&inspected, ids, &epoch_record.epoch).await
    }

    /// Returns the status of a token in the copy of this epoch, which must be
    /// [trusted](ServerStatus::trusted_epoch).
    pub(super) async fn look_up(
        &self,
        inspected: &InspectedConnection,
        ids: TokenIds<'_>,
        epoch: &str,
    ) -> Result<TokenStatus, Distrust> {
        match inspected.connection.lookup(ids, epoch).await {
            Ok(Lookup::Revoked) => Ok(TokenStatus::Revoked),
            Ok(Lookup::Outdated) => Ok(TokenStatus::Outdated),
            Ok(Lookup::NotDenied) => Ok(TokenStatus::NotDenied),
            Ok(Lookup::Incomplete) => Err(Distrust::NotBackfilled),
            Err(_) => {
                self.drop_connection(inspected);
                Err(Distrust::NotConnected)
            }
        }
    }

    /// Returns the reason why Redis is not trusted now, if any.
    pub fn distrust(&self) -> Option<Distrust> {
        match self.current() {
            None => Some(Distrust::NotConnected),
            Some(inspected) => inspected
                .server_status
                .distrust(&self.authority, self.now()),
        }
    }

    /// Returns the connection for a check. From now on the copy is in demand.
    pub(super) fn current_for_check(&self) -> Option<Arc<InspectedConnection>> {
        self.demand.record();
        self.current()
    }

    /// Returns a handle of a copy that no check has asked for recently.
    #[cfg(test)]
    pub(super) fn idle(url: RedisUrl, clock: Clock, authority: A) -> Self {
        Self {
            demand: Demand::idle(),
            ..Self::new(url, clock, authority)
        }
    }

    /// Returns the connection that checks use now, if there is one.
    pub fn current(&self) -> Option<Arc<InspectedConnection>> {
        self.current.load_full()
    }

    /// Finds the server, connects, and inspects it. Checks use the connection from now on.
    ///
    /// # Errors
    /// [`RedisHandleError`] when the server cannot be found, reached or inspected.
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
    ///
    /// # Errors
    /// When the server does not respond, or the response is invalid.
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
