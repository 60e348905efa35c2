//! Which new passwords are refused. Length and guessability only: rules about kinds of characters
//! make passwords worse (NIST SP 800-63B, section 3.1.1.2).

use std::io::{BufRead, BufReader};

use flate2::bufread::GzDecoder;
use secrecy::{ExposeSecret, SecretString};

/// Longest password accepted anywhere: enough for any phrase, too little to keep a thread busy.
pub const MAX_BYTES: usize = 1024;

/// The 10,000 commonest passwords in lower case, sorted. It stays compressed: reading through it
/// takes a millisecond, and only when a password is set.
const COMMON: &[u8] = include_bytes!("../../../assets/common-passwords.txt.gz");

/// What a new password must be like.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    min_bytes: usize,
}

impl Policy {
    /// Returns a policy that refuses what is shorter than `min_bytes`.
    pub fn new(min_bytes: usize) -> Self {
        Self { min_bytes }
    }

    /// Refuses a password that is too short, too long or easy to guess.
    ///
    /// # Errors
    /// What is wrong with it, to be read after "the password".
    pub fn check(self, password: &SecretString, username: &str) -> Result<(), String> {
        let password = password.expose_secret();
        if password.len() < self.min_bytes {
            return Err(format!("is shorter than {} bytes", self.min_bytes));
        }
        if password.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let lower = password.to_lowercase();
        let unit = repeated_unit(&lower);
        if unit.len() <= 4 {
            return Err("repeats the same few characters".to_owned());
        }
        if unit == username.to_lowercase() {
            return Err("is the user name".to_owned());
        }
        if is_common(unit) {
            return Err("is one of the 10,000 commonest".to_owned());
        }
        Ok(())
    }
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

fn is_common(password: &str) -> bool {
    BufReader::new(GzDecoder::new(COMMON))
        .lines()
        .map_while(Result::ok)
        .any(|line| line == password)
}
