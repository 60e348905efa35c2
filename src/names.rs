//! Validated names: of users, of their addresses and roles, and of OAuth clients and scopes.

use std::fmt;

mod client;
mod email_address;
mod precis;
mod username;

pub use client::{ClientId, InvalidScopeList, is_scope, parse_scopes};
pub use email_address::{EmailAddress, EmailFault};
pub use username::{Username, fold_username, stored_forms};

/// Claim with the user name (OpenID Connect Core 1.0, section 5.1). Names never change.
pub const USERNAME_CLAIM: &str = "preferred_username";

/// The role that administers this server.
pub const ADMIN: &str = "admin";

/// The name of a role, which is part of tokens and compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserRole(String);

impl UserRole {
    /// Returns the role [`ADMIN`].
    pub fn admin() -> Self {
        Self(ADMIN.to_owned())
    }

    /// Parses a role: 1 to 64 of `a-z 0-9 _ - : .`.
    ///
    /// # Errors
    /// When the text is not a role: the fault, to be read after "the role".
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

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_plain_words() {
        assert!(UserRole::parse("notes:write").is_ok());
        for bad in ["", "Admin", "a b", "ä", &"x".repeat(65)] {
            assert!(UserRole::parse(bad).is_err(), "{bad:?}");
        }
    }
}
