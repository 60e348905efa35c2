//! Reads of users by id, in batches: one statement for all that wait.

use std::collections::{BTreeMap, BTreeSet};

use entity::user::{Column, Entity};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::batch_queue::{BatchQueue, Reply};
use super::connection::StoreConnections;
use super::{Store, StoreError, User, UserId, with_deadline};

/// Most users in one statement.
const MAX_BATCH_SIZE: usize = 512;

/// A read that waits for its batch.
#[derive(Debug)]
pub(super) struct UserRead {
    id: UserId,
    reply: Reply<Option<User>>,
}

/// Starts the queue of the reads.
pub(super) fn start(connections: StoreConnections) -> BatchQueue<UserRead> {
    BatchQueue::start(MAX_BATCH_SIZE, move |_: Option<()>, reads| {
        let connections = connections.clone();
        async move {
            respond(&connections, reads).await;
            None
        }
    })
}

async fn respond(connections: &StoreConnections, reads: Vec<UserRead>) {
    let ids = reads.iter().map(|read| read.id.as_str()).collect();
    let found = with_deadline(read_users(connections, ids)).await;
    for UserRead { id, reply } in reads {
        let user = match &found {
            Ok(users) => Ok(users.get(&id).cloned()),
            Err(error) => Err(error.clone()),
        };
        // The caller may have disconnected.
        let _ = reply.send(user);
    }
}

async fn read_users(
    connections: &StoreConnections,
    ids: BTreeSet<&str>,
) -> Result<BTreeMap<UserId, User>, StoreError> {
    // Few different statements, which stay prepared. No user has an empty id.
    let padding = ids.len().next_power_of_two() - ids.len();
    let ids = ids.into_iter().chain(std::iter::repeat_n("", padding));
    let found = Entity::find().filter(Column::Id.is_in(ids));
    let rows = found.all(&connections.reader).await?;
    let users = rows.into_iter().map(User::from);
    Ok(users.map(|user| (user.id.clone(), user)).collect())
}

impl Store {
    /// Returns the user with that id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the queue is full or the database fails.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        // PostgreSQL refuses a statement with NUL in a text, also for the others of the batch.
        if id.as_str().contains('\0') {
            return Ok(None);
        }
        let id = id.clone();
        let read = self.0.user_reads.run(|reply| UserRead { id, reply });
        read.await
    }
}
