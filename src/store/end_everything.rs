//! The end of all sessions and signing keys, after the root secret leaked.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::security_events::{self, NewSecurityEvent};
use super::signing_keys::{self, KEY_SET_LOCK_ID};
use super::{Store, StoreError, StoredSigningKey, authority};
use crate::rotation::RevokeReason;
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// Replacement of everything that a leaked root secret protected.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The only signing key from now on.
    pub key: StoredSigningKey,
    /// Time from which all earlier keys are refused.
    pub earlier_keys_gone_from: Time,
    /// Id of the new epoch of the denylist: no copy of it is trusted.
    pub epoch: String,
    /// Time of the replacement.
    pub now: Time,
}

const REFUSE_KEYS: &str = "
    UPDATE keys SET
        retiring_from = CASE WHEN retiring_from < $1 THEN retiring_from ELSE $1 END,
        gone_from = CASE WHEN gone_from < $1 THEN gone_from ELSE $1 END";

const BEGIN_EPOCH: &str =
    "UPDATE denylist_epoch SET epoch = $1, run_id = '', changed_at = $2 WHERE id = 1";

impl Store {
    /// Refuses every signing key but the new one, raises the authority version and the session floor of every
    /// user, begins an epoch, and records an event, in one transaction. Returns the number of users.
    ///
    /// It has no deadline: it writes the row of every user, while no server runs.
    pub async fn end_everything(&self, replacement: Replacement) -> Result<u64, StoreError> {
        let now = replacement.now;
        let transaction = self.begin().await?;
        let backend = transaction.get_database_backend();
        if backend == DbBackend::Postgres {
            let lock = format!("SELECT pg_advisory_xact_lock({KEY_SET_LOCK_ID})");
            transaction.execute_unprepared(&lock).await?;
        }
        let gone_from = replacement.earlier_keys_gone_from.millis();
        let refuse = Statement::from_sql_and_values(backend, REFUSE_KEYS, [gone_from.into()]);
        transaction.execute_raw(refuse).await?;
        signing_keys::upsert_keys(&transaction, vec![replacement.key]).await?;
        let sql = format!(
            "UPDATE users SET authority_version = {next}, sessions_floor = {next},
                floor_reason = $1, kept_session = NULL",
            next = authority::next_version(backend)
        );
        let reason = RevokeReason::Admin.as_str();
        let end = Statement::from_sql_and_values(backend, sql, [reason.into()]);
        let users = transaction.execute_raw(end).await?.rows_affected();
        let values = [replacement.epoch.into(), now.millis().into()];
        let begin = Statement::from_sql_and_values(backend, BEGIN_EPOCH, values);
        transaction.execute_raw(begin).await?;
        let kind = EventKind::RootSecretReplaced;
        let event = NewSecurityEvent::new(kind, &Actor::Operator, now);
        security_events::insert(&transaction, event).await?;
        transaction.commit().await?;
        Ok(users)
    }
}
