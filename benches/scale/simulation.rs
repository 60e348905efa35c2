//! Ten times as many denials as the largest size, in this process: the copy that a server keeps in
//! memory, without a database that holds so many rows.

use std::hint::black_box;
use std::time::{Duration, Instant};

use latchet_guard::clock::{Clock, Time};
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::denylist::{Denial, DenialTarget, TokenIds, TokenStatus};

use crate::Options;
use crate::denylist::judge_bytes_per_entry;
use crate::findings::{Chart, Line, ScaleResults, Series, number, power};
use crate::support::fill::id;
use crate::support::process::own_resident_mib;

const LEAST: u64 = 1_000;
/// Enough that they are not all in the processor's cache.
const CHECKS: u64 = 100_000;
const AT_A_TIME: usize = 500;

pub(crate) fn measure(options: &Options, findings: &mut ScaleResults) {
    let now = Clock::system().now();
    let list = MemoryDenylist::new();
    let before = own_resident_mib();
    let mut sizes = options.sizes(LEAST);
    sizes.push(options.largest.saturating_mul(10));
    let mut points = Vec::new();
    let mut held = 0;
    for size in sizes {
        let start = Instant::now();
        fill(&list, held..size, now);
        let added = number(size - held);
        let adding = start.elapsed().as_secs_f64() * 1e9 / added;
        held = size;
        let nanos = ask(&list, size, now);
        let bytes = (own_resident_mib() - before) * 1024.0 * 1024.0 / number(size);
        points.push((number(size), nanos));
        findings.line(Line {
            what: "simulated: bytes of a denial in memory".to_owned(),
            at: power(size),
            figure: format!("{nanos:.0} ns a check"),
            judged: judge_bytes_per_entry(bytes, size),
            note: format!("{adding:.0} ns to add one"),
        });
    }
    let mut chart = Chart::new(
        "One check of the denylist in memory, simulated".to_owned(),
        "denials",
        "nanoseconds",
    );
    chart.series.push(Series {
        name: "check".to_owned(),
        points,
    });
    findings.chart(chart);
}

fn fill(list: &MemoryDenylist, numbers: std::ops::Range<u64>, now: Time) {
    for number in numbers {
        let denial = Denial {
            denied: DenialTarget::Session(id(number)),
            not_after: now + Duration::from_hours(1),
        };
        list.insert(&denial, now);
    }
}

/// Asks about sessions all over the list that are denied, and returns how many nanoseconds one takes.
/// Few ids are held at a time: a large piece of memory that is given back would change how the
/// allocator treats the tables of the list, which are measured.
fn ask(list: &MemoryDenylist, size: u64, now: Time) -> f64 {
    let mut took = Duration::ZERO;
    for first in (0..CHECKS).step_by(AT_A_TIME) {
        let places = (first..CHECKS).take(AT_A_TIME);
        let ids: Vec<String> = places.map(|place| id(place * 7_919 % size)).collect();
        let start = Instant::now();
        for id in &ids {
            let ids = TokenIds {
                sid: Some(id),
                jti: "",
                sub: "",
                authority_version: 0,
            };
            assert_eq!(black_box(list.status(ids, now)), TokenStatus::Revoked);
        }
        took += start.elapsed();
    }
    took.as_secs_f64() * 1e9 / number(CHECKS)
}
