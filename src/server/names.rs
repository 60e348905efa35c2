//! Names fit to be stored: of users, and of the roles they have.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// The role that administers this server.
pub const ADMIN: &str = "admin";

/// A user name fit to be stored, in one Unicode form (NFKC) however it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Longest user name, in bytes.
    pub const LONGEST: usize = 254;

    /// Parses a user name: 1 to 254 bytes of visible characters without spaces.
    ///
    /// # Errors
    /// When it is none; the text says why, to be read after "the user name".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name: String = text.nfkc().collect();
        if name.is_empty() || name.len() > Self::LONGEST {
            return Err("must have 1 to 254 bytes");
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("must not contain spaces or control characters");
        }
        Ok(Self(name))
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

/// A role name: it stands in tokens and is compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role(String);

impl Role {
    /// Returns the role [`ADMIN`].
    pub fn admin() -> Self {
        Self(ADMIN.to_owned())
    }

    /// Parses a role: 1 to 64 of `a-z 0-9 _ - : .`.
    ///
    /// # Errors
    /// When it is none; the text says why, to be read after "the role".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-:.".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err("must have 1 to 64 characters of a-z, 0-9, _, -, : and .");
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_one_however_it_was_composed() {
        let composed = Username::parse("\u{c1}lice").unwrap();
        assert_eq!(composed, Username::parse("A\u{301}lice").unwrap());
    }

    #[test]
    fn user_names_without_a_name_in_them_are_refused() {
        for bad in ["", " ", "a b", "a\0b", "a\nb", "\u{2003}", &"x".repeat(255)] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn roles_are_plain_words() {
        assert!(Role::parse("notes:write").is_ok());
        for bad in ["", "Admin", "a b", "ä", &"x".repeat(65)] {
            assert!(Role::parse(bad).is_err(), "{bad:?}");
        }
    }
}
