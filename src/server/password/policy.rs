//! Which new passwords are refused. Length and guessability only: rules about kinds of characters
//! make passwords worse (NIST SP 800-63B, section 3.1.1.2).

use std::io::{BufRead, BufReader};

use flate2::bufread::GzDecoder;
use secrecy::{ExposeSecret, SecretString};

use super::guess::Guess;

/// Longest password accepted anywhere: enough for any phrase, too little to keep a thread busy.
pub const MAX_BYTES: usize = 1024;

/// The 10,000 commonest passwords in lower case, sorted. It stays compressed: reading through it
/// takes some milliseconds, and only when a password is set.
const COMMON: &[u8] = include_bytes!("../../../assets/common-passwords.txt.gz");

/// Bits that a password must have: more than two common passwords, a separator and a year have together.
const LEAST_BITS: f64 = 40.0;
/// Where shorter passwords are admitted, so much for each byte is enough: random small letters have more.
const BITS_PER_BYTE: f64 = 3.0;
/// Shortest part of a name that is looked for in a password.
const SHORTEST_CONTEXT: usize = 4;

/// What a new password must be like.
#[derive(Clone, Debug)]
pub struct Policy {
    min_bytes: usize,
    /// Words that belong to the service, in lower case.
    service: Vec<String>,
}

impl Policy {
    /// Returns a policy that refuses what is shorter than `min_bytes`.
    pub fn new(min_bytes: usize) -> Self {
        Self {
            min_bytes,
            service: vec!["latchet".to_owned()],
        }
    }

    /// Returns the policy of a service of this name, such as `auth.example.org`: people who guess try its
    /// words first.
    #[must_use]
    pub fn with_service(mut self, name: &str) -> Self {
        self.service.extend(words_of(name));
        self
    }

    /// Refuses a password that is too short, too long or easy to guess.
    ///
    /// # Errors
    /// What is wrong with it, to be read after "the password".
    pub fn check(&self, password: &SecretString, username: &str) -> Result<(), String> {
        let password = password.expose_secret();
        if password.len() < self.min_bytes {
            return Err(format!("is shorter than {} bytes", self.min_bytes));
        }
        if password.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        if password.contains('\0') {
            return Err("contains NUL, which no login may send".to_owned());
        }
        let lower = password.to_lowercase();
        let unit = repeated_unit(&lower);
        if unit.len() <= 4 {
            return Err("repeats the same few characters".to_owned());
        }
        let username = username.to_lowercase();
        if unit == username {
            return Err("is the user name".to_owned());
        }
        if common().any(|word| word == unit) {
            return Err("is one of the 10,000 commonest".to_owned());
        }
        if self.bits(&lower, &username) < self.least_bits() {
            return Err(EASY.to_owned());
        }
        Ok(())
    }

    fn bits(&self, password: &str, username: &str) -> f64 {
        let mut guess = Guess::new(password);
        let context = words_of(username).chain(self.service.iter().cloned());
        let backwards = |word: &String| word.chars().rev().collect();
        let context = context.flat_map(|word| [backwards(&word), word]);
        guess.find_words(common(), context);
        guess.bits()
    }

    fn least_bits(&self) -> f64 {
        u32::try_from(self.min_bytes).map_or(LEAST_BITS, |bytes| {
            LEAST_BITS.min(BITS_PER_BYTE * f64::from(bytes))
        })
    }
}

const EASY: &str =
    "is easy to guess: it consists of common passwords, names, dates, sequences or repetitions";

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
fn words_of(name: &str) -> impl Iterator<Item = String> {
    let parts = name.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = std::iter::once(name)
        .chain(parts)
        .filter(|word| word.chars().count() >= SHORTEST_CONTEXT)
        .map(str::to_lowercase)
        .collect();
    words.into_iter()
}
