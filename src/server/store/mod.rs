//! Every SQL statement of the server; the only module that uses sea-orm. Decides nothing: rotation
//! is decided by [`rotation`](super::rotation), everything else by the callers.
//!
//! Each function is one statement or one transaction, may be repeated, and returns within [`LIMIT`]
//! whatever the database does.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;

use crate::server::config::DatabaseUrl;

mod administrators;
mod authority;
mod condition;
mod connection;
mod database;
mod database_time;
mod epoch;
mod error;
mod events;
mod garbage;
mod held;
mod id;
mod inspection;
mod issuer;
mod keys;
mod lifetimes;
mod password_costs;
mod renewal;
mod reset_link_lists;
mod reset_links;
mod revocations;
mod rotate;
mod server_lock;
mod session_limit;
mod session_lists;
mod sessions;
mod setup_links;
#[cfg(test)]
mod tests;
mod throttle;
mod user_changes;
mod users;

pub use condition::UnfitDatabase;
pub use connection::{DEFAULT_CONNECTIONS, Opening, require_writable, sqlite_file};
pub use epoch::Epoch;
pub use error::StoreError;
pub use events::{Event, EventPage, NamedUser};
pub use id::{SessionId, UserId};
pub use inspection::{Inspection, inspect};
pub use issuer::IssuerChange;
pub use keys::StoredKey;
pub use reset_link_lists::{OpenResetLink, ResetLinkPage};
pub use reset_links::NewResetLink;
pub use revocations::{DenialPeriod, Entry};
pub use rotate::{Current, Owner, Presented, Rotation, RotationRules};
pub use server_lock::{ServerLock, ServerLockError};
pub use session_lists::{ListedSession, NamedSession, NoSuchPlace, SessionPage, SessionPlace};
pub use sessions::{Device, FIRST_PARTY, NewSession, Revocation, Session, StartedSession};
pub use throttle::{Budget, Charge, Counter, Protected};
pub use users::{NewUser, User, UserPage, UserWithHash};

use connection::Connections;
use database::{Database, Transaction};

/// Longest time for which a function waits for the database.
pub const LIMIT: Duration = Duration::from_secs(5);

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: DatabaseUrl,
    connections: Connections,
    rotations: rotate::Queue,
}

impl Store {
    /// Connects and applies missing migrations, one process at a time.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] when a newer version of the program has migrated the database;
    /// [`StoreError::Url`] and [`StoreError::File`] when the URL cannot be used;
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        Self::open_with(url, DEFAULT_CONNECTIONS, Opening::New).await
    }

    /// Like [`Store::open`], with at most `connections` to PostgreSQL.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::NoInstallation`] when there is none and `opening` does not allow to
    /// create one.
    pub async fn open_with(
        url: &DatabaseUrl,
        connections: NonZeroU32,
        opening: Opening,
    ) -> Result<Self, StoreError> {
        let connections = Connections::open(url, connections, opening).await?;
        let rotations = rotate::Queue::start(connections.clone());
        Ok(Self(Arc::new(Inner {
            url: url.clone(),
            connections,
            rotations,
        })))
    }

    /// Returns once the database has answered and no reason is known why writes would fail.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] with that reason; [`StoreError::Unavailable`].
    pub async fn check(&self) -> Result<(), StoreError> {
        limited(condition::require(&self.0.url, self.reader(), Some(0))).await
    }

    /// Returns once the database has answered.
    pub async fn ping(&self) -> Result<(), StoreError> {
        limited(async { Ok(self.reader().ping().await?) }).await
    }

    fn reader(&self) -> &Database {
        &self.0.connections.reader
    }

    fn writer(&self) -> &Database {
        &self.0.connections.writer
    }

    async fn begin(&self) -> Result<Transaction, DbErr> {
        self.0.connections.begin().await
    }
}

/// Gives up after [`LIMIT`]: a frozen database returns nothing, not even an error.
///
/// The future is boxed at once. The future of a statement has some ten thousand bytes, which the futures of
/// all callers would otherwise contain and copy, even when a request needs no statement.
fn limited<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    let work = Box::pin(work);
    async move {
        tokio::time::timeout(LIMIT, work)
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable()))
    }
}
