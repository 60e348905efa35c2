//! Walks over a keyboard: `qwertz`, `1qaz2wsx`, `q1w2e3r4`.

/// Rows of keys, each half a key to the right of the one above.
type KeyboardLayout = [&'static str; 4];

const LAYOUTS: [KeyboardLayout; 3] = [
    ["1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"],
    ["1234567890ß´", "qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-"],
    ["1234567890)=", "azertyuiop^$", "qsdfghjklmù*", "wxcvbn,;:!"],
];

/// Signs that are typed by the keys of digits.
const SHIFTED: [&str; 2] = ["!@#$%^&*()", "!\"§$%&/()="];

/// Bits of the first key, and of each step that goes on as before or that does not.
const START: f64 = 5.0;
const STRAIGHT: f64 = 0.25;
const TURN: f64 = 2.5;
const SHORTEST: usize = 3;

/// Row and column of a key.
type KeyPosition = (i32, i32);
/// From one key to another.
type KeyStep = (i32, i32);

/// Returns the bits of a walk from key to key; `None` where it is none.
pub(super) fn walk_bits(part: &[char]) -> Option<f64> {
    if part.len() < SHORTEST {
        return None;
    }
    LAYOUTS
        .iter()
        .filter_map(|layout| walk_bits_on(layout, part))
        .reduce(f64::min)
}

fn walk_bits_on(layout: &KeyboardLayout, part: &[char]) -> Option<f64> {
    let keys: Option<Vec<KeyPosition>> = part.iter().map(|c| key(layout, *c)).collect();
    let keys = keys?;
    let steps: Vec<KeyStep> = keys
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1))
        .collect();
    // Of three random letters, many touch each other.
    let is_by_chance = matches!(steps[..], [one, other] if one != other);
    if is_by_chance || !steps.iter().copied().all(is_to_a_neighbour) {
        return None;
    }
    let costs = steps.iter().enumerate().map(|(at, step)| {
        // To and fro, as in `1q2w3e`, is a way of going straight on.
        let is_known = at
            .checked_sub(1)
            .is_none_or(|_| steps[at.saturating_sub(2)..at].contains(step));
        if is_known { STRAIGHT } else { TURN }
    });
    Some(START + costs.sum::<f64>())
}

fn key(layout: &KeyboardLayout, c: char) -> Option<KeyPosition> {
    let shifted = SHIFTED.iter().map(|row| (0, row));
    let rows = (0..).zip(layout.iter());
    rows.chain(shifted).find_map(|(row, keys)| {
        Some((
            row,
            i32::try_from(keys.chars().position(|key| key == c)?).ok()?,
        ))
    })
}

/// The same key, one beside it, or one that touches it in the row above or below.
fn is_to_a_neighbour(step: KeyStep) -> bool {
    matches!(step, (0, -1..=1) | (1, -1..=0) | (-1, 0..=1))
}
