//! Rotation of the root secret: seals every value of the database again, while servers run.
//!
//! Each transaction takes a bounded number of values, and replaces a value only if it is still the one that was
//! read. An interrupted rotation is completed by the next one.

use std::sync::Arc;

use super::derived_keys::{DerivedKeys, SecretAge};
use super::store::{ResealedValue, SealedColumn, SealedValue, Store, StoreError};
use latchet_guard::clock::{Clock, Time};

/// Most values that one transaction seals again: it stays short enough for other writers.
pub const VALUES_PER_TRANSACTION: u32 = 100;

/// Failure to seal the values again. Those that were sealed again before remain so.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The database failed.
    #[error("cannot read or write the sealed values; run `latchet secret rotate` again")]
    Store(#[from] StoreError),
    /// Neither secret opens a value. Nothing was changed.
    #[error(
        "neither the root secret nor the previous one opens {} {id}: set LATCHET_ROOT_SECRET_PREVIOUS to the secret under which it was sealed; nothing was changed",
        column.values()
    )]
    CannotOpen {
        /// The column.
        column: SealedColumn,
        /// Id of the row.
        id: String,
    },
}

/// Numbers of the sealed values of a column, by the secret that opens them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedCounts {
    /// Opened by the current secret.
    pub current: usize,
    /// Opened by the previous secret.
    pub previous: usize,
    /// Ids of those in use that neither secret opens.
    pub neither: Vec<String>,
}

/// A page of values that was sealed again.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    last_id: String,
    /// Number of values that were under the previous secret.
    previous: usize,
    /// Number of them that were sealed again. The others were changed by another process meanwhile.
    resealed: u64,
}

/// Rotation of the root secret.
#[derive(Debug)]
pub struct RootSecretRotation {
    /// The database.
    pub store: Store,
    /// Keys of both secrets.
    pub derived: Arc<DerivedKeys>,
    /// The clock of this process.
    pub clock: Clock,
    /// Most values that one transaction seals again.
    pub values_per_transaction: u32,
}

impl RootSecretRotation {
    /// Seals every value again that is sealed under the previous secret. Returns their number.
    ///
    /// # Errors
    /// [`RotationError::CannotOpen`] if neither secret opens a value in use: then nothing is changed.
    pub async fn run(&self) -> Result<u64, RotationError> {
        for column in SealedColumn::ALL {
            if let Some(id) = self.counts(column).await?.neither.pop() {
                return Err(RotationError::CannotOpen { column, id });
            }
        }
        let mut resealed = 0;
        let mut event_at = Some(self.clock.now());
        for column in SealedColumn::ALL {
            resealed += self.reseal_column(column, &mut event_at).await?;
        }
        Ok(resealed)
    }

    /// Counts the values of a column by the secret that opens them.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn counts(&self, column: SealedColumn) -> Result<SealedCounts, StoreError> {
        let mut counts = SealedCounts::default();
        let mut after = String::new();
        loop {
            let page = self.page(column, &after).await?;
            let Some(last) = page.last() else {
                return Ok(counts);
            };
            after.clone_from(&last.id);
            for value in page {
                match self.opened(column, &value) {
                    Some((SecretAge::Current, _)) => counts.current += 1,
                    Some((SecretAge::Previous, _)) => counts.previous += 1,
                    None if value.is_in_use => counts.neither.push(value.id),
                    None => {}
                }
            }
        }
    }
}

impl RootSecretRotation {
    /// Passes over a column until it finds no value of the previous secret. The first transaction that changes
    /// anything records the event.
    async fn reseal_column(
        &self,
        column: SealedColumn,
        event_at: &mut Option<Time>,
    ) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let mut previous = 0;
            let mut after = String::new();
            while let Some(page) = self.reseal_page(column, &after, *event_at).await? {
                after = page.last_id;
                previous += page.previous;
                total += page.resealed;
                event_at.take_if(|_| page.resealed > 0);
            }
            if previous == 0 {
                return Ok(total);
            }
        }
    }

    /// Seals the values of one page again, in one transaction; `None` after the last page.
    async fn reseal_page(
        &self,
        column: SealedColumn,
        after: &str,
        event_at: Option<Time>,
    ) -> Result<Option<Page>, StoreError> {
        let values = self.page(column, after).await?;
        let Some(last) = values.last() else {
            return Ok(None);
        };
        let last_id = last.id.clone();
        let resealed: Vec<ResealedValue> = values
            .into_iter()
            .filter_map(|value| match self.opened(column, &value)? {
                (SecretAge::Current, _) => None,
                (SecretAge::Previous, plain) => Some(ResealedValue {
                    new: self.derived.seal(&column.context(&value.id), &plain),
                    id: value.id,
                    old: value.sealed,
                }),
            })
            .collect();
        let previous = resealed.len();
        let resealed = if resealed.is_empty() {
            0
        } else {
            self.store.reseal(column, &resealed, event_at).await?
        };
        Ok(Some(Page {
            last_id,
            previous,
            resealed,
        }))
    }

    async fn page(
        &self,
        column: SealedColumn,
        after: &str,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let (limit, now) = (self.values_per_transaction, self.clock.now());
        self.store.sealed_values(column, after, limit, now).await
    }

    fn opened(&self, column: SealedColumn, value: &SealedValue) -> Option<(SecretAge, Vec<u8>)> {
        let context = column.context(&value.id);
        self.derived.open_under(&context, &value.sealed).ok()
    }
}

#[cfg(test)]
mod tests;
