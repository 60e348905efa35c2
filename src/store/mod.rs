//! Every SQL statement of the server; the only module that uses sea-orm. Decides nothing: rotation
//! is decided by [`rotation`](super::rotation), everything else by the callers.
//!
//! Each function is one statement or one transaction, may be repeated, and returns within [`QUERY_DEADLINE`]
//! whatever the database does.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use tokio::sync::Notify;

use crate::config::DatabaseUrl;
use crate::ids::{SessionId, UserId};

mod announced_lifetimes;
mod authority;
mod authorization;
mod backup;
mod batch_connection;
mod batch_queue;
mod codes;
mod connection;
mod database;
mod database_time;
mod deletion;
mod emails;
mod end_everything;
mod epoch;
mod error;
mod inspection;
mod issuer;
mod logouts;
mod new_sessions;
mod outbox;
mod password_costs;
mod reset_link_lists;
mod reset_links;
mod retention;
mod revocations;
mod rotate;
mod row_table;
mod sealed_values;
mod security_events;
mod server_lock;
mod service_credentials;
mod session_lists;
mod session_renewal;
mod sessions;
mod setup_links;
mod signing_keys;
mod suitability;
#[cfg(test)]
mod tests;
mod throttle;
mod user_changes;
mod user_reads;
mod users;

pub use backup::{
    AccountChange, BackupContent, BackupFault, CheckedBackup, account_changes_after, check_backup,
    complete_file, write_copy,
};
pub use codes::{CodeHashes, CodeOwner, CodePurpose, NewCode, PresentedCode, ResetRequest};
pub use connection::{
    DEFAULT_CONNECTIONS, OpenMode, PoolStatus, free_disk_bytes, require_writable, sqlite_file,
};
pub use emails::{Email, NewEmail};
pub use end_everything::{EndCause, EndOfEverything};
pub use epoch::DenylistEpoch;
pub use error::StoreError;
pub use inspection::{DatabaseInspection, inspect_database};
pub use issuer::IssuerChange;
pub use new_sessions::{NewSession, StartedSession};
pub use outbox::{Channel, ClaimedDelivery, NewDelivery, OutboxLevel};
pub use reset_link_lists::{OpenResetLink, ResetLinkPageRequest};
pub use reset_links::NewResetLink;
pub use revocations::{DenialPeriod, NumberedDenial};
pub use rotate::{
    PresentedRefreshToken, RotationOutcome, RotationSettings, SessionOwner, SessionWithOwner,
};
pub use sealed_values::{ResealedValue, SealedColumn, SealedValue, message_context};
pub use security_events::{EventFilter, EventPageRequest, SecurityEvent, UserReference};
pub use server_lock::{ServerLock, ServerLockError};
pub use service_credentials::{
    ConfiguredCredential, CredentialState, ReconciledCredentials, ServiceCredential,
};
pub use session_lists::{
    InvalidSessionCursor, KeptSession, ListedSession, SessionCursor, SessionPageRequest,
    SessionWithUsername,
};
pub use sessions::{FIRST_PARTY_CLIENT_ID, LoginDevice, Revocation, Session};
pub use signing_keys::StoredSigningKey;
pub use suitability::UnsuitableDatabase;
pub use throttle::{BudgetReservation, BudgetSubject, ChargeResult, FailureBudget};
pub use user_changes::NewPassword;
pub use users::{NewUser, User, UserPageRequest, UserWithHash};

use crate::queue_level::QueueLevel;
use batch_queue::BatchQueue;
use connection::StoreConnections;
use database::{DatabaseHandle, StoreTransaction};

/// Longest time for which a function waits for the database.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(5);

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store(Arc<StoreInner>);

#[derive(Debug)]
struct StoreInner {
    url: DatabaseUrl,
    connections: StoreConnections,
    rotations: BatchQueue<rotate::RotationRequest>,
    user_reads: BatchQueue<user_reads::UserRead>,
    throttle: BatchQueue<throttle::ThrottleRequest>,
    logins: BatchQueue<new_sessions::LoginRequest>,
    logouts: BatchQueue<logouts::LogoutRequest>,
    outbox_signal: Notify,
}

impl StoreInner {
    fn new(url: DatabaseUrl, connections: StoreConnections) -> Self {
        Self {
            url,
            rotations: rotate::start_writer(connections.clone()),
            user_reads: user_reads::start(connections.clone()),
            throttle: throttle::start(connections.clone()),
            logins: new_sessions::start(connections.clone()),
            logouts: logouts::start(connections.clone()),
            outbox_signal: Notify::new(),
            connections,
        }
    }
}

impl Store {
    /// Connects and applies missing migrations, one process at a time.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] when a newer version of the program has migrated the database;
    /// [`StoreError::Url`] and [`StoreError::File`] when the URL cannot be used;
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        Self::open_with(url, DEFAULT_CONNECTIONS, OpenMode::CreateIfMissing).await
    }

    /// Like [`Store::open`], with at most `connections` to PostgreSQL.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::NoInstallation`] when there is none and `mode` does not allow to
    /// create one.
    pub async fn open_with(
        url: &DatabaseUrl,
        connections: NonZeroU32,
        mode: OpenMode,
    ) -> Result<Self, StoreError> {
        let connections = StoreConnections::open(url, connections, mode).await?;
        Ok(Self(Arc::new(StoreInner::new(url.clone(), connections))))
    }

    /// Returns once the database has answered and no reason is known why writes would fail.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`] with that reason; [`StoreError::Unavailable`].
    pub async fn check_suitability(&self) -> Result<(), StoreError> {
        with_deadline(suitability::require_suitable(
            &self.0.url,
            self.reader(),
            Some(0),
        ))
        .await
    }

    /// Returns once the database has answered.
    pub async fn ping(&self) -> Result<(), StoreError> {
        with_deadline(async { Ok(self.reader().ping().await?) }).await
    }

    /// Closes all connections, also those of clones. On SQLite the journal is then part of the file, if no
    /// other process has it open.
    pub async fn close(&self) {
        self.0.connections.close().await;
    }

    /// Returns the use of each pool of connections.
    pub fn pool_status(&self) -> Vec<PoolStatus> {
        self.0.connections.pool_status()
    }

    /// Returns the refreshes that wait for the writer.
    pub fn refresh_queue(&self) -> QueueLevel {
        self.0.rotations.level()
    }

    fn reader(&self) -> &DatabaseHandle {
        &self.0.connections.reader
    }

    fn writer(&self) -> &DatabaseHandle {
        &self.0.connections.writer
    }

    async fn begin(&self) -> Result<StoreTransaction, DbErr> {
        self.0.connections.begin().await
    }
}

/// Gives up after [`QUERY_DEADLINE`]: a frozen database returns nothing, not even an error.
///
/// The future is boxed at once. The future of a statement has some ten thousand bytes, which the futures of
/// all callers would otherwise contain and copy, even when a request needs no statement.
fn with_deadline<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, StoreError>> {
    let work = Box::pin(work);
    async move {
        tokio::time::timeout(QUERY_DEADLINE, work)
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable()))
    }
}
