//! Rows of `keys`: the signing keys.

use entity::key::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, QueryOrder,
};

use super::security_events::{self, NewSecurityEvent};
use super::{Store, StoreError, authorization, with_deadline};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;

/// An arbitrary number that is the same in every version of the program.
pub(super) const KEY_SET_LOCK_ID: i64 = 0x6c61_7463_6865_7401;

/// A stored signing key. Three times define its life cycle: it signs from `active_from` until
/// `retiring_from` and verifies until `gone_from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSigningKey {
    /// RFC 7638 thumbprint; random for HMAC keys.
    pub kid: String,
    /// `EdDSA`, `ES256`, `RS256` or `HS256`.
    pub algorithm: String,
    /// Public JWK as JSON; empty for HMAC keys.
    pub public_jwk: String,
    /// Private part, encrypted with a key from the root secret; empty when the key is gone.
    pub sealed_private: String,
    /// Time of creation.
    pub created_at: Time,
    /// Time from which it signs.
    pub active_from: Time,
    /// Time from which it no longer signs; `None` while no successor is set.
    pub retiring_from: Option<Time>,
    /// Time from which it no longer verifies.
    pub gone_from: Option<Time>,
}

impl Store {
    /// Returns every key, oldest first.
    pub async fn keys(&self) -> Result<Vec<StoredSigningKey>, StoreError> {
        with_deadline(all_keys(self.reader())).await
    }

    /// Calls `revise` with every key and stores the keys that it returns, new or replaced, under a lock: two
    /// replicas that start on an empty database create one set. Returns the keys afterwards.
    ///
    /// `revise` runs while the lock is held: generate keys before the call.
    pub async fn revise_keys<F>(&self, revise: F) -> Result<Vec<StoredSigningKey>, StoreError>
    where
        F: FnOnce(&[StoredSigningKey]) -> Vec<StoredSigningKey> + Send,
    {
        self.revise(revise, None).await
    }

    /// Like [`Store::revise_keys`], and records a key rotation if `revise` returns any keys.
    pub async fn rotate_keys<F>(
        &self,
        revise: F,
        actor: &Actor,
        now: Time,
    ) -> Result<Vec<StoredSigningKey>, StoreError>
    where
        F: FnOnce(&[StoredSigningKey]) -> Vec<StoredSigningKey> + Send,
    {
        self.revise(revise, Some((actor, now))).await
    }

    async fn revise<F>(
        &self,
        revise: F,
        rotation: Option<(&Actor, Time)>,
    ) -> Result<Vec<StoredSigningKey>, StoreError>
    where
        F: FnOnce(&[StoredSigningKey]) -> Vec<StoredSigningKey> + Send,
    {
        with_deadline(async {
            let transaction = self.begin().await?;
            if let Some((actor, _)) = rotation {
                authorization::authorize(&transaction, actor, &[]).await?;
            }
            if transaction.get_database_backend() == DbBackend::Postgres {
                let lock = format!("SELECT pg_advisory_xact_lock({KEY_SET_LOCK_ID})");
                transaction.execute_unprepared(&lock).await?;
            }
            let revised = revise(&all_keys(&transaction).await?);
            if let Some((actor, now)) = rotation.filter(|_| !revised.is_empty()) {
                let event = NewSecurityEvent::new(EventKind::KeyRotated, actor, now);
                security_events::insert(&transaction, event).await?;
            }
            upsert_keys(&transaction, revised).await?;
            let keys = all_keys(&transaction).await?;
            transaction.commit().await?;
            Ok(keys)
        })
        .await
    }
}

pub(super) async fn all_keys<C: ConnectionTrait>(
    db: &C,
) -> Result<Vec<StoredSigningKey>, StoreError> {
    let ordered = Entity::find()
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Kid);
    let rows = ordered.all(db).await?;
    Ok(rows.into_iter().map(StoredSigningKey::from).collect())
}

pub(super) async fn upsert_keys<C: ConnectionTrait>(
    db: &C,
    keys: Vec<StoredSigningKey>,
) -> Result<(), StoreError> {
    let rows = keys
        .into_iter()
        .map(|key| Model::from(key).into_active_model().reset_all());
    let replaced = OnConflict::column(Column::Kid)
        .update_columns([
            Column::SealedPrivate,
            Column::ActiveFrom,
            Column::RetiringFrom,
            Column::GoneFrom,
        ])
        .to_owned();
    Entity::insert_many::<ActiveModel, _>(rows)
        .on_conflict(replaced)
        .exec_without_returning(db)
        .await?;
    Ok(())
}

impl From<Model> for StoredSigningKey {
    fn from(row: Model) -> Self {
        Self {
            kid: row.kid,
            algorithm: row.algorithm,
            public_jwk: row.public_jwk,
            sealed_private: row.sealed_private,
            created_at: Time::from_millis(row.created_at),
            active_from: Time::from_millis(row.active_from),
            retiring_from: row.retiring_from.map(Time::from_millis),
            gone_from: row.gone_from.map(Time::from_millis),
        }
    }
}

impl From<StoredSigningKey> for Model {
    fn from(key: StoredSigningKey) -> Self {
        Self {
            kid: key.kid,
            algorithm: key.algorithm,
            public_jwk: key.public_jwk,
            sealed_private: key.sealed_private,
            created_at: key.created_at.millis(),
            active_from: key.active_from.millis(),
            retiring_from: key.retiring_from.map(Time::millis),
            gone_from: key.gone_from.map(Time::millis),
        }
    }
}
