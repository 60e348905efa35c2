//! Ids of users and sessions, each with its own type so that they cannot be mixed up.

use std::fmt;

/// Defines the id of a kind of row.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Returns a random id that cannot be guessed.
            pub fn random() -> Self {
                Self(latchet_guard::keys::random_id())
            }

            /// Returns the id in the format of tokens and of the database.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// Id of a user: the `sub` of tokens.
    UserId
}

id! {
    /// Id of a session: the `sid` of tokens.
    SessionId
}

id! {
    /// Id of a credential of a service: the `sid` of its tokens.
    CredentialId
}

id! {
    /// Id of an e-mail address of a user.
    EmailId
}
