//! Deletion of users, with everything that is kept of them except the events, which keep the id alone.
//!
//! The access tokens of the user are denied until they have expired: the denial is no row of the user.

use std::time::Duration;

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, QueryFilter};

use super::connection::{SQLITE_BUSY_TIMEOUT, sqlite_file};
use super::security_events::{self, NewSecurityEvent};
use super::{
    DenialPeriod, NewDelivery, Store, StoreError, UserId, authority, authorization, outbox,
    with_deadline,
};
use crate::security_events::{Actor, EventKind};
use entity::{code, email, outbox as outbox_row, reset_link, session, user};
use latchet_guard::denylist::Denial;

impl Store {
    /// Deletes a user. Returns the denial of the user's access tokens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user; [`StoreError::LastAdministrator`];
    /// [`StoreError::NotAdministrator`] when the actor is another user without the role.
    pub async fn delete_user(
        &self,
        id: &UserId,
        notices: &[NewDelivery],
        actor: &Actor,
        period: DenialPeriod,
    ) -> Result<Denial, StoreError> {
        with_deadline(async {
            let transaction = self.begin().await?;
            authorization::authorize_deletion(&transaction, actor, id).await?;
            let denial = authority::raise_version(&transaction, id, period).await?;
            delete_rows(&transaction, id).await?;
            let event = NewSecurityEvent {
                user: Some(id),
                ..NewSecurityEvent::new(EventKind::UserDeleted, actor, period.now)
            };
            security_events::insert(&transaction, event).await?;
            outbox::insert(&transaction, notices, period.now).await?;
            transaction.commit().await?;
            self.outbox_signal().notify_one();
            Ok(denial)
        })
        .await
    }
}

/// Most attempts to empty the journal of SQLite, and the time between two of them.
const JOURNAL_TRIES: usize = 20;
const JOURNAL_PAUSE: Duration = Duration::from_millis(50);

/// Moves the journal into the database and empties it, without waiting for those who read from it: they would keep
/// all others from writing meanwhile.
const EMPTY_JOURNAL: &str = "
    PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {busy};";

impl Store {
    /// Empties the journal of SQLite, which has copies of pages from before a deletion, unless others read from it for
    /// a second. Later changes overwrite what remains then.
    pub async fn empty_journal(&self) {
        let db = self.writer();
        if db.get_database_backend() != DbBackend::Sqlite {
            return;
        }
        let Ok(file) = sqlite_file(self.0.url.expose()) else {
            return;
        };
        let mut journal = file.into_os_string();
        journal.push("-wal");
        let busy = SQLITE_BUSY_TIMEOUT.as_millis().to_string();
        let sql = EMPTY_JOURNAL.replace("{busy}", &busy);
        for _ in 0..JOURNAL_TRIES {
            if let Err(error) = db.execute_unprepared(&sql).await {
                tracing::debug!(%error, "cannot empty the journal now");
            }
            if std::fs::metadata(&journal).map_or(true, |journal| journal.len() == 0) {
                return;
            }
            tokio::time::sleep(JOURNAL_PAUSE).await;
        }
    }
}

/// Deletes the rows of a user, those that point at the user first.
async fn delete_rows<C: ConnectionTrait>(db: &C, id: &UserId) -> Result<(), StoreError> {
    let id = id.as_str();
    outbox_row::Entity::delete_many()
        .filter(outbox_row::Column::UserId.eq(id))
        .exec(db)
        .await?;
    code::Entity::delete_many()
        .filter(code::Column::UserId.eq(id))
        .exec(db)
        .await?;
    email::Entity::delete_many()
        .filter(email::Column::UserId.eq(id))
        .exec(db)
        .await?;
    let links = Condition::any()
        .add(reset_link::Column::UserId.eq(id))
        .add(reset_link::Column::MadeBy.eq(id));
    reset_link::Entity::delete_many()
        .filter(links)
        .exec(db)
        .await?;
    session::Entity::delete_many()
        .filter(session::Column::UserId.eq(id))
        .exec(db)
        .await?;
    user::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
