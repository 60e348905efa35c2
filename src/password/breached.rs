//! Passwords known from breaches, as an approximate set: a binary fuse filter (Graf and Lemire, 2022).
//!
//! The table holds fingerprints of 16 bits. A text has three slots, in adjacent segments, and is in the set when
//! the exclusive or of these slots is its own fingerprint. Each password of the set is found, and by chance one of
//! 65,536 other texts. The table is read where it lies in the program: starting loads nothing, and a lookup costs
//! one SHA-256.
//!
//! `scripts/breached-passwords` builds it; sources and licences are in `assets/breached-passwords.LICENSE`.

use aws_lc_rs::digest::{SHA256, digest};

/// Fingerprints, little-endian.
static TABLE: &[u8] = include_bytes!("../../assets/breached-passwords.fuse16");

/// Slots of a segment.
const SEGMENT: usize = 8192;

/// Shortest password of the set, in bytes.
pub(super) const SHORTEST: usize = 8;

/// Place of a text in the table.
struct Entry {
    slots: [usize; 3],
    fingerprint: u16,
}

/// Returns whether a password, in lower case and composed (NFC), is in the set.
pub(super) fn contains(password: &str) -> bool {
    if password.len() < SHORTEST {
        return false;
    }
    let (slots, _) = TABLE.as_chunks::<2>();
    Entry::of(password, slots.len()).is_some_and(|entry| entry.is_in(slots))
}

impl Entry {
    /// Returns the entry of a text in a table of `count` slots.
    fn of(text: &str, count: usize) -> Option<Self> {
        let digest = digest(&SHA256, text.as_bytes());
        let (words, _) = digest.as_ref().as_chunks::<4>();
        let [first, second, third, last, ..] = words else {
            return None;
        };
        let starts = u64::try_from(count.checked_sub(2 * SEGMENT)?).ok()?;
        let start = (u64::from(u32::from_le_bytes(*first)) * starts) >> u32::BITS;
        let start = usize::try_from(start).ok()?;
        Some(Self {
            slots: [
                start,
                (start + SEGMENT) ^ offset(*second),
                (start + 2 * SEGMENT) ^ offset(*third),
            ],
            fingerprint: low_half(*last),
        })
    }

    fn is_in(&self, slots: &[[u8; 2]]) -> bool {
        self.slots
            .iter()
            .try_fold(0, |sum, slot| {
                Some(sum ^ u16::from_le_bytes(*slots.get(*slot)?))
            })
            .is_some_and(|sum| sum == self.fingerprint)
    }
}

/// Returns the offset within a segment.
fn offset(word: [u8; 4]) -> usize {
    usize::from(low_half(word)) % SEGMENT
}

fn low_half([low, high, ..]: [u8; 4]) -> u16 {
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As printed by `scripts/breached-passwords`.
    const SHA256_OF_TABLE: &str =
        "e1db88a66c6a3781e3ebc6600498b8643635889ef86ad195d0d9ba7bb8ce74e8";

    #[test]
    fn the_table_is_the_one_of_the_script_and_fits_in_2_megabytes() {
        let checksum: Vec<u8> = SHA256_OF_TABLE
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();

        assert_eq!(digest(&SHA256, TABLE).as_ref(), checksum);
        assert_eq!(TABLE.len() % (2 * SEGMENT), 0);
        assert!(TABLE.len() <= 2_000_000, "{}", TABLE.len());
    }

    #[test]
    fn passwords_of_both_sources_are_found() {
        for password in [
            "correcthorsebatterystaple",
            "liverpoolfootballclub",
            "maytheforcebewithyou",
            "thequickbrownfox",
            "once upon a time",
            "ichliebepitbull",
            "qwertyuiopasdfgh",
            "iloveyou1234567",
            "basketball12345",
            "basketball",
            "12345678",
        ] {
            assert!(contains(password), "{password}");
        }
    }

    #[test]
    fn at_most_one_of_20_000_other_texts_is_found() {
        let mut random = fastrand::Rng::with_seed(17);
        let texts = 1 << 18;

        let found = (0..texts)
            .filter(|_| {
                let text: String = std::iter::repeat_with(|| random.alphanumeric())
                    .take(16)
                    .collect();
                contains(&text)
            })
            .count();

        // Four are to be expected.
        assert!(found <= texts / 20_000, "{found} of {texts}");
    }

    #[test]
    fn texts_of_less_than_8_bytes_are_never_found() {
        assert!(!contains(""));
        assert!(!contains("1234567"));
    }
}
