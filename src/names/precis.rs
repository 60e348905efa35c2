//! The `IdentifierClass` of PRECIS (RFC 8264, 4.2) and the rules that RFC 8265 adds for user names. Properties
//! of characters are those of current Unicode, not of the version at which a table was printed (RFC 8264, 13).

use unicode_bidi::{BidiClass, bidi_class};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

const INVALID_CHARACTER: &str = "must consist of letters, digits and ASCII punctuation";
const INVISIBLE: &str = "must not contain invisible characters";
const INVALID_POSITION: &str = "has a character that is not allowed at its position";
const MIXED_DIRECTIONS: &str = "must not mix left-to-right and right-to-left letters";

/// Canonical combining class of a virama, which joins two letters.
const VIRAMA: u8 = 9;

/// Maps a letter of full or half width to its usual form (RFC 8265, 3.3.2).
pub(super) fn map_width(c: char) -> impl Iterator<Item = char> {
    let usual: Vec<char> = match c {
        '\u{ff01}'..='\u{ff5e}' | '\u{ff61}'..='\u{ffdc}' | '\u{ffe0}'..='\u{ffee}' => {
            std::iter::once(c).nfkc().collect()
        }
        _ => vec![c],
    };
    usual.into_iter()
}

/// Refuses names with characters that are not in the class.
pub(super) fn check_identifier(name: &str) -> Result<(), &'static str> {
    let chars: Vec<char> = name.chars().collect();
    (0..chars.len()).try_for_each(|at| match classify(chars[at]) {
        CharacterClass::Valid => Ok(()),
        CharacterClass::Contextual if fits_in_context(&chars, at) => Ok(()),
        CharacterClass::Contextual => Err(INVALID_POSITION),
        CharacterClass::Invisible => Err(INVISIBLE),
        CharacterClass::Other => Err(INVALID_CHARACTER),
    })
}

/// Derived property of a character (RFC 8264, 8).
enum CharacterClass {
    Valid,
    Contextual,
    Invisible,
    Other,
}

fn classify(c: char) -> CharacterClass {
    match c {
        // The exceptions come first (9.6, which are those of RFC 5892, 2.6).
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => {
            CharacterClass::Other
        }
        '\u{df}' | '\u{3c2}' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' | '!'..='~' => {
            CharacterClass::Valid
        }
        '\u{b7}'
        | '\u{375}'
        | '\u{5f3}'
        | '\u{5f4}'
        | '\u{660}'..='\u{669}'
        | '\u{6f0}'..='\u{6f9}'
        | '\u{200c}'
        | '\u{200d}'
        | '\u{30fb}' => CharacterClass::Contextual,
        c if is_old_hangul(c) => CharacterClass::Other,
        c if is_ignorable(c) => CharacterClass::Invisible,
        c if !std::iter::once(c).nfkc().eq([c]) => CharacterClass::Other,
        c => classify_by_category(c),
    }
}

fn classify_by_category(c: char) -> CharacterClass {
    use GeneralCategory as Is;
    match c.general_category() {
        Is::LowercaseLetter
        | Is::UppercaseLetter
        | Is::OtherLetter
        | Is::DecimalNumber
        | Is::ModifierLetter
        | Is::NonspacingMark
        | Is::SpacingMark => CharacterClass::Valid,
        Is::Format | Is::Control | Is::LineSeparator | Is::ParagraphSeparator => {
            CharacterClass::Invisible
        }
        _ => CharacterClass::Other,
    }
}

/// Returns whether this is conjoining Jamo: modern ones have been composed into syllables before.
fn is_old_hangul(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7fb}')
}

/// Returns whether a character is invisible although its category is that of a letter or mark. Other invisible
/// characters are format characters.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Applies the contextual rules of RFC 5892, appendix A. A joiner is accepted after a virama alone: the other
/// contexts that A.1 allows for U+200C are visible in cursive scripts only, and are refused.
fn fits_in_context(name: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| name[at]);
    let after = name.get(at + 1).copied();
    match name[at] {
        '\u{200c}' | '\u{200d}' => before.is_some_and(|c| canonical_combining_class(c) == VIRAMA),
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => after.is_some_and(is_greek),
        '\u{5f3}' | '\u{5f4}' => before.is_some_and(|c| matches!(c, '\u{5d0}'..='\u{5ef}')),
        '\u{30fb}' => name.iter().any(|c| is_japanese(*c)),
        '\u{660}'..='\u{669}' => !name.iter().any(|c| matches!(c, '\u{6f0}'..='\u{6f9}')),
        '\u{6f0}'..='\u{6f9}' => !name.iter().any(|c| matches!(c, '\u{660}'..='\u{669}')),
        _ => false,
    }
}

fn is_greek(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{373}' | '\u{376}'..='\u{3e1}' | '\u{3f0}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}')
}

fn is_japanese(c: char) -> bool {
    matches!(
        c,
        '\u{3005}' | '\u{3007}'
            | '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fa}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{20000}'..='\u{3ffff}'
    )
}

/// Applies the Bidi Rule (RFC 5893, 2) to names with right-to-left letters.
pub(super) fn check_direction(name: &str) -> Result<(), &'static str> {
    use BidiClass as B;
    let classes: Vec<BidiClass> = name.chars().map(bidi_class).collect();
    let has = |wanted: &[BidiClass]| classes.iter().any(|class| wanted.contains(class));
    if !has(&[B::R, B::AL, B::AN]) {
        return Ok(());
    }
    let last = classes.iter().rev().find(|class| **class != B::NSM);
    // The name has right-to-left letters, so it has to begin with one of them.
    let is_right = matches!(classes.first(), Some(B::R | B::AL))
        && !has(&[B::L])
        && matches!(last, Some(B::R | B::AL | B::EN | B::AN))
        && !(has(&[B::EN]) && has(&[B::AN]));
    if is_right {
        Ok(())
    } else {
        Err(MIXED_DIRECTIONS)
    }
}
