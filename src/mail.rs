//! Mails to people: their content, and the payload in which they wait in the outbox.
//!
//! `templates` renders them, `message` builds the message, `transport` sends it, and `delivery` does so for all that
//! wait.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::derived_keys::DerivedKeys;
use crate::ids::UserId;
use crate::locale::Locale;
use crate::names::EmailAddress;
use crate::store::{Channel, ClaimedDelivery, NewDelivery, message_context};
use latchet_guard::clock::Time;
use latchet_guard::keys::random_id;

mod counters;
pub(crate) mod delivery;
mod folder;
mod message;
mod smtp;
mod templates;
pub(crate) mod transport;

pub(crate) use transport::{MailSender, SendError};

/// A mail that waits for its delivery. It is sealed in the outbox, because it contains secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mail {
    /// Recipient.
    pub to: EmailAddress,
    /// Language.
    pub locale: Locale,
    /// Content.
    pub content: MailContent,
}

/// Content of a mail.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MailContent {
    /// Proof of an address that a user added or registered with.
    VerifyAddress {
        /// Name of the user.
        username: String,
        /// Address of the page that verifies it.
        link: String,
        /// Six digits that verify it, too.
        code: String,
    },
    /// Reset of the password, on request of a client that is not signed in.
    ResetPassword {
        /// Name of the user.
        username: String,
        /// Address of the page that sets a new password.
        link: String,
        /// Six digits that allow it, too.
        code: String,
    },
    /// Somebody tried to use the address, which an account has verified already.
    AddressInUse {},
    /// The password was changed.
    PasswordChanged {
        /// Name of the user.
        username: String,
        /// Time of the change.
        at: Time,
    },
    /// Another address was verified.
    AddressAdded {
        /// Name of the user.
        username: String,
        /// The other address.
        address: EmailAddress,
        /// Time of the change.
        at: Time,
    },
    /// An address was removed.
    AddressRemoved {
        /// Name of the user.
        username: String,
        /// The address.
        address: EmailAddress,
        /// Time of the change.
        at: Time,
    },
    /// Another address receives the notices from now on.
    PrimaryAddressChanged {
        /// Name of the user.
        username: String,
        /// The new primary address.
        address: EmailAddress,
        /// Time of the change.
        at: Time,
    },
    /// The account was deleted.
    AccountDeleted {
        /// Name of the user.
        username: String,
        /// Time of the deletion.
        at: Time,
    },
    /// Sent by `latchet mail test`.
    Test,
    /// A request about an address that no account has: written like a mail, so that both take the same time, and not
    /// delivered.
    Decoy,
}

/// The kind alone: links and codes are secrets, and names and addresses belong to people.
impl fmt::Debug for MailContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.template_name().unwrap_or("decoy"))
    }
}

impl MailContent {
    /// Returns the name of the template; `None` for content that is not delivered.
    fn template_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::VerifyAddress { .. } => "verify_address",
            Self::ResetPassword { .. } => "reset_password",
            Self::AddressInUse {} => "address_in_use",
            Self::PasswordChanged { .. } => "password_changed",
            Self::AddressAdded { .. } => "address_added",
            Self::AddressRemoved { .. } => "address_removed",
            Self::PrimaryAddressChanged { .. } => "primary_address_changed",
            Self::AccountDeleted { .. } => "account_deleted",
            Self::Test => "test",
            Self::Decoy => return None,
        })
    }
}

/// The payload of a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// It was sealed under another root secret.
    #[error("a mail in the outbox was sealed under another root secret")]
    Sealed(#[from] crate::derived_keys::WrongRootSecret),
    /// Another version of the program has written it.
    #[error("a mail in the outbox has an unknown form")]
    Form(#[from] serde_json::Error),
}

impl Mail {
    /// Seals the mail for the outbox.
    pub fn into_delivery(self, user: Option<UserId>, keys: &DerivedKeys) -> NewDelivery {
        let id = random_id();
        #[expect(
            clippy::expect_used,
            clippy::missing_panics_doc,
            reason = "text and numbers always have a JSON form"
        )]
        let payload = serde_json::to_vec(&self).expect("it is text and numbers");
        NewDelivery {
            sealed_payload: keys.seal(&message_context(&id), &payload),
            id,
            channel: Channel::Mail,
            user,
        }
    }

    /// Opens a mail of the outbox.
    pub(crate) fn open(
        delivery: &ClaimedDelivery,
        keys: &DerivedKeys,
    ) -> Result<Self, PayloadError> {
        let context = message_context(&delivery.id);
        let payload = keys.open(&context, &delivery.sealed_payload)?;
        Ok(serde_json::from_slice(&payload)?)
    }
}

/// One mail of each kind, for tests and for the check of templates.
pub(crate) fn samples() -> Vec<MailContent> {
    let username = || "ada".to_owned();
    let at = Time::from_secs(1_800_000_000);
    let address = |text: &str| EmailAddress::parse(text).ok();
    let link = "https://auth.example.org/verify#bGluaw".to_owned();
    let code = || "123456".to_owned();
    let mut samples = vec![
        MailContent::VerifyAddress {
            username: username(),
            link: link.clone(),
            code: code(),
        },
        MailContent::ResetPassword {
            username: username(),
            link,
            code: code(),
        },
        MailContent::AddressInUse {},
        MailContent::PasswordChanged {
            username: username(),
            at,
        },
        MailContent::AccountDeleted {
            username: username(),
            at,
        },
        MailContent::Test,
    ];
    if let Some(address) = address("ada@example.org") {
        samples.extend([
            MailContent::AddressAdded {
                username: username(),
                address: address.clone(),
                at,
            },
            MailContent::AddressRemoved {
                username: username(),
                address: address.clone(),
                at,
            },
            MailContent::PrimaryAddressChanged {
                username: username(),
                address,
                at,
            },
        ]);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> DerivedKeys {
        DerivedKeys::derive("0123456789abcdef0123456789abcdef")
    }

    fn claimed(delivery: NewDelivery) -> ClaimedDelivery {
        ClaimedDelivery {
            id: delivery.id,
            user: delivery.user,
            sealed_payload: delivery.sealed_payload,
            tries: 1,
            created_at: Time::from_secs(0),
            claimed_until: Time::from_secs(60),
        }
    }

    #[test]
    fn a_mail_is_opened_as_it_was_sealed_and_for_its_own_row_alone() {
        for content in samples() {
            let mail = Mail {
                to: EmailAddress::parse("ada@example.org").unwrap(),
                locale: Locale::German,
                content,
            };
            let written = serde_json::to_string(&mail).unwrap();
            let mut delivery = claimed(mail.into_delivery(None, &keys()));

            assert!(!delivery.sealed_payload.contains("ada"));
            let opened = Mail::open(&delivery, &keys()).unwrap();
            assert_eq!(serde_json::to_string(&opened).unwrap(), written);
            delivery.id = "another row".to_owned();
            assert!(Mail::open(&delivery, &keys()).is_err());
        }
    }

    #[test]
    fn secrets_of_a_mail_are_not_printed() {
        for content in samples() {
            let printed = format!("{content:?}");

            for secret in ["bGluaw", "123456", "ada"] {
                assert!(!printed.contains(secret), "{printed}");
            }
        }
    }
}
