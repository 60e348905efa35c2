//! Position of a reader of the security events, which misses none and reads none twice.
//!
//! On PostgreSQL an event gets its number before its transaction commits, so it may become visible after one
//! with a higher number. Each pass reads again from a position beyond which events may still appear.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::store::SecurityEvent;
use latchet_guard::clock::Time;

/// Time after which no event with a lower number appears any more. Transactions that record an event are much
/// shorter.
const OVERLAP: Duration = Duration::from_mins(1);

/// Age of events at the start before which none is missing: [`OVERLAP`], and the difference between the clocks
/// that record their times.
const SETTLED_AGE: Duration = Duration::from_mins(10);

/// The position.
#[derive(Debug, Default)]
pub(super) struct EventFeed {
    /// All events up to here were reported, and none can appear any more.
    complete_up_to: i64,
    /// Events beyond `complete_up_to` that were reported.
    reported: BTreeSet<i64>,
    /// The end of an earlier pass, and the last event up to then.
    earlier_pass: Option<(Instant, i64)>,
}

impl EventFeed {
    /// Returns the number of the event after which the next pass begins.
    pub(super) fn start_of_pass(&self) -> i64 {
        self.complete_up_to
    }

    /// Returns whether this event was not reported before. `now` is the time of the database server.
    pub(super) fn report(&mut self, event: &SecurityEvent, now: Time) -> bool {
        let is_new = event.id > self.complete_up_to && self.reported.insert(event.id);
        if event.at + SETTLED_AGE < now && self.earlier_pass.is_none() {
            // The first pass reads every event, and each later one would read them again.
            self.complete_up_to = event.id;
            self.reported.clear();
        }
        is_new
    }

    /// Ends a pass that began at `began` and has read all events that were visible then.
    pub(super) fn end_pass(&mut self, began: Instant, ended: Instant) {
        if let Some((earlier_end, last)) = self.earlier_pass {
            if began < earlier_end + OVERLAP {
                return;
            }
            self.complete_up_to = self.complete_up_to.max(last);
            self.reported = self.reported.split_off(&(last + 1));
        }
        let last = self.reported.last().copied();
        self.earlier_pass = Some((ended, last.unwrap_or(self.complete_up_to)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security_events::EventKind;

    const NOW: Time = Time::from_secs(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn event(id: i64, age: Duration) -> SecurityEvent {
        SecurityEvent {
            id,
            at: NOW - age,
            kind: EventKind::UserCreated,
            user: None,
            session: None,
            actor: None,
            ip: None,
        }
    }

    /// Reads a pass as a database with these events would return it, and returns the reported ones.
    fn pass(feed: &mut EventFeed, at: Instant, visible: &[SecurityEvent]) -> Vec<i64> {
        let start = feed.start_of_pass();
        let rows = visible.iter().filter(|event| event.id > start);
        let new = rows.filter(|event| feed.report(event, NOW));
        let new: Vec<i64> = new.map(|event| event.id).collect();
        feed.end_pass(at, at);
        new
    }

    #[test]
    fn an_event_that_appears_late_is_reported_once() {
        let mut feed = EventFeed::default();
        let start = Instant::now();
        let events: Vec<_> = (1..=4).map(|id| event(id, SECOND)).collect();
        let without_second = [events[0].clone(), events[2].clone()];

        assert_eq!(pass(&mut feed, start, &without_second), [1, 3]);
        assert_eq!(pass(&mut feed, start + SECOND, &events), [2, 4]);
        for seconds in 2..200 {
            let at = start + seconds * SECOND;
            assert_eq!(pass(&mut feed, at, &events), Vec::<i64>::new());
        }
        assert_eq!(feed.start_of_pass(), 4);
        assert!(feed.reported.is_empty());
    }

    #[test]
    fn a_gap_stays_open_for_the_whole_overlap() {
        let mut feed = EventFeed::default();
        let start = Instant::now();
        pass(&mut feed, start, &[event(5, SECOND)]);
        pass(&mut feed, start + 59 * SECOND, &[event(5, SECOND)]);

        let late = [event(4, SECOND), event(5, SECOND)];
        assert_eq!(pass(&mut feed, start + OVERLAP, &late), [4]);
    }

    #[test]
    fn old_events_are_not_read_again() {
        let mut feed = EventFeed::default();
        let day = Duration::from_hours(24);
        let events = [event(1, day), event(7, day), event(9, SECOND)];

        assert_eq!(pass(&mut feed, Instant::now(), &events), [1, 7, 9]);

        assert_eq!(feed.start_of_pass(), 7);
    }
}
