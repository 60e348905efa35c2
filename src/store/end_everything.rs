//! End of all sessions, access tokens, links and mailed codes, after a restore or a leak of the root secret.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::security_events::NewSecurityEvent;
use super::{
    DenialPeriod, DenylistEpoch, Store, StoreError, StoredSigningKey, database_time, epoch,
    security_events, signing_keys,
};
use crate::rotation::RevokeReason;
use crate::security_events::{Actor, EventKind};

/// Distance of the new authority versions from the time and from every version in the backup: a year, in
/// milliseconds.
///
/// The version of a user is the time of its latest change, or one more than the one before. The backup does
/// not know the versions that were issued after it, but they are not far above the time: only a clock that was
/// ahead by a year has issued a higher one. A second restore of the same backup gets higher versions than the
/// first, because the time is in the sum.
const VERSION_DISTANCE: i64 = 366 * 24 * 60 * 60 * 1000;

/// Cause of an end of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The database comes from a backup: nothing that was revoked after the backup may work again.
    Restored,
    /// The root secret leaked: a thief who has it can create refresh tokens of every session.
    SecretLeaked,
}

impl EndCause {
    const fn reason(self) -> RevokeReason {
        match self {
            Self::Restored => RevokeReason::Restored,
            Self::SecretLeaked => RevokeReason::Admin,
        }
    }

    const fn event(self) -> EventKind {
        match self {
            Self::Restored => EventKind::DatabaseRestored,
            Self::SecretLeaked => EventKind::RootSecretReplaced,
        }
    }
}

/// End of all sessions, access tokens and links.
#[derive(Clone, Debug)]
pub struct EndOfEverything {
    /// Cause, which the event names.
    pub cause: EndCause,
    /// Time of the end, and period for which earlier tokens are denied.
    pub period: DenialPeriod,
    /// Epoch for which no copy of the denylist exists.
    pub epoch: DenylistEpoch,
}

impl Store {
    /// Ends every session and denies every access token of every user, deletes all links, codes and messages, replaces the signing
    /// keys by those that `revise_keys` returns, begins an epoch of the denylist and records the event; all of
    /// it or nothing. Returns the number of users.
    ///
    /// Unlike the other functions it may take minutes, in proportion to the number of users.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not respond: repeat the call.
    pub async fn end_everything<F>(
        &self,
        end: &EndOfEverything,
        revise_keys: F,
    ) -> Result<u64, StoreError>
    where
        F: FnOnce(&[StoredSigningKey]) -> Vec<StoredSigningKey> + Send,
    {
        let transaction = self.begin().await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            let prepare = format!(
                "SET LOCAL statement_timeout = 0;
                SELECT pg_advisory_xact_lock({})",
                signing_keys::KEY_SET_LOCK_ID
            );
            transaction.execute_unprepared(&prepare).await?;
        }
        let users = end_all_sessions(&transaction, end).await?;
        // Messages that were sent after the backup are in it as waiting ones.
        for secrets in ["reset_links", "setup_links", "codes", "outbox"] {
            let delete = format!("DELETE FROM {secrets}");
            transaction.execute_unprepared(&delete).await?;
        }
        let revised = revise_keys(&signing_keys::all_keys(&transaction).await?);
        signing_keys::upsert_keys(&transaction, revised).await?;
        epoch::replace(&transaction, &end.epoch).await?;
        let event = NewSecurityEvent::new(end.cause.event(), &Actor::Operator, end.period.now);
        security_events::insert(&transaction, event).await?;
        transaction.commit().await?;
        Ok(users)
    }
}

/// Raises the authority version and the session floor of every user above every version that was ever issued,
/// and records one denial for each. Returns the number of users.
async fn end_all_sessions<C: ConnectionTrait>(
    db: &C,
    end: &EndOfEverything,
) -> Result<u64, StoreError> {
    let backend = db.get_database_backend();
    let greatest = match backend {
        DbBackend::Postgres => "GREATEST",
        _ => "MAX",
    };
    let highest = format!(
        "SELECT {greatest}(COALESCE(MAX(authority_version), 0), {}) FROM users",
        database_time::now_sql(backend)
    );
    let highest = db
        .query_one_raw(Statement::from_string(backend, highest))
        .await?;
    let highest: i64 = highest.ok_or(StoreError::NotFound)?.try_get_by_index(0)?;
    let version = highest.saturating_add(VERSION_DISTANCE);
    let values = [version.into(), end.cause.reason().as_str().into()];
    let raised = execute(db, RAISE_VERSIONS, values).await?;
    execute(db, "DELETE FROM revocations WHERE kind = 'user'", []).await?;
    let values = [
        end.period.not_after.millis().into(),
        end.period.now.millis().into(),
    ];
    execute(db, DENY_USERS, values).await?;
    Ok(raised)
}

const RAISE_VERSIONS: &str = "
    UPDATE users SET authority_version = $1, sessions_floor = $1, floor_reason = $2, kept_session = NULL";

const DENY_USERS: &str = "
    INSERT INTO revocations (kind, id, not_after, created_at, version)
    SELECT 'user', id, CAST($1 AS bigint), CAST($2 AS bigint), authority_version FROM users";

async fn execute<C: ConnectionTrait, const N: usize>(
    db: &C,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.execute_raw(statement).await?.rows_affected())
}
