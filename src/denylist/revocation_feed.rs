//! Feed of the revocations that other processes write into SQL.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::clock_skew::CLOCK_SKEW;
use crate::store::{NumberedDenial, Store, StoreError};
use latchet_guard::clock::Time;
use latchet_guard::denylist::Denial;

/// Rows in a page.
const PAGE_ROWS: u64 = 500;

/// On PostgreSQL a row may become visible after one with a higher number; transactions with revocations
/// are much shorter than this.
const OVERLAP: Duration = Duration::from_secs(10);

/// Reads all revocations that still matter, page by page.
pub(super) async fn read_page(
    store: &Store,
    seq: i64,
    now: Time,
) -> Result<Vec<NumberedDenial>, StoreError> {
    // A denial that has expired here may still matter to a process whose clock is behind.
    store
        .revocations_after(seq, PAGE_ROWS, now - CLOCK_SKEW)
        .await
}

/// Returns whether no more rows follow the page.
pub(super) fn is_last_page(page: &[NumberedDenial]) -> bool {
    u64::try_from(page.len()).is_ok_and(|len| len < PAGE_ROWS)
}

/// Position in the revocations.
#[derive(Debug)]
pub(super) struct RevocationFeed {
    overlap: Duration,
    /// All rows up to here were copied, and no further row up to here can appear.
    complete_up_to: i64,
    /// Rows that were copied beyond `complete_up_to`.
    acknowledged: BTreeSet<i64>,
    /// Start time and last row of each recent pass.
    passes: VecDeque<(Instant, i64)>,
    /// Position of the current pass.
    cursor: i64,
    pass_began: Option<Instant>,
}

/// Rows that were read but not yet copied.
#[derive(Debug)]
pub(super) struct RevocationPage {
    page: Vec<NumberedDenial>,
    /// Denials of the rows that are new.
    pub(super) denials: Vec<Denial>,
}

impl RevocationFeed {
    /// Starts with the oldest relevant revocation, for databases whose rows appear in the order of their
    /// numbers: SQLite has one writer at a time.
    pub(super) fn for_sqlite() -> Self {
        Self::new(Duration::ZERO)
    }

    /// Starts with the oldest relevant revocation, for databases whose rows may appear out of order.
    pub(super) fn for_any_database() -> Self {
        Self::new(OVERLAP)
    }

    fn new(overlap: Duration) -> Self {
        Self {
            overlap,
            complete_up_to: 0,
            acknowledged: BTreeSet::new(),
            passes: VecDeque::new(),
            cursor: 0,
            pass_began: None,
        }
    }

    /// Reads the next page. Unless it is [acknowledged](Self::acknowledge), the next call reads it again.
    pub(super) async fn next_page(
        &mut self,
        store: &Store,
        now: Time,
    ) -> Result<RevocationPage, StoreError> {
        self.pass_began.get_or_insert_with(Instant::now);
        let page = read_page(store, self.cursor, now).await?;
        let denials = page
            .iter()
            .filter(|entry| !self.acknowledged.contains(&entry.seq))
            .map(|entry| entry.denial.clone())
            .collect();
        Ok(RevocationPage { page, denials })
    }

    /// Records that the denials were copied. Returns the start of the pass that ends with them; `None`
    /// while more pages follow.
    pub(super) fn acknowledge(&mut self, page: RevocationPage) -> Option<Instant> {
        let RevocationPage { page, .. } = page;
        if let Some(entry) = page.last() {
            self.cursor = entry.seq;
        }
        if self.overlap.is_zero() {
            // The first pass reads every row, and would otherwise hold all their numbers at once.
            self.complete_up_to = self.cursor;
        } else {
            self.acknowledged.extend(page.iter().map(|entry| entry.seq));
        }
        if !is_last_page(&page) {
            return None;
        }
        let began = self.pass_began.take()?;
        let high = self
            .acknowledged
            .last()
            .copied()
            .unwrap_or(self.complete_up_to);
        self.passes.push_back((began, high));
        while let Some(&(then, high)) = self.passes.front()
            && began.duration_since(then) >= self.overlap
        {
            self.complete_up_to = high;
            self.passes.pop_front();
        }
        self.acknowledged = self
            .acknowledged
            .split_off(&self.complete_up_to.saturating_add(1));
        self.cursor = self.complete_up_to;
        Some(began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchet_guard::denylist::DenialTarget;

    fn page(seqs: &[i64]) -> RevocationPage {
        let page = seqs.iter().map(|&seq| NumberedDenial {
            seq,
            denial: Denial {
                denied: DenialTarget::Token(seq.to_string()),
                not_after: Time::from_secs(1),
            },
        });
        RevocationPage {
            page: page.collect(),
            denials: Vec::new(),
        }
    }

    fn run_pass(feed: &mut RevocationFeed, began: Instant, seqs: &[i64]) {
        feed.pass_began = Some(began);
        assert_eq!(feed.acknowledge(page(seqs)), Some(began));
    }

    #[test]
    fn a_row_that_appears_late_is_read() {
        let mut feed = RevocationFeed::for_any_database();
        let start = Instant::now();

        run_pass(&mut feed, start, &[1, 3]);
        assert_eq!(feed.cursor, 0, "2 may still appear");
        run_pass(&mut feed, start + OVERLAP / 2, &[1, 2, 3, 4]);
        assert_eq!(feed.cursor, 0);
        run_pass(&mut feed, start + OVERLAP, &[1, 2, 3, 4, 5]);

        assert_eq!(feed.cursor, 3);
        assert_eq!(feed.acknowledged, BTreeSet::from([4, 5]));
    }

    #[test]
    fn with_one_writer_no_row_is_stored_between_pages() {
        let mut feed = RevocationFeed::for_sqlite();
        let first: Vec<i64> = (1..=500).collect();

        assert_eq!(feed.acknowledge(page(&first)), None, "more may follow");

        assert_eq!(feed.cursor, 500);
        assert!(feed.acknowledged.is_empty());
    }

    #[test]
    fn with_one_writer_no_row_is_read_twice() {
        let mut feed = RevocationFeed::for_sqlite();
        let start = Instant::now();

        run_pass(&mut feed, start, &[1, 2]);
        run_pass(&mut feed, start, &[]);

        assert_eq!(feed.cursor, 2);
        assert!(feed.acknowledged.is_empty());
    }
}
