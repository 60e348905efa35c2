//! Escaping of untrusted text for log lines.

use std::fmt;

/// Maximum number of characters that are logged.
const LONGEST: usize = 64;

/// Untrusted text as typed. It is truncated, and all characters that could end a line, begin a field, or
/// look like others are escaped, because programs such as fail2ban act on the content of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UntrustedText<'a>(pub(crate) &'a str);

impl fmt::Display for UntrustedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(LONGEST) {
            if is_plain(character) {
                write!(f, "{character}")?;
            } else {
                write!(f, "{}", character.escape_unicode())?;
            }
        }
        if characters.next().is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

fn is_plain(character: char) -> bool {
    let is_syntax = matches!(character, '"' | '\\' | '=' | '<' | '>');
    character.is_alphanumeric() || (character.is_ascii_graphic() && !is_syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_readable_and_line_breaks_and_fields_in_them_are_escaped() {
        let table = [
            ("alice", "alice"),
            ("Zoë.o'Brien+x@example.org", "Zoë.o'Brien+x@example.org"),
            ("a\nb", "a\\u{a}b"),
            ("a\r\n{\"event\":1}", "a\\u{d}\\u{a}{\\u{22}event\\u{22}:1}"),
            (
                "x client.address=192.0.2.1",
                "x\\u{20}client.address\\u{3d}192.0.2.1",
            ),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{202e}toor", "\\u{202e}toor"),
            ("ro\u{200b}ot", "ro\\u{200b}ot"),
            ("a\u{2028}b\u{85}c\u{a0}d", "a\\u{2028}b\\u{85}c\\u{a0}d"),
            ("\\u{a}", "\\u{5c}u{a}"),
            ("\0", "\\u{0}"),
            ("", ""),
        ];

        for (typed, shown) in table {
            assert_eq!(UntrustedText(typed).to_string(), shown, "{typed:?}");
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let shown = UntrustedText(&"ü".repeat(10_000)).to_string();

        assert_eq!(shown, format!("{}…", "ü".repeat(LONGEST)));
    }
}
