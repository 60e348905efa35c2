//! Names of OAuth: clients and scopes, by the grammar of RFC 6749, appendix A.

use std::fmt;

/// A `client_id`: 1 to 100 visible ASCII characters and spaces (appendix A.1). It appears in tokens,
/// lists and logs of other programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientId(String);

impl ClientId {
    /// Longest name of a client.
    pub const LONGEST: usize = 100;

    /// Parses the name of a client.
    ///
    /// # Errors
    /// When the text is not a client id: the fault, to be read after the name of the field.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::LONGEST {
            return Err("must have 1 to 100 characters");
        }
        if !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return Err("must consist of visible ASCII characters and spaces");
        }
        Ok(Self(text.to_owned()))
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

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether the text is one scope (appendix A.4): visible ASCII without space, `"` and `\`.
pub fn is_scope(text: &str) -> bool {
    let fits = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(fits)
}

/// Returns the scopes of a list, which are separated by spaces alone. Several spaces in a row count as one.
///
/// # Errors
/// When one of them is not a scope.
pub fn parse_scopes(list: &str) -> Result<Vec<&str>, InvalidScopeList> {
    let scopes: Vec<&str> = list.split(' ').filter(|scope| !scope.is_empty()).collect();
    if scopes.iter().all(|scope| is_scope(scope)) {
        Ok(scopes)
    } else {
        Err(InvalidScopeList)
    }
}

/// A list of scopes has an invalid item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope consists of visible ASCII characters without quotes and backslashes")]
pub struct InvalidScopeList;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_client_is_visible_ascii() {
        for good in ["a", "My app (2)", "com.example.app:/redirect", "~", "\"\\"] {
            assert_eq!(
                ClientId::parse(good).map(ClientId::into_string),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "a\nX-Evil: 1",
            "a\r",
            "a\t",
            "a\0",
            "\u{1b}[31m",
            "\u{7f}",
            "a\u{202e}b",
            "é",
            "a\u{200b}",
            &"x".repeat(101),
        ] {
            assert!(ClientId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ClientId::parse(&"x".repeat(100)).is_ok());
    }

    #[test]
    fn scopes_are_separated_by_spaces_alone() {
        assert_eq!(parse_scopes("a b"), Ok(vec!["a", "b"]));
        assert_eq!(parse_scopes(""), Ok(vec![]));
        assert_eq!(parse_scopes("  a  "), Ok(vec!["a"]));
        assert_eq!(
            parse_scopes("https://example.org/x notes:read"),
            Ok(vec!["https://example.org/x", "notes:read"])
        );
        for bad in [
            "a\tb", "a\nb", "a\u{a0}b", "\"a\"", "a\\b", "ä", "a\u{7f}", "a b\0",
        ] {
            assert_eq!(parse_scopes(bad), Err(InvalidScopeList), "{bad:?}");
        }
    }
}
