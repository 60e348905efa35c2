//! No copy at all: every check is one indexed read of the truth.

use async_trait::async_trait;

use super::unavailable;
use crate::clock::Time;
use crate::denylist::{Denial, Denylist, Unavailable};
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
    async fn is_denied(
        &self,
        sid: Option<&str>,
        jti: &str,
        _now: Time,
    ) -> Result<bool, Unavailable> {
        self.store.is_denied(sid, jti).await.map_err(unavailable)
    }

    /// The caller has committed the revocation: nothing remains to be done.
    async fn deny(&self, _denials: &[Denial], _now: Time) -> Result<(), Unavailable> {
        Ok(())
    }
}
