//! Rows of `service_credentials`: the secrets of services that the servers of this database accept.
//!
//! The settings name the services, and a start of a server makes the rows agree with its settings. The rows
//! decide: so a credential that was removed or revoked is refused by every replica at its next request, also
//! by those that were not restarted, and its tokens are denied like those of a session that has ended.

use std::time::Duration;

use entity::service_credential::{ActiveModel, Column, Entity, Model};
use sea_orm::sea_query::{Condition, Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::security_events::{self, NewSecurityEvent};
use super::{DenialPeriod, Store, StoreError, revocations, with_deadline};
use crate::ids::{CredentialId, SessionId};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;
use latchet_guard::denylist::{Denial, DenialTarget};

/// An arbitrary number that is the same in every version of the program.
const LOCK_ID: i64 = 0x6c61_7463_6865_7402;

/// Accuracy of the time of the last use: a request within this time writes nothing.
const USE_ACCURACY: Duration = Duration::from_mins(1);

/// A credential in the settings of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredCredential {
    /// Name of the service.
    pub service: String,
    /// SHA-256 of the secret, base64url.
    pub secret_hash: String,
}

/// State of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// It is accepted.
    Active,
    /// The settings no longer contained it at this time. It is accepted again when they do.
    Removed(Time),
    /// The operator revoked it at this time. It is never accepted again.
    Revoked(Time),
}

/// A credential of a service, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCredential {
    /// The `sid` of its tokens.
    pub id: CredentialId,
    /// Name of the service.
    pub service: String,
    /// Time of the first start of a server with it.
    pub created_at: Time,
    /// Time of the last use, to the minute; `None` before the first one.
    pub last_used_at: Option<Time>,
    /// State.
    pub state: CredentialState,
}

/// Changes that made the rows agree with the settings.
#[derive(Clone, Debug, Default)]
pub struct ReconciledCredentials {
    /// Names of the services of new credentials.
    pub added: Vec<String>,
    /// Names of the services of the credentials that ended.
    pub ended: Vec<String>,
    /// Names of the services whose configured credentials are revoked, and stay refused.
    pub revoked: Vec<String>,
    /// Denials of the tokens of the credentials that ended.
    pub denials: Vec<Denial>,
}

impl Store {
    /// Makes the active credentials those of the settings. A revoked one stays revoked.
    pub async fn reconcile_service_credentials(
        &self,
        configured: &[ConfiguredCredential],
        period: DenialPeriod,
    ) -> Result<ReconciledCredentials, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            lock(&transaction).await?;
            let rows = Entity::find()
                .filter(
                    Condition::any()
                        .add(Column::EndedAt.is_null())
                        .add(Column::IsRevoked.eq(true)),
                )
                .all(&transaction)
                .await?;
            let matches = |row: &Model, one: &ConfiguredCredential| {
                row.service == one.service && row.secret_hash == one.secret_hash
            };
            let mut changes = ReconciledCredentials::default();
            for one in configured {
                match rows.iter().find(|row| matches(row, one)) {
                    Some(row) if row.is_revoked => changes.revoked.push(one.service.clone()),
                    Some(_) => {}
                    None => {
                        insert(&transaction, one, period.now).await?;
                        changes.added.push(one.service.clone());
                    }
                }
            }
            let removed: Vec<Model> = rows
                .into_iter()
                .filter(|row| row.ended_at.is_none())
                .filter(|row| !configured.iter().any(|one| matches(row, one)))
                .collect();
            changes.denials = end(&transaction, &removed, period, EndKind::Removed).await?;
            changes.ended = removed.into_iter().map(|row| row.service).collect();
            transaction.commit().await?;
            Ok(changes)
        })
        .await
    }

    /// Returns the id of the active credential with this secret, and records that it was used; `None` if there is
    /// none.
    pub async fn use_service_credential(
        &self,
        credential: &ConfiguredCredential,
        now: Time,
    ) -> Result<Option<CredentialId>, StoreError> {
        let found = Entity::find()
            .filter(Column::Service.eq(&credential.service))
            .filter(Column::SecretHash.eq(&credential.secret_hash))
            .filter(Column::EndedAt.is_null());
        with_deadline(async {
            let Some(row) = found.one(self.reader()).await? else {
                return Ok(None);
            };
            let before = (now - USE_ACCURACY).millis();
            if row.last_used_at.is_none_or(|last| last < before) {
                Entity::update_many()
                    .col_expr(Column::LastUsedAt, Expr::val(now.millis()))
                    .filter(Column::Id.eq(&row.id))
                    .filter(
                        Condition::any()
                            .add(Column::LastUsedAt.is_null())
                            .add(Column::LastUsedAt.lt(before)),
                    )
                    .exec(self.writer())
                    .await?;
            }
            Ok(Some(CredentialId::from(row.id)))
        })
        .await
    }

    /// Returns the credentials that are active or were revoked, and the latest 100 that were removed; by name,
    /// newest first.
    pub async fn service_credentials(&self) -> Result<Vec<ServiceCredential>, StoreError> {
        with_deadline(async {
            let kept = Condition::any()
                .add(Column::EndedAt.is_null())
                .add(Column::IsRevoked.eq(true));
            let mut rows = Entity::find()
                .filter(kept.clone())
                .all(self.reader())
                .await?;
            let removed = Entity::find()
                .filter(kept.not())
                .order_by_desc(Column::EndedAt)
                .limit(100);
            rows.extend(removed.all(self.reader()).await?);
            let mut found: Vec<_> = rows.into_iter().map(ServiceCredential::from).collect();
            found.sort_by(|one, other| {
                let name = one.service.cmp(&other.service);
                name.then(other.created_at.cmp(&one.created_at))
            });
            Ok(found)
        })
        .await
    }

    /// Revokes every active credential of a service. Returns the denials of their tokens and of those that were
    /// revoked before, so that a call whose outcome was uncertain can be repeated; empty if there is none.
    pub async fn revoke_service(
        &self,
        service: &str,
        period: DenialPeriod,
    ) -> Result<Vec<Denial>, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            lock(&transaction).await?;
            let rows = Entity::find().filter(Column::Service.eq(service));
            let rows = rows.all(&transaction).await?.into_iter();
            let (active, ended): (Vec<Model>, Vec<Model>) =
                rows.partition(|row| row.ended_at.is_none());
            let mut denials = end(&transaction, &active, period, EndKind::Revoked).await?;
            let revoked = ended.iter().filter(|row| row.is_revoked);
            denials.extend(revoked.map(|row| denial(row, period)));
            transaction.commit().await?;
            Ok(denials)
        })
        .await
    }
}

/// Reason for the end of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndKind {
    Removed,
    Revoked,
}

/// Locks the credentials against other servers that start and commands that revoke. SQLite has one writer.
async fn lock<C: ConnectionTrait>(db: &C) -> Result<(), StoreError> {
    if db.get_database_backend() == DbBackend::Postgres {
        let lock = format!("SELECT pg_advisory_xact_lock({LOCK_ID})");
        db.execute_unprepared(&lock).await?;
    }
    Ok(())
}

async fn insert<C: ConnectionTrait>(
    db: &C,
    credential: &ConfiguredCredential,
    now: Time,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: Set(CredentialId::random().to_string()),
        service: Set(credential.service.clone()),
        secret_hash: Set(credential.secret_hash.clone()),
        created_at: Set(now.millis()),
        last_used_at: Set(None),
        ended_at: Set(None),
        is_revoked: Set(false),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Ends credentials and denies their tokens.
async fn end<C: ConnectionTrait>(
    db: &C,
    rows: &[Model],
    period: DenialPeriod,
    kind: EndKind,
) -> Result<Vec<Denial>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    Entity::update_many()
        .col_expr(Column::EndedAt, Expr::val(period.now.millis()))
        .col_expr(Column::IsRevoked, Expr::val(kind == EndKind::Revoked))
        .filter(Column::Id.is_in(ids))
        .exec(db)
        .await?;
    let denials: Vec<Denial> = rows.iter().map(|row| denial(row, period)).collect();
    let targets = denials.iter().map(|denial| denial.denied.clone());
    revocations::insert(db, targets, period).await?;
    for row in rows {
        let id = SessionId::from(row.id.as_str());
        let event = NewSecurityEvent {
            session: Some(&id),
            ..NewSecurityEvent::new(
                EventKind::ServiceCredentialEnded,
                &Actor::Operator,
                period.now,
            )
        };
        security_events::insert(db, event).await?;
    }
    Ok(denials)
}

/// Returns the denial of the tokens of a credential.
fn denial(row: &Model, period: DenialPeriod) -> Denial {
    Denial {
        denied: DenialTarget::Session(row.id.clone()),
        not_after: period.not_after,
    }
}

impl From<Model> for ServiceCredential {
    fn from(row: Model) -> Self {
        let state = match row.ended_at.map(Time::from_millis) {
            None => CredentialState::Active,
            Some(at) if row.is_revoked => CredentialState::Revoked(at),
            Some(at) => CredentialState::Removed(at),
        };
        Self {
            id: row.id.into(),
            service: row.service,
            created_at: Time::from_millis(row.created_at),
            last_used_at: row.last_used_at.map(Time::from_millis),
            state,
        }
    }
}
