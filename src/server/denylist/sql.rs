//! No copy at all: every check is one indexed read of the truth.

use async_trait::async_trait;

use super::unavailable;
use crate::clock::Time;
use crate::denylist::{Denial, Denylist, TokenIds, TokenStatus, Unavailable};
use crate::server::store::Store;

/// Asks SQL.
#[derive(Debug)]
pub(super) struct SqlDenylist {
    store: Store,
}

impl SqlDenylist {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Denylist for SqlDenylist {
    async fn check(&self, ids: TokenIds<'_>, _now: Time) -> Result<TokenStatus, Unavailable> {
        self.store.token_status(ids).await.map_err(unavailable)
    }

    /// The caller has committed the revocation: nothing remains to be done.
    async fn deny(&self, _denials: &[Denial], _now: Time) -> Result<(), Unavailable> {
        Ok(())
    }
}
