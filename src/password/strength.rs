//! Strength of a password: a lower bound of the bits that a guesser who knows people's habits has
//! to find out. A password is split into parts (a common password, a walk over the keyboard, a date, what
//! came before …) in the cheapest way there is.

use std::collections::HashMap;

use super::spelling::{of_breached, spellings};
use super::{breached, keyboard};

/// Number of characters that are rated. The bound of a longer password is that of its beginning.
const LOOKED_AT: usize = 64;
const LONGEST_WORD: usize = 20;
const SHORTEST_WORD: usize = 3;
/// Bits of one of 10,000 words.
const WORD: f64 = 13.3;
/// Bits of one of 800,000 breached passwords.
const BREACHED: f64 = 19.6;
/// Bits of a word that belongs to the account or the service.
const CONTEXT: f64 = 2.0;
/// Bits of the place, length and way of a repetition.
const AGAIN: f64 = 5.0;
/// Bits of `abc`, `321`, `777` and the like, however long they are.
const SEQUENCE: f64 = 7.0;
const YEAR: f64 = 7.0;
/// Bits of a day in a century, in one of a few ways to write it.
const DATE: f64 = 16.0;
const DIGIT: f64 = 3.3;
const LETTER: f64 = 4.7;
const SIGN: f64 = 5.0;
const SIGN_AGAIN: f64 = 1.0;
const OTHER: f64 = 7.0;

/// A password whose parts are searched for.
pub(super) struct StrengthEstimate {
    chars: Vec<char>,
    /// Every text that may be a word, with its places and the bits of its spelling.
    spelled: HashMap<String, Vec<(usize, usize, f64)>>,
    /// Bits of the cheapest part from one place to another.
    parts: HashMap<(usize, usize), f64>,
}

impl StrengthEstimate {
    /// Returns a password, given in lower case, of which no words are known yet.
    pub(super) fn new(password: &str) -> Self {
        let chars: Vec<char> = password.chars().take(LOOKED_AT).collect();
        Self {
            spelled: spelled(&chars),
            chars,
            parts: HashMap::new(),
        }
    }

    /// Finds common words.
    pub(super) fn find_common(&mut self, words: impl Iterator<Item = String>) {
        self.find(words, WORD);
    }

    /// Finds words that belong to the account or the service.
    pub(super) fn find_context(&mut self, words: impl Iterator<Item = String>) {
        self.find(words, CONTEXT);
    }

    /// Finds parts that are breached passwords.
    pub(super) fn find_breached(&mut self) {
        for start in 0..self.chars.len() {
            for end in (start + breached::SHORTEST)..=self.chars.len() {
                if let Some(more) = of_breached(&self.chars[start..end]) {
                    self.offer(start, end, BREACHED + more);
                }
            }
        }
    }

    fn find(&mut self, words: impl Iterator<Item = String>, bits: f64) {
        for word in words {
            let places = self.spelled.get(&word).cloned().unwrap_or_default();
            for (start, end, more) in places {
                self.offer(start, end, bits + more);
            }
        }
    }

    fn offer(&mut self, start: usize, end: usize, bits: f64) {
        let known = self.parts.entry((start, end)).or_insert(bits);
        *known = known.min(bits);
    }

    /// Returns the bits of the cheapest way to put the password together.
    pub(super) fn bits(&self) -> f64 {
        let mut cheapest = vec![0.0];
        for end in 1..=self.chars.len() {
            let bits = (0..end)
                .filter_map(|start| Some(cheapest[start] + self.part(start, end)?))
                .fold(f64::INFINITY, f64::min);
            cheapest.push(bits);
        }
        cheapest.last().copied().unwrap_or_default()
    }

    /// Returns the bits of a part as a whole; `None` where it is none.
    fn part(&self, start: usize, end: usize) -> Option<f64> {
        let (before, part) = (&self.chars[..start], &self.chars[start..end]);
        let found = [
            self.parts.get(&(start, end)).copied(),
            single(before, part),
            again(before, part),
            sequence(part),
            digits(part),
            keyboard::walk_bits(part),
        ];
        found.into_iter().flatten().reduce(f64::min)
    }
}

/// Returns every text of `chars` that may be a word.
fn spelled(chars: &[char]) -> HashMap<String, Vec<(usize, usize, f64)>> {
    let mut spelled = HashMap::<String, Vec<(usize, usize, f64)>>::new();
    for start in 0..chars.len() {
        let longest = chars.len().min(start + LONGEST_WORD);
        for end in (start + SHORTEST_WORD)..=longest {
            for (word, bits) in spellings(&chars[start..end]) {
                spelled.entry(word).or_default().push((start, end, bits));
            }
        }
    }
    spelled
}

fn single(before: &[char], part: &[char]) -> Option<f64> {
    let [c] = part else { return None };
    Some(match c {
        '0'..='9' => DIGIT,
        'a'..='z' => LETTER,
        c if c.is_ascii() && before.contains(c) => SIGN_AGAIN,
        c if c.is_ascii() => SIGN,
        _ => OTHER,
    })
}

/// Repetition of an earlier part, forwards or backwards.
fn again(before: &[char], part: &[char]) -> Option<f64> {
    let backwards: Vec<char> = part.iter().rev().copied().collect();
    let repeats = before
        .windows(part.len())
        .any(|earlier| earlier == part || earlier == backwards);
    (part.len() > 2 && repeats).then_some(AGAIN)
}

/// Letters or digits at equal distances.
fn sequence(part: &[char]) -> Option<f64> {
    let step = |pair: &[char]| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0]));
    let first = step(part.get(..2)?);
    let is_even = part.windows(2).all(|pair| step(pair) == first);
    let is_one_kind = part.iter().all(char::is_ascii_digit)
        || part.iter().all(char::is_ascii_alphabetic)
        || first == 0;
    (part.len() > 2 && is_even && first.abs() <= 2 && is_one_kind).then_some(SEQUENCE)
}

/// Years and days.
fn digits(part: &[char]) -> Option<f64> {
    let numbers: Option<Vec<u32>> = part.iter().map(|c| c.to_digit(10)).collect();
    let numbers = numbers?;
    let number = |at: std::ops::Range<usize>| {
        numbers[at]
            .iter()
            .fold(0, |number, digit| number * 10 + digit)
    };
    let is_year = |year: u32| (1900..2050).contains(&year);
    let is_day = |one: u32, other: u32| {
        let fits = |day: u32, month: u32| (1..=31).contains(&day) && (1..=12).contains(&month);
        fits(one, other) || fits(other, one)
    };
    match numbers.len() {
        4 if is_year(number(0..4)) => Some(YEAR),
        6 if is_day(number(0..2), number(2..4)) || is_day(number(2..4), number(4..6)) => Some(DATE),
        8 if is_day(number(0..2), number(2..4)) && is_year(number(4..8))
            || is_year(number(0..4)) && is_day(number(4..6), number(6..8)) =>
        {
            Some(DATE)
        }
        _ => None,
    }
}
