//! Columns whose values are sealed under the root secret, for its rotation; and the sessions whose tokens the
//! previous secret signed.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::security_events::{self, NewSecurityEvent};
use super::signing_keys::KEY_SET_LOCK_ID;
use super::{Store, StoreError, with_deadline};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// A column with sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedColumn {
    /// Private parts of the signing keys.
    SigningKeys,
    /// Messages that wait in the outbox.
    Messages,
}

impl SealedColumn {
    /// Every column.
    pub const ALL: [Self; 2] = [Self::SigningKeys, Self::Messages];

    /// Returns the name of its values for people.
    pub const fn values(self) -> &'static str {
        match self {
            Self::SigningKeys => "signing keys",
            Self::Messages => "messages",
        }
    }

    /// Returns the context under which the value of a row is sealed.
    pub fn context(self, id: &str) -> String {
        match self {
            Self::SigningKeys => id.to_owned(),
            Self::Messages => message_context(id),
        }
    }

    /// Returns the query of a page: id, sealed text, and 1 if the value is still in use at `$2`.
    const fn page(self) -> &'static str {
        match self {
            Self::SigningKeys => {
                "SELECT kid, sealed_private, CASE WHEN gone_from <= $2 THEN 0 ELSE 1 END
                FROM keys WHERE kid > $1 AND sealed_private <> '' ORDER BY kid LIMIT $3"
            }
            // `$2` has no meaning here, but a statement of PostgreSQL must use every parameter.
            Self::Messages => {
                "SELECT id, sealed_payload, CASE WHEN $2 < 0 THEN 0 ELSE 1 END
                FROM outbox WHERE id > $1 ORDER BY id LIMIT $3"
            }
        }
    }

    /// Returns the statement that replaces one value, if it is still the one that was read.
    const fn replace(self) -> &'static str {
        match self {
            Self::SigningKeys => {
                "UPDATE keys SET sealed_private = $3 WHERE kid = $1 AND sealed_private = $2"
            }
            Self::Messages => {
                "UPDATE outbox SET sealed_payload = $3 WHERE id = $1 AND sealed_payload = $2"
            }
        }
    }
}

/// Returns the context under which a message in the outbox is sealed.
pub fn message_context(id: &str) -> String {
    format!("outbox:{id}")
}

/// A sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    /// Id of its row.
    pub id: String,
    /// The sealed text.
    pub sealed: String,
    /// False for a value that is kept, but will not be opened again.
    pub is_in_use: bool,
}

/// A value that was sealed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResealedValue {
    /// Id of its row.
    pub id: String,
    /// The text that was read.
    pub old: String,
    /// The same value, sealed under the root secret.
    pub new: String,
}

impl Store {
    /// Returns at most `limit` values of a column, in the order of their ids, after the id `after`.
    pub async fn sealed_values(
        &self,
        column: SealedColumn,
        after: &str,
        limit: u32,
        now: Time,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let db = self.writer();
        let values = [after.into(), now.millis().into(), i64::from(limit).into()];
        let page = Statement::from_sql_and_values(db.get_database_backend(), column.page(), values);
        with_deadline(async {
            let rows = db.query_all_raw(page).await?;
            let values = rows.iter().map(|row| {
                let is_in_use: i32 = row.try_get_by_index(2)?;
                Ok(SealedValue {
                    id: row.try_get_by_index(0)?,
                    sealed: row.try_get_by_index(1)?,
                    is_in_use: is_in_use == 1,
                })
            });
            values.collect()
        })
        .await
    }

    /// Replaces those of the values that are still as they were read, in one transaction. With `event_at`, it
    /// records a rotation of the root secret if it replaces any. Returns their number.
    pub async fn reseal(
        &self,
        column: SealedColumn,
        values: &[ResealedValue],
        event_at: Option<Time>,
    ) -> Result<u64, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            let backend = transaction.get_database_backend();
            if backend == DbBackend::Postgres {
                // A rotation of the signing keys writes back the sealed texts that it has read.
                let lock = format!("SELECT pg_advisory_xact_lock({KEY_SET_LOCK_ID})");
                transaction.execute_unprepared(&lock).await?;
            }
            let mut replaced = 0;
            for value in values {
                let values = [
                    value.id.as_str().into(),
                    value.old.as_str().into(),
                    value.new.as_str().into(),
                ];
                let replace = Statement::from_sql_and_values(backend, column.replace(), values);
                replaced += transaction.execute_raw(replace).await?.rows_affected();
            }
            if let Some(now) = event_at.filter(|_| replaced > 0) {
                let kind = EventKind::RootSecretRotated;
                let event = NewSecurityEvent::new(kind, &Actor::Operator, now);
                security_events::insert(&transaction, event).await?;
            }
            transaction.commit().await?;
            Ok(replaced)
        })
        .await
    }

    /// Returns when the previous root secret is no longer needed.
    pub async fn previous_secret_needed_until(&self, now: Time) -> Result<Time, StoreError> {
        with_deadline(previous_secret_needed_until(self.reader(), now)).await
    }
}

/// Returns when the last session ends whose refresh token may have been signed under the previous root secret:
/// one that was not refreshed since the latest rotation of the secret. If no rotation is recorded, these are
/// all sessions.
pub(super) async fn previous_secret_needed_until<C: ConnectionTrait>(
    db: &C,
    now: Time,
) -> Result<Time, StoreError> {
    let backend = db.get_database_backend();
    let kind = EventKind::RootSecretRotated.as_str();
    let latest = Statement::from_sql_and_values(
        backend,
        "SELECT MAX(at) FROM events WHERE kind = $1",
        [kind.into()],
    );
    let rotated_at: Option<i64> = match db.query_one_raw(latest).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    let rotated_at = rotated_at.unwrap_or(now.millis());
    let ends = Statement::from_sql_and_values(
        backend,
        "SELECT MAX(CASE WHEN rotated_at + idle_limit < expires_at
            THEN rotated_at + idle_limit ELSE expires_at END)
        FROM sessions WHERE revoked_at IS NULL AND rotated_at <= $1 AND expires_at > $2",
        [rotated_at.into(), now.millis().into()],
    );
    let last: Option<i64> = match db.query_one_raw(ends).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    Ok(last.map_or(now, Time::from_millis))
}
