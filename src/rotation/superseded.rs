//! Times at which earlier generations of a session were superseded.

use std::str::FromStr;

use super::{Grace, MalformedColumn};
use latchet_guard::clock::Time;

/// Times at which earlier generations were superseded, newest first: those within the last [`Grace::MAX`],
/// and at most [`Superseded::MAX_TIMES`]. Written in the database as milliseconds, separated by commas.
///
/// A generation that was superseded earlier is reuse under any grace period, and the row is a third shorter
/// without its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Superseded(Vec<Time>);

impl Superseded {
    /// Number of generations for which a retry can be distinguished from reuse.
    pub const MAX_TIMES: usize = 16;

    /// Length of a time as text, until the year 2286.
    const DIGITS_PER_TIME: usize = 13;

    /// Returns the time at which the generation `generations_back` before the current one was superseded (1 is the
    /// direct predecessor); `None` when the time was removed.
    pub(super) fn at(&self, generations_back: u64) -> Option<Time> {
        let index = usize::try_from(generations_back.checked_sub(1)?).ok()?;
        self.0.get(index).copied()
    }

    pub(super) fn with_newest(&self, now: Time) -> Self {
        let older = self.0.iter().copied().take(Self::MAX_TIMES - 1);
        let within_max_grace = older.take_while(|time| Grace::MAX.covers(*time, now));
        let mut times = Vec::with_capacity(Self::MAX_TIMES);
        times.push(now);
        times.extend(within_max_grace);
        Self(times)
    }

    /// Returns the time that the next rotation removes: the oldest one when the list is full.
    pub(super) fn next_removed(&self) -> Option<Time> {
        self.0.get(Self::MAX_TIMES - 1).copied()
    }

    /// Returns the times in the format of the database.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * (Self::DIGITS_PER_TIME + 1));
        let mut digits = itoa::Buffer::new();
        for time in &self.0 {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(digits.format(time.millis()));
        }
        text
    }
}

impl FromStr for Superseded {
    type Err = MalformedColumn;

    fn from_str(text: &str) -> Result<Self, MalformedColumn> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut times = Vec::with_capacity(Self::MAX_TIMES);
        for digits in text.as_bytes().split(|byte| *byte == b',') {
            match millis(digits) {
                Some(millis) if times.len() < Self::MAX_TIMES => {
                    times.push(Time::from_millis(millis));
                }
                _ => {
                    return Err(MalformedColumn {
                        text: text.to_owned(),
                        expected: "a list of at most 16 times, separated by commas",
                    });
                }
            }
        }
        Ok(Self(times))
    }
}

/// Parses a non-negative number. Each refresh of a busy session parses sixteen of them, and the standard
/// library's parser, which handles signs and any base, takes nearly twice as many instructions.
fn millis(digits: &[u8]) -> Option<i64> {
    let (first, others) = digits.split_first()?;
    let value = |digit: &u8| digit.is_ascii_digit().then(|| i64::from(digit - b'0'));
    others.iter().try_fold(value(first)?, |number, digit| {
        number.checked_mul(10)?.checked_add(value(digit)?)
    })
}
