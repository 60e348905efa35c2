//! Readiness check of the database, for probes.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::error_chain;
use super::store::{Store, StoreError};

/// Checks the database, and logs when its fault changes. Clones share the logged fault.
#[derive(Clone, Debug)]
pub struct DatabaseCheck {
    store: Store,
    logged: Arc<Mutex<Option<String>>>,
}

impl DatabaseCheck {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            logged: Arc::default(),
        }
    }

    /// Returns whether the database responds and accepts writes.
    pub async fn can_serve(&self) -> bool {
        let checked = self.store.check_suitability().await;
        self.log_change(&checked);
        checked.is_ok()
    }

    fn log_change(&self, checked: &Result<(), StoreError>) {
        let fault = checked
            .as_ref()
            .err()
            .map(|error| error_chain(error).join(": "));
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged == fault {
            return;
        }
        if let Some(fault) = &fault {
            tracing::error!(reason = fault, "not ready: the database cannot serve");
        } else {
            tracing::info!("the database can serve again");
        }
        *logged = fault;
    }
}
