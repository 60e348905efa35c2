//! Rules for new passwords. They concern length and guessability only: rules about kinds of characters
//! make passwords worse (NIST SP 800-63B, section 3.1.1.2).

use std::io::{BufRead, BufReader};

use flate2::bufread::GzDecoder;
use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

use super::spelling::of_breached;
use super::strength::StrengthEstimate;

#[cfg(test)]
mod tests;

/// Longest password accepted anywhere: enough for any phrase, too little to keep a thread busy.
pub const MAX_BYTES: usize = 1024;

/// The 10,000 commonest passwords in lower case, sorted. It stays compressed: reading through it
/// takes some milliseconds, and only when a password is set.
const COMMON: &[u8] = include_bytes!("../../assets/common-passwords.txt.gz");

/// Bits that a password must have: more than two common passwords, a separator and a year have together.
const LEAST_BITS: f64 = 40.0;
/// Bits per byte that are enough if shorter passwords are allowed: random small letters have more.
const BITS_PER_BYTE: f64 = 3.0;
/// Shortest part of a name that is looked for in a password.
const SHORTEST_CONTEXT: usize = 4;

/// Reason for which a new password is refused, to be read after "the password".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// It has fewer bytes than the policy wants.
    #[error("is shorter than {0} bytes")]
    TooShort(usize),
    /// It has more bytes than any password may have.
    #[error("is longer than {} bytes", MAX_BYTES)]
    TooLong,
    /// It has the character NUL.
    #[error("contains NUL, which no login may send")]
    Nul,
    /// Up to four bytes again and again.
    #[error("repeats the same few characters")]
    Repetition,
    /// It is the name of its account, once or several times.
    #[error("is the user name")]
    Username,
    /// It is in the list of common passwords.
    #[error("is one of the 10,000 most common")]
    Common,
    /// It is a breached password, in one of its usual spellings.
    #[error("is in a list of breached passwords, which attackers try first")]
    Breached,
    /// It has little besides words of the account or the service.
    #[error(
        "is easy to guess: it consists of the user name or the name of this service and little else"
    )]
    Context,
    /// It has too few bits.
    #[error(
        "is easy to guess: it consists of common or breached passwords, dates, sequences or repetitions"
    )]
    Guessable,
}

/// Policy for new passwords.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    min_bytes: usize,
    /// Words that belong to the service, in lower case.
    service: Vec<String>,
}

impl PasswordPolicy {
    /// Returns a policy that refuses what is shorter than `min_bytes`.
    pub fn new(min_bytes: usize) -> Self {
        Self {
            min_bytes,
            service: vec!["latchet".to_owned()],
        }
    }

    /// Returns the policy of a service of this name, such as `auth.example.org`: guessers try its
    /// words first.
    #[must_use]
    pub fn with_service(mut self, name: &str) -> Self {
        self.service.extend(split_words(name));
        self
    }

    /// Refuses a password that is too short, too long or easy to guess.
    ///
    /// # Errors
    /// The first [`Weakness`] that is found.
    pub fn check(&self, password: &SecretString, username: &str) -> Result<(), Weakness> {
        let password = password.expose_secret();
        if password.len() < self.min_bytes {
            return Err(Weakness::TooShort(self.min_bytes));
        }
        if password.len() > MAX_BYTES {
            return Err(Weakness::TooLong);
        }
        if password.contains('\0') {
            return Err(Weakness::Nul);
        }
        let (password, username) = (normal(password), normal(username));
        let unit = repeated_unit(&password);
        if unit.len() <= 4 {
            return Err(Weakness::Repetition);
        }
        if unit == username {
            return Err(Weakness::Username);
        }
        if common().any(|word| word == unit) {
            return Err(Weakness::Common);
        }
        if is_breached(&password) || is_breached(unit) {
            return Err(Weakness::Breached);
        }
        self.check_bits(&password, &username)
    }

    fn check_bits(&self, password: &str, username: &str) -> Result<(), Weakness> {
        let mut guess = StrengthEstimate::new(password);
        guess.find_breached();
        guess.find_common(common());
        if guess.bits() < self.least_bits() {
            return Err(Weakness::Guessable);
        }
        let context = split_words(username).chain(self.service.iter().cloned());
        let backwards = |word: &String| word.chars().rev().collect();
        guess.find_context(context.flat_map(|word| [backwards(&word), word]));
        if guess.bits() < self.least_bits() {
            return Err(Weakness::Context);
        }
        Ok(())
    }

    fn least_bits(&self) -> f64 {
        u32::try_from(self.min_bytes).map_or(LEAST_BITS, |bytes| {
            LEAST_BITS.min(BITS_PER_BYTE * f64::from(bytes))
        })
    }
}

/// Returns a password as the lists have it: composed, as it is hashed, and in lower case.
fn normal(password: &str) -> String {
    let composed: String = password.nfc().collect();
    composed.to_lowercase().nfc().collect()
}

fn is_breached(password: &str) -> bool {
    let chars: Vec<char> = password.chars().collect();
    of_breached(&chars).is_some()
}

/// Returns the shortest text that `text` repeats, which is `text` itself when nothing repeats:
/// `passwordpassword` is no better than `password`.
fn repeated_unit(text: &str) -> &str {
    let bytes = text.as_bytes();
    (1..=bytes.len() / 2)
        .filter(|len| bytes.len().is_multiple_of(*len))
        .find(|len| bytes.chunks(*len).all(|chunk| chunk == &bytes[..*len]))
        .and_then(|len| text.get(..len))
        .unwrap_or(text)
}

fn common() -> impl Iterator<Item = String> {
    BufReader::new(GzDecoder::new(COMMON))
        .lines()
        .map_while(Result::ok)
}

/// Returns a name and the words in it.
fn split_words(name: &str) -> impl Iterator<Item = String> {
    let parts = name.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = std::iter::once(name)
        .chain(parts)
        .filter(|word| word.chars().count() >= SHORTEST_CONTEXT)
        .map(str::to_lowercase)
        .collect();
    words.into_iter()
}
