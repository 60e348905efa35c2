//! Ways in which people write one and the same password.

use super::breached;

/// Bits of writing `0` for `o` and the like.
const LEET: f64 = 1.0;
/// Bits of separators between words, of which there are a few.
const SEPARATORS: f64 = 3.0;

/// Returns the words that a text may be, and the bits of writing them like this.
pub(super) fn spellings(text: &[char]) -> Vec<(String, f64)> {
    let plain: String = text.iter().collect();
    let mut spellings: Vec<(String, f64)> = Vec::new();
    for one in ['i', 'l'] {
        let word: String = text.iter().map(|c| letter_of(*c, one)).collect();
        let is_new = spellings.iter().all(|(known, _)| *known != word);
        if word != plain && is_new {
            spellings.push((word, LEET));
        }
    }
    spellings.push((plain, 0.0));
    spellings
}

/// Returns the bits of writing a breached password like this; `None` where the text is no such password.
pub(super) fn of_breached(text: &[char]) -> Option<f64> {
    spellings(text)
        .into_iter()
        .chain(without_separators(text))
        .filter(|(password, _)| breached::contains(password))
        .map(|(_, bits)| bits)
        .reduce(f64::min)
}

/// Returns the letters and digits of a text: `the-quick-brown-fox` is `thequickbrownfox`.
fn without_separators(text: &[char]) -> Option<(String, f64)> {
    let has_separators = text.iter().any(|c| !c.is_alphanumeric());
    let is_enclosed = [text.first()?, text.last()?]
        .into_iter()
        .all(|c| c.is_alphanumeric());
    (has_separators && is_enclosed).then(|| {
        let password = text.iter().filter(|c| c.is_alphanumeric()).collect();
        (password, SEPARATORS)
    })
}

/// Returns the letter that a digit or sign often takes the place of.
fn letter_of(c: char, one: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breached_password_is_recognised_in_its_usual_spellings() {
        for (text, bits) in [
            ("thequickbrownfox", Some(0.0)),
            ("th3quickbr0wnf0x", Some(LEET)),
            ("the-quick-brown-fox", Some(SEPARATORS)),
            ("the quick brown fox", Some(SEPARATORS)),
            ("the quick brown fox!", None),
            ("xof nworb kciuq eht", None),
        ] {
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(of_breached(&chars), bits, "{text}");
        }
    }
}
