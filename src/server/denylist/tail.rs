//! Feed of the revocations that other processes write into SQL.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::clock::Time;
use crate::denylist::Denial;
use crate::server::clock_skew::CLOCK_SKEW;
use crate::server::store::{Entry, Store, StoreError};

/// Rows in a page.
const PAGE: u64 = 500;

/// On PostgreSQL a row may become visible after one with a higher number; transactions with revocations
/// are much shorter than this.
const OVERLAP: Duration = Duration::from_secs(10);

/// Reads all revocations that still matter, page by page.
pub(super) async fn page_after(
    store: &Store,
    seq: i64,
    now: Time,
) -> Result<Vec<Entry>, StoreError> {
    // A denial that has expired here may still matter to a process whose clock is behind.
    store.revocations_after(seq, PAGE, now - CLOCK_SKEW).await
}

/// Returns whether no more rows follow the page.
pub(super) fn is_last(page: &[Entry]) -> bool {
    u64::try_from(page.len()).is_ok_and(|len| len < PAGE)
}

/// Position in the revocations.
#[derive(Debug)]
pub(super) struct Tail {
    overlap: Duration,
    /// All rows up to here were taken, and no further row up to here can appear.
    low: i64,
    /// Rows that were taken beyond `low`.
    taken: BTreeSet<i64>,
    /// Start time and last row of each recent pass.
    passes: VecDeque<(Instant, i64)>,
    /// Position of the current pass.
    cursor: i64,
    pass_began: Option<Instant>,
}

/// Rows that were read but not yet taken.
#[derive(Debug)]
pub(super) struct Unread {
    page: Vec<Entry>,
    /// Denials of the rows that are new.
    pub(super) denials: Vec<Denial>,
}

impl Tail {
    /// Starts with the oldest relevant revocation, for databases whose rows appear in the order of their
    /// numbers: SQLite has one writer at a time.
    pub(super) fn of_sqlite() -> Self {
        Self::new(Duration::ZERO)
    }

    /// Starts with the oldest relevant revocation, for databases whose rows may appear out of order.
    pub(super) fn of_any() -> Self {
        Self::new(OVERLAP)
    }

    fn new(overlap: Duration) -> Self {
        Self {
            overlap,
            low: 0,
            taken: BTreeSet::new(),
            passes: VecDeque::new(),
            cursor: 0,
            pass_began: None,
        }
    }

    /// Reads the next page. Unless it is [taken](Self::take), the next call reads it again.
    pub(super) async fn read(&mut self, store: &Store, now: Time) -> Result<Unread, StoreError> {
        self.pass_began.get_or_insert_with(Instant::now);
        let page = page_after(store, self.cursor, now).await?;
        let denials = page
            .iter()
            .filter(|entry| !self.taken.contains(&entry.seq))
            .map(|entry| entry.denial.clone())
            .collect();
        Ok(Unread { page, denials })
    }

    /// Records that the denials were copied. Returns the start of the pass that ends with them; `None`
    /// while more pages follow.
    pub(super) fn take(&mut self, unread: Unread) -> Option<Instant> {
        let Unread { page, .. } = unread;
        if let Some(entry) = page.last() {
            self.cursor = entry.seq;
        }
        if self.overlap.is_zero() {
            // The first pass reads every row, and would otherwise hold all their numbers at once.
            self.low = self.cursor;
        } else {
            self.taken.extend(page.iter().map(|entry| entry.seq));
        }
        if !is_last(&page) {
            return None;
        }
        let began = self.pass_began.take()?;
        let high = self.taken.last().copied().unwrap_or(self.low);
        self.passes.push_back((began, high));
        while let Some(&(then, high)) = self.passes.front()
            && began.duration_since(then) >= self.overlap
        {
            self.low = high;
            self.passes.pop_front();
        }
        self.taken = self.taken.split_off(&self.low.saturating_add(1));
        self.cursor = self.low;
        Some(began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denylist::Denied;

    fn page(seqs: &[i64]) -> Unread {
        let page = seqs.iter().map(|&seq| Entry {
            seq,
            denial: Denial {
                denied: Denied::Token(seq.to_string()),
                not_after: Time::from_secs(1),
            },
        });
        Unread {
            page: page.collect(),
            denials: Vec::new(),
        }
    }

    fn pass(tail: &mut Tail, began: Instant, seqs: &[i64]) {
        tail.pass_began = Some(began);
        assert_eq!(tail.take(page(seqs)), Some(began));
    }

    #[test]
    fn a_row_that_appears_late_is_not_missed() {
        let mut tail = Tail::of_any();
        let start = Instant::now();

        pass(&mut tail, start, &[1, 3]);
        assert_eq!(tail.cursor, 0, "2 may still appear");
        pass(&mut tail, start + OVERLAP / 2, &[1, 2, 3, 4]);
        assert_eq!(tail.cursor, 0);
        pass(&mut tail, start + OVERLAP, &[1, 2, 3, 4, 5]);

        assert_eq!(tail.cursor, 3);
        assert_eq!(tail.taken, BTreeSet::from([4, 5]));
    }

    #[test]
    fn with_one_writer_no_row_is_remembered_between_two_pages() {
        let mut tail = Tail::of_sqlite();
        let first: Vec<i64> = (1..=500).collect();

        assert_eq!(tail.take(page(&first)), None, "more may follow");

        assert_eq!(tail.cursor, 500);
        assert!(tail.taken.is_empty());
    }

    #[test]
    fn with_one_writer_nothing_is_read_twice() {
        let mut tail = Tail::of_sqlite();
        let start = Instant::now();

        pass(&mut tail, start, &[1, 2]);
        pass(&mut tail, start, &[]);

        assert_eq!(tail.cursor, 2);
        assert!(tail.taken.is_empty());
    }
}
