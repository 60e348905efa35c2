//! Reads of users by id, in batches: one statement for all that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use entity::user::{Column, Entity};
use sea_orm::{ConnectionTrait, EntityTrait, IdenStatic, Iterable};

use super::batch_queue::{BatchQueue, Reply};
use super::connection::StoreConnections;
use super::row_table::{TableRows, WANTED_IDS, with_table};
use super::{Store, StoreError, User, UserId, with_deadline};

/// Most users in one statement.
const MAX_BATCH_SIZE: usize = 512;

/// The columns that this version knows. With `*` a prepared statement fails once a later version adds one.
static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let names = Column::iter().map(|column| format!("users.{}", column.as_str()));
    names.collect::<Vec<_>>().join(", ")
});

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
    let wanted = TableRows::new(&WANTED_IDS, ids.into_iter().map(|id| [id.into()]));
    // On SQLite `CROSS JOIN` fixes the order: each user is looked up by its id.
    let sql = format!(
        "SELECT {} FROM wanted CROSS JOIN users WHERE users.id = wanted.id",
        *COLUMNS
    );
    let backend = connections.reader.get_database_backend();
    let found = Entity::find().from_raw_sql(with_table(backend, wanted, &sql));
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
