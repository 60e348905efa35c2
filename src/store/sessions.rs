//! Rows of `sessions`, except their rotation. Every update changes few columns, on condition that `revoked_at`
//! is null, so that no write revives a session.

use std::time::Duration;

use entity::session::{Column, Entity, Model};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::logouts::{LogoutRequest, LogoutResult};
use super::security_events::{self, NewSecurityEvent};
use super::users::split_spaces;
use super::{
    DenialPeriod, SessionId, SessionWithOwner, Store, StoreError, UserId, authority, authorization,
    reset_links, revocations, rotate, with_deadline,
};
use crate::rotation::{RetryKeyHash, RevokeReason, SessionEnd, SessionState};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;
use latchet_guard::denylist::{Denial, DenialTarget};

/// The `client_id` of tokens without an OAuth client.
pub const FIRST_PARTY_CLIENT_ID: &str = "latchet";

/// One login on one device: the state that decides about its tokens, and their claims. Device and time of the
/// login are needed in lists alone, so a refresh does not read them: see [`LoginDevice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The `sid` of the session's tokens.
    pub id: SessionId,
    /// Owner of the session.
    pub user_id: UserId,
    /// State that decides about rotation.
    pub state: SessionState,
    /// Time at which the password was last verified in this session.
    pub auth_time: Time,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// Scopes granted at login.
    pub scope: Vec<String>,
    /// True when the login asked for less than all scopes that were granted then.
    pub is_narrowed: bool,
    /// OAuth client of the login; empty for the first party.
    pub client_id: String,
    /// First generation whose CSRF values are valid: the one that the last change of the password in this
    /// session created.
    pub csrf_epoch: u64,
}

/// Device of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginDevice {
    /// Browser or program; cut to 256 bytes.
    pub user_agent: String,
    /// Address.
    pub ip: String,
    /// Name that the user gave the device; empty for none.
    pub label: String,
}

impl Session {
    /// Returns how the session has ended by `now`; `None` while it is live.
    pub fn end(&self, now: Time) -> Option<SessionEnd> {
        self.state.end(now)
    }

    /// Returns the `client_id` of its tokens. RFC 9068 requires one in every access token, so the first party
    /// has a name, too.
    pub fn client(&self) -> &str {
        match self.client_id.as_str() {
            "" => FIRST_PARTY_CLIENT_ID,
            client => client,
        }
    }
}

/// Reason and time of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Reason.
    pub reason: RevokeReason,
    /// Time, and period for which it must be denied.
    pub period: DenialPeriod,
}

impl Store {
    /// Returns the session with that id and its user, ended or not.
    pub async fn session(&self, id: &SessionId) -> Result<Option<SessionWithOwner>, StoreError> {
        with_deadline(rotate::read_session(&self.0.connections, id)).await
    }

    /// Records that the password was verified again in this session; does nothing when it was revoked.
    pub async fn set_auth_time(&self, id: &SessionId, now: Time) -> Result<(), StoreError> {
        let update = Entity::update_many()
            .col_expr(Column::AuthTime, Expr::val(now.millis()))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::RevokedAt.is_null());
        with_deadline(async {
            update.exec(self.writer()).await?;
            Ok(())
        })
        .await
    }

    /// Revokes the session, if it belongs to `user` where one is given. With `actor` this records an event; a
    /// user's own logout is none, because there are too many of them. Returns the denials: also when it was
    /// revoked before, so that a caller whose denylist failed can repeat the whole call; none when there is
    /// no such session.
    pub async fn revoke_session(
        &self,
        id: &SessionId,
        user: Option<&UserId>,
        revocation: &Revocation,
        actor: Option<&Actor>,
    ) -> Result<Vec<Denial>, StoreError> {
        // PostgreSQL refuses a statement with NUL in a text, also for the others of the batch.
        let texts = [Some(id.as_str()), user.map(UserId::as_str)];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Ok(Vec::new());
        }
        if actor.is_none() {
            let logout = self.0.logouts.run(|reply| LogoutRequest {
                session: id.clone(),
                user: user.cloned(),
                revocation: *revocation,
                reply,
            });
            if logout.await? == LogoutResult::Ended {
                return Ok(vec![session_denial(id, revocation.period.not_after)]);
            }
        }
        with_deadline(async {
            let transaction = self.begin().await?;
            if let Some(actor) = actor {
                authorization::authorize(&transaction, actor, &[]).await?;
            }
            let mut found = Entity::find_by_id(id.as_str());
            if let Some(user) = user {
                found = found.filter(Column::UserId.eq(user.as_str()));
            }
            let Some(row) = found.one(&transaction).await? else {
                return Ok(Vec::new());
            };
            let revoked = revoke_live(&transaction, std::slice::from_ref(id), revocation).await?;
            if let Some(actor) = actor.filter(|_| revoked > 0) {
                let ended = NewSecurityEvent {
                    user: Some(&row.user_id.into()),
                    session: Some(id),
                    ..NewSecurityEvent::new(EventKind::SessionsEnded, actor, revocation.period.now)
                };
                security_events::insert(&transaction, ended).await?;
            }
            transaction.commit().await?;
            Ok(vec![session_denial(id, revocation.period.not_after)])
        })
        .await
    }

    /// Ends the user's sessions, except one if given, and records an event if any session ended. Takes the same
    /// time for any number of sessions. Returns the denial.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn revoke_all_sessions(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        revocation: &Revocation,
        actor: &Actor,
    ) -> Result<Denial, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            // Every user may end their own sessions.
            if !actor.is_user(user) {
                authorization::authorize(&transaction, actor, &[user]).await?;
            }
            // This locks the row of the user, before rows of any other table are locked.
            let (denial, has_ended) =
                authority::end_sessions(&transaction, user, except, revocation).await?;
            reset_links::delete_links_created_by(&transaction, user).await?;
            if has_ended {
                let ended = NewSecurityEvent {
                    user: Some(user),
                    ..NewSecurityEvent::new(EventKind::SessionsEnded, actor, revocation.period.now)
                };
                security_events::insert(&transaction, ended).await?;
            }
            transaction.commit().await?;
            Ok(denial)
        })
        .await
    }
}

/// Returns the denial of every token of a session.
pub(super) fn session_denial(id: &SessionId, not_after: Time) -> Denial {
    Denial {
        denied: DenialTarget::Session(id.to_string()),
        not_after,
    }
}

/// Revokes those of the sessions that are not revoked yet, records their denials, and returns their number.
/// Must run in a transaction.
pub(super) async fn revoke_live<C: ConnectionTrait>(
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
    let denied = revoked.into_iter().map(DenialTarget::Session);
    revocations::insert(db, denied, revocation.period).await?;
    Ok(count)
}

/// Returns the stored form of a retry key's hash, which is empty for none.
pub(super) fn retry_key_text(key: Option<RetryKeyHash>) -> String {
    key.map(|key| key.to_string()).unwrap_or_default()
}

fn parse_retry_key(text: &str) -> Result<Option<RetryKeyHash>, StoreError> {
    let key = Some(text).filter(|text| !text.is_empty());
    let key = key.map(str::parse).transpose();
    key.map_err(StoreError::malformed)
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
                retry_key: parse_retry_key(&row.retry_key_hash)?,
                expires_at: Time::from_millis(row.expires_at),
                idle_limit: Duration::from_millis(
                    u64::try_from(row.idle_limit).map_err(StoreError::malformed)?,
                ),
                revoked: revoked.map_err(StoreError::malformed)?,
            },
            auth_time: Time::from_millis(row.auth_time),
            amr: split_spaces(&row.amr),
            scope: split_spaces(&row.scope),
            is_narrowed: row.is_narrowed,
            client_id: row.client_id,
            csrf_epoch: u64::try_from(row.csrf_epoch).map_err(StoreError::malformed)?,
        })
    }
}
