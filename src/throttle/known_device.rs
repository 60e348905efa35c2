//! Devices on which a user has logged in before. The proof is a token that the device keeps: wrong guesses
//! of strangers do not slow down its holder.

use secrecy::{ExposeSecret, SecretString};

use crate::derived_keys::DerivedKeys;
use crate::ids::UserId;
use latchet_guard::keys::random_id;

/// Longest token that is accepted.
pub const MAX_TOKEN_LENGTH: usize = 256;

/// A device that is known to one account. It grants no access: its failures are only counted separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    user: UserId,
    id: String,
}

impl KnownDevice {
    /// Returns a device on which the user logs in for the first time.
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            id: random_id(),
        }
    }

    /// Reads a token. `None` for one that this server did not issue.
    pub fn from_token(token: &SecretString, keys: &DerivedKeys) -> Option<Self> {
        let token = token.expose_secret();
        if token.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let (device, tag) = token.rsplit_once('.')?;
        if !keys.device_tag_matches(device, tag) {
            return None;
        }
        let (user, id) = device.rsplit_once('.')?;
        Some(Self {
            user: UserId::from(user),
            id: id.to_owned(),
        })
    }

    /// Returns the token that proves the device.
    pub fn token(&self, keys: &DerivedKeys) -> SecretString {
        let device = format!("{}.{}", self.user, self.id);
        let tag = keys.device_tag(&device);
        format!("{device}.{tag}").into()
    }

    /// Returns the id of the device.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns whether the device is known to this account.
    pub fn belongs_to(&self, user: &UserId) -> bool {
        self.user == *user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_its_device_and_nothing_else_does() {
        let keys = DerivedKeys::derive("0123456789abcdef0123456789abcdef");
        let others = DerivedKeys::derive("fedcba9876543210fedcba9876543210");
        let device = KnownDevice::new(UserId::from("alice"));
        let token = device.token(&keys);

        assert_eq!(KnownDevice::from_token(&token, &keys), Some(device));
        assert_eq!(KnownDevice::from_token(&token, &others), None);
        let text = token.expose_secret();
        for forged in [
            String::new(),
            "a.b".to_owned(),
            "a.b.c".to_owned(),
            text.replacen("alice", "bob", 1),
            format!("{text}A"),
            "x".repeat(MAX_TOKEN_LENGTH + 1),
        ] {
            assert_eq!(KnownDevice::from_token(&forged.into(), &keys), None);
        }
    }
}
