//! Rows of `sessions`, except their rotation. Every update is narrow and conditional on
//! `revoked_at IS NULL`, so that no write revives a session.

use std::num::NonZeroU32;
use std::time::Duration;

use entity::session::{Column, Entity, Model};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter,
    QuerySelect,
};

use super::events::{self, NewEvent};
use super::users::words;
use super::{
    Counter, Current, DenialPeriod, Owner, SessionId, Store, StoreError, User, UserId,
    administrators, authority, limited, reset_links, revocations, rotate, session_limit, throttle,
};
use crate::clock::Time;
use crate::denylist::{Denial, Denied};
use crate::server::events::{Actor, EventKind};
use crate::server::rotation::{End, KeyHash, RevokeReason, SessionState};

/// The `client_id` of tokens that no client asked for.
pub const FIRST_PARTY: &str = "latchet";

/// One login on one device: what decides about its tokens, and what they say. Where and when it was made is
/// shown in lists alone, and kept out of the way of those who refresh: see [`Device`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The `sid` of the session's tokens.
    pub id: SessionId,
    /// Whose session it is.
    pub user_id: UserId,
    /// What rotation decides by.
    pub state: SessionState,
    /// When the password was last proved in this session.
    pub auth_time: Time,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// Scopes granted at login.
    pub scope: Vec<String>,
    /// True when the login asked for less than all scopes that were granted then.
    pub is_narrowed: bool,
    /// OAuth client that asked; empty for the first party.
    pub client_id: String,
    /// The generation since which CSRF values count: that which the last change of the password in this
    /// session made.
    pub csrf_epoch: u64,
}

/// Where a login came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Browser or program; cut to 256 bytes.
    pub user_agent: String,
    /// Address.
    pub ip: String,
    /// Name the person gave the device; empty for none.
    pub label: String,
}

impl Session {
    /// Returns how the session has ended by `now`; `None` while it lives.
    pub fn end(&self, now: Time) -> Option<End> {
        self.state.end(now)
    }

    /// Returns the OAuth client as tokens name it. RFC 9068 wants one in every access token, so the
    /// first party has a name too.
    pub fn client(&self) -> &str {
        match self.client_id.as_str() {
            "" => FIRST_PARTY,
            client => client,
        }
    }
}

/// A login that is about to become a session.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Absolute end.
    pub expires_at: Time,
    /// How long the session may rest between two rotations.
    pub idle_limit: Duration,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// Scopes granted.
    pub scope: Vec<String>,
    /// True when these are less than all, because the login asked so.
    pub is_narrowed: bool,
    /// OAuth client that asked; empty for the first party.
    pub client_id: String,
    /// Where it came from.
    pub device: Device,
    /// Sessions that the user may have, this one included.
    pub limit: NonZeroU32,
    /// Time of the login, and for how long the end of a session that makes room must be remembered.
    pub period: DenialPeriod,
}

/// A session that was created, and what must be denied because it made room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedSession {
    /// The session and its user.
    pub current: Current,
    /// Denials of the sessions that ended.
    pub evicted: Vec<Denial>,
}

/// Reason and time of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Reason.
    pub reason: RevokeReason,
    /// Time, and for how long it must be remembered.
    pub period: DenialPeriod,
}

impl Store {
    /// Creates a session for the user whose password was verified, and gives the attempt back. Above
    /// the limit of sessions, the least recently used one ends. Returns `None` when the account was
    /// disabled or its password changed since `verified` was read.
    pub async fn create_session(
        &self,
        verified: &User,
        new: NewSession,
        counted: &[Counter],
        now: Time,
    ) -> Result<Option<StartedSession>, StoreError> {
        limited(async {
            let transaction = self.begin().await?;
            // PostgreSQL: the lock makes whatever raises the user's authority version come before
            // this, which then reads its result, or after it, which then ends the new session. Logins
            // of one user wait for each other, so that none passes the limit.
            let mut unchanged = entity::user::Entity::find_by_id(verified.id.as_str())
                .filter(entity::user::Column::DisabledAt.is_null())
                .filter(
                    entity::user::Column::PasswordChangedAt
                        .eq(verified.password_changed_at.millis()),
                );
            if transaction.get_database_backend() == DbBackend::Postgres {
                unchanged = unchanged.lock(LockType::NoKeyUpdate);
            }
            let Some(user) = unchanged.one(&transaction).await? else {
                return Ok(None);
            };
            let evicted = session_limit::make_room(&transaction, &user, &new).await?;
            let row = new_row(&user, new, now);
            let session = Session::try_from(row.clone())?;
            let active: entity::session::ActiveModel = row.into();
            Entity::insert(active.reset_all())
                .exec_without_returning(&transaction)
                .await?;
            // Last: on PostgreSQL everybody behind one address waits for that row.
            throttle::give_back(&transaction, counted).await?;
            transaction.commit().await?;
            let owner = Owner::try_from(&user)?;
            Ok(Some(StartedSession {
                current: Current { session, owner },
                evicted,
            }))
        })
        .await
    }

    /// Returns the session with that id and its user, ended or not.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Current>, StoreError> {
        limited(rotate::read_session(&self.0.connections, id)).await
    }

    /// Records that the password was proved again in this session; does nothing when it was revoked.
    pub async fn set_auth_time(&self, id: &SessionId, now: Time) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::AuthTime, Expr::val(now.millis()))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::RevokedAt.is_null());
        limited(async {
            update.exec(self.writer()).await?;
            Ok(())
        })
        .await
    }

    /// Revokes the session, if it is of that user where one is given. With `by` that is an event too:
    /// people's own logouts are none, there are too many. Returns what must be denied: also when it was
    /// revoked before, so that a caller whose denylist failed can repeat all; nothing when there is no
    /// such session.
    pub async fn revoke_session(
        &self,
        id: &SessionId,
        user: Option<&UserId>,
        revocation: &Revocation,
        by: Option<&Actor>,
    ) -> Result<Vec<Denial>, StoreError> {
        limited(async {
            let transaction = self.begin().await?;
            if let Some(by) = by {
                administrators::authorize(&transaction, by, &[]).await?;
            }
            let mut found = Entity::find_by_id(id.as_str());
            if let Some(user) = user {
                found = found.filter(Column::UserId.eq(user.as_str()));
            }
            let Some(row) = found.one(&transaction).await? else {
                return Ok(Vec::new());
            };
            let revoked = revoke(&transaction, std::slice::from_ref(id), revocation).await?;
            if let Some(by) = by.filter(|_| revoked > 0) {
                let ended = NewEvent {
                    user: Some(&row.user_id.into()),
                    session: Some(id),
                    ..NewEvent::new(EventKind::SessionsEnded, by, revocation.period.now)
                };
                events::insert(&transaction, ended).await?;
            }
            transaction.commit().await?;
            Ok(vec![denial(id, revocation.period.not_after)])
        })
        .await
    }

    /// Ends the user's sessions, except one where it is given, and records that where there were any.
    /// Takes the same time however many there are. Returns what must be denied.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn revoke_all(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        revocation: &Revocation,
        by: &Actor,
    ) -> Result<Denial, StoreError> {
        limited(async {
            let transaction = self.begin().await?;
            // Everybody may end their own.
            if !by.is(user) {
                administrators::authorize(&transaction, by, &[user]).await?;
            }
            // This locks the user, before rows of any other table are.
            let (denial, has_ended) =
                authority::end_sessions(&transaction, user, except, revocation).await?;
            reset_links::withdraw_made_by(&transaction, user).await?;
            if has_ended {
                let ended = NewEvent {
                    user: Some(user),
                    ..NewEvent::new(EventKind::SessionsEnded, by, revocation.period.now)
                };
                events::insert(&transaction, ended).await?;
            }
            transaction.commit().await?;
            Ok(denial)
        })
        .await
    }
}

/// Returns what denies every token of a session.
pub(super) fn denial(id: &SessionId, not_after: Time) -> Denial {
    Denial {
        denied: Denied::Session(id.to_string()),
        not_after,
    }
}

/// Revokes those of the sessions that are not revoked yet, records it for the denylist, and returns
/// how many they were. Belongs in a transaction.
pub(super) async fn revoke<C: ConnectionTrait>(
    db: &C,
    ids: &[SessionId],
    revocation: &Revocation,
) -> Result<usize, StoreError> {
    let ids = ids.iter().map(SessionId::as_str);
    let revoked: Vec<String> = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::val(revocation.period.now.millis()))
        .col_expr(Column::RevokeReason, Expr::val(revocation.reason.as_str()))
        .filter(Column::Id.is_in(ids))
        .filter(Column::RevokedAt.is_null())
        .exec_with_returning(db)
        .await?
        .into_iter()
        .map(|row| row.id)
        .collect();
    let count = revoked.len();
    let denied = revoked.into_iter().map(Denied::Session);
    revocations::insert(db, denied, revocation.period).await?;
    Ok(count)
}

fn new_row(user: &entity::user::Model, new: NewSession, now: Time) -> Model {
    Model {
        id: SessionId::random().to_string(),
        user_id: user.id.clone(),
        user_version: user.authority_version,
        generation: 0,
        rotated_at: now.millis(),
        superseded: String::new(),
        retry_key_hash: key_text(None),
        created_at: now.millis(),
        expires_at: new.expires_at.millis(),
        idle_limit: i64::try_from(new.idle_limit.as_millis()).unwrap_or(i64::MAX),
        auth_time: now.millis(),
        amr: new.amr.join(" "),
        scope: new.scope.join(" "),
        is_narrowed: new.is_narrowed,
        csrf_epoch: 0,
        client_id: new.client_id,
        revoked_at: None,
        revoke_reason: None,
        user_agent: cut(new.device.user_agent, 256),
        ip: new.device.ip,
        label: new.device.label,
    }
}

/// Returns the hash of a key as it is stored, which is empty for none.
pub(super) fn key_text(key: Option<KeyHash>) -> String {
    key.map(|key| key.to_string()).unwrap_or_default()
}

fn key(text: &str) -> Result<Option<KeyHash>, StoreError> {
    let key = Some(text).filter(|text| !text.is_empty());
    let key = key.map(str::parse).transpose();
    key.map_err(StoreError::malformed)
}

/// Shortens a text to at most that many bytes, between two characters.
fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

impl TryFrom<Model> for Session {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let revoked = row.revoke_reason.as_deref().map(str::parse).transpose();
        Ok(Self {
            id: row.id.into(),
            user_id: row.user_id.into(),
            state: SessionState {
                generation: u64::try_from(row.generation).map_err(StoreError::malformed)?,
                rotated_at: Time::from_millis(row.rotated_at),
                superseded: row.superseded.parse().map_err(StoreError::malformed)?,
                key: key(&row.retry_key_hash)?,
                expires_at: Time::from_millis(row.expires_at),
                idle_limit: Duration::from_millis(
                    u64::try_from(row.idle_limit).map_err(StoreError::malformed)?,
                ),
                revoked: revoked.map_err(StoreError::malformed)?,
            },
            auth_time: Time::from_millis(row.auth_time),
            amr: words(&row.amr),
            scope: words(&row.scope),
            is_narrowed: row.is_narrowed,
            client_id: row.client_id,
            csrf_epoch: u64::try_from(row.csrf_epoch).map_err(StoreError::malformed)?,
        })
    }
}
