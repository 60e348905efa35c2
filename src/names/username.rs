//! User names: the profile `UsernameCaseMapped` of RFC 8265, except that the case is kept as typed. Two
//! names that differ in case alone are the same name.

use unicode_normalization::UnicodeNormalization;

use super::precis;

/// A validated user name, in one Unicode form however it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Longest user name, in bytes.
    pub const LONGEST: usize = 254;

    /// Parses a user name: 1 to 254 bytes of letters, digits and ASCII punctuation. Invisible characters
    /// and characters that reorder text are refused.
    ///
    /// # Errors
    /// When the text is not a user name: the fault, to be read after "the user name".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name: String = text.chars().flat_map(precis::map_width).nfc().collect();
        if name.is_empty() || name.len() > Self::LONGEST {
            return Err("must have 1 to 254 bytes");
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("must not contain spaces or control characters");
        }
        precis::check_identifier(&name)?;
        precis::check_direction(&name)?;
        Ok(Self(make_case_stable(name)))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name, to be stored.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Returns the form in which user names are compared: two names with the same form are one name.
pub fn fold_username(username: &str) -> String {
    username.to_lowercase()
}

/// Returns the forms under which the account of a name may be stored, the likeliest first. They include
/// the forms of accounts that are older than the rules of [`Username`]; a text that was never a valid name
/// has none.
pub fn stored_forms(typed: &str) -> Vec<String> {
    let name: String = typed.nfkc().collect();
    let was_never_allowed = |c: char| c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > Username::LONGEST || name.chars().any(was_never_allowed) {
        return Vec::new();
    }
    let mut forms = vec![name];
    if let Ok(Username(name)) = Username::parse(typed)
        && fold_username(&name) != fold_username(&forms[0])
    {
        forms.push(name);
    }
    forms
}

/// Returns the name in lower case if a capital has no composed form but its small letter has one, such as
/// `J` with caron. Otherwise the two spellings would have different folded forms.
fn make_case_stable(name: String) -> String {
    let lower = fold_username(&name);
    let composed: String = lower.nfc().collect();
    if composed == lower { name } else { composed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_user_names_are_equal() {
        for (one, other) in [
            ("\u{c1}lice", "A\u{301}lice"),
            ("\u{ff41}lice", "alice"),
            ("\u{ff76}\u{ff9e}", "\u{30ac}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
        ] {
            assert_eq!(Username::parse(one), Username::parse(other), "{one}");
            assert!(Username::parse(one).is_ok(), "{one}");
        }
    }

    #[test]
    fn names_that_differ_in_case_alone_fold_alike() {
        for (one, other) in [
            ("Alice", "aLICE"),
            ("ΝΙΚΟΣ", "νικος"),
            ("J\u{30c}an", "\u{1f0}an"),
            ("ÅSA", "åsa"),
        ] {
            let folded =
                [one, other].map(|name| fold_username(Username::parse(name).unwrap().as_str()));
            assert_eq!(folded[0], folded[1], "{one}");
        }
    }

    #[test]
    fn names_of_many_scripts_are_accepted() {
        for name in [
            "alice",
            "alice@example.org",
            "o'brien-smith_2.x+y",
            "fußball",
            "Ωmega",
            "Иван",
            "דוד",
            "محمد",
            "user1",
            "日本語",
            "ファン・ゴッホ",
            "한국어",
            "हिन्दी",
            "ไทย",
            "col·lectiu",
            "क\u{94d}\u{200d}ष",
        ] {
            assert_eq!(
                Username::parse(name).map(Username::into_string),
                Ok(name.to_owned()),
            );
        }
    }

    #[test]
    fn empty_names_and_names_with_spaces_or_control_characters_are_refused() {
        for bad in [
            "",
            " ",
            "a b",
            "a\0b",
            "a\nb",
            "\u{2003}",
            "\u{3000}",
            &"x".repeat(255),
        ] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_with_invisible_characters_are_refused() {
        for invisible in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2063}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0061}',
            '\u{e0100}',
            '\u{fdd0}',
            '\u{ffff}',
            '\u{e000}',
            '\u{378}',
            '\u{2028}',
        ] {
            for name in [
                format!("ro{invisible}ot"),
                format!("{invisible}root"),
                format!("root{invisible}"),
                invisible.to_string(),
            ] {
                assert!(Username::parse(&name).is_err(), "{name:?}");
            }
        }
    }

    #[test]
    fn characters_other_than_letters_digits_and_ascii_punctuation_are_refused() {
        for bad in [
            "henry\u{2163}",
            "\u{265a}",
            "∞",
            "ﬁsh",
            "½",
            "x²",
            "a–b",
            "o’brien",
            "smile😀",
            "ⓐlice",
            "𝐫oot",
            "a\u{2044}b",
        ] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn contextual_characters_are_refused_outside_their_context() {
        for bad in [
            "a·b",
            "·l",
            "a\u{375}",
            "a\u{5f3}",
            "a・b",
            "a\u{200d}b",
            "\u{661}\u{6f1}",
        ] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["דו\u{5f3}", "\u{375}α", "محمد\u{661}\u{662}"] {
            assert!(Username::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn names_with_mixed_directions_are_refused() {
        for bad in ["דודabc", "abcדוד", "1דוד", "דוד-", "محمد1\u{661}"] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["דוד1", "محمد2024", "abc-"] {
            assert!(Username::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn names_of_older_rules_have_stored_forms() {
        assert_eq!(stored_forms("Alice"), ["Alice"]);
        assert_eq!(stored_forms("ro\u{200b}ot"), ["ro\u{200b}ot"]);
        assert_eq!(stored_forms("a b"), [""; 0]);
        assert_eq!(stored_forms("henry\u{2163}"), ["henryIV"]);
        assert_eq!(stored_forms("J\u{30c}an"), ["J\u{30c}an", "\u{1f0}an"]);
    }
}
