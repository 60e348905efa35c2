//! Mails about accounts: which mail a change causes, its language and its links. The mails are written into the
//! outbox by the store, in the transaction of the change.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::config::{MailMode, WebOrigin};
use super::derived_keys::DerivedKeys;
use super::error::ApiError;
use super::locale::Locale;
use super::mail::{Mail, MailContent};
use super::mailed_secrets::MailedSecrets;
use super::names::EmailAddress;
use super::store::{Email, NewDelivery, Store, User};

/// Lifetime of a mailed link and of its code.
pub(super) const CODE_LIFETIME: Duration = Duration::from_hours(1);

const NO_MAIL: ApiError = ApiError::NotFound(
    "this server sends no mail: set LATCHET_SMTP_URL and LATCHET_MAIL_FROM, or ask an administrator",
);

/// Request for a mail, for the client that made it. It reveals nothing about accounts.
#[derive(Debug)]
pub struct MailChallenge {
    /// Secret with which the code of the mail is valid.
    pub request: SecretString,
    /// Lifetime of the link and the code.
    pub expires_in: Duration,
}

impl MailChallenge {
    pub(super) fn of(secrets: MailedSecrets) -> Self {
        Self {
            request: secrets.request,
            expires_in: CODE_LIFETIME,
        }
    }
}

/// Page that a mailed link opens.
#[derive(Clone, Copy, Debug)]
enum LinkedPage {
    Verify,
    Reset,
}

/// Writes mails about accounts.
#[derive(Clone, Debug)]
pub struct Mailer {
    pub(super) mode: MailMode,
    pub(super) public_url: WebOrigin,
    pub(super) derived: Arc<DerivedKeys>,
    pub(super) store: Store,
}

impl Mailer {
    /// Returns whether mails are sent at all.
    pub fn is_on(&self) -> bool {
        self.mode != MailMode::Off
    }

    /// Refuses an operation that needs mails, where they are off.
    pub(super) fn require_on(&self) -> Result<(), ApiError> {
        if self.is_on() { Ok(()) } else { Err(NO_MAIL) }
    }

    /// Returns a mail with the link and the code that prove an address.
    pub(super) fn proof_of_address(
        &self,
        to: EmailAddress,
        (username, locale): (&str, Locale),
        secrets: &MailedSecrets,
    ) -> NewDelivery {
        let content = MailContent::VerifyAddress {
            username: username.to_owned(),
            link: self.link(LinkedPage::Verify, secrets),
            code: secrets.code.expose_secret().to_owned(),
        };
        self.delivery(to, locale, content)
    }

    /// Returns a mail with the link and the code that set a new password.
    pub(super) fn password_reset(
        &self,
        to: EmailAddress,
        (username, locale): (&str, Locale),
        secrets: &MailedSecrets,
    ) -> NewDelivery {
        let content = MailContent::ResetPassword {
            username: username.to_owned(),
            link: self.link(LinkedPage::Reset, secrets),
            code: secrets.code.expose_secret().to_owned(),
        };
        self.delivery(to, locale, content)
    }

    /// Returns a mail to the owner of an address that somebody else claims.
    pub(super) fn address_in_use(&self, to: EmailAddress, locale: Locale) -> NewDelivery {
        self.delivery(to, locale, MailContent::AddressInUse {})
    }

    /// Returns a message that is written and claimed like a mail, and not delivered.
    pub(super) fn decoy(&self, to: EmailAddress, locale: Locale) -> NewDelivery {
        self.delivery(to, locale, MailContent::Decoy)
    }

    /// Returns the mail to the primary address of a user that reports a change, if there is such an address.
    ///
    /// # Errors
    /// `unavailable`.
    pub(super) async fn notice(
        &self,
        user: &User,
        content: MailContent,
    ) -> Result<Vec<NewDelivery>, ApiError> {
        if !self.is_on() {
            return Ok(Vec::new());
        }
        let emails = self.store.emails(&user.id).await?;
        let primary = emails.into_iter().find(|email| email.is_primary);
        Ok(primary
            .map(|email| self.notice_to(&email, user, content))
            .into_iter()
            .collect())
    }

    /// Returns the mail that reports a change to one address of a user.
    pub(super) fn notice_to(
        &self,
        email: &Email,
        user: &User,
        content: MailContent,
    ) -> NewDelivery {
        let locale = user.locale.unwrap_or_default();
        NewDelivery {
            user: Some(user.id.clone()),
            ..self.delivery(email.address.clone(), locale, content)
        }
    }

    fn delivery(&self, to: EmailAddress, locale: Locale, content: MailContent) -> NewDelivery {
        let mail = Mail {
            to,
            locale,
            content,
        };
        mail.into_delivery(None, &self.derived)
    }

    /// Returns a link to a page of this server, whatever the request says about its host. The secret follows `#`:
    /// browsers send no server that part, and a program that only follows links uses nothing up.
    fn link(&self, page: LinkedPage, secrets: &MailedSecrets) -> String {
        let path = match page {
            LinkedPage::Verify => "verify",
            LinkedPage::Reset => "reset",
        };
        format!(
            "{}/{path}#{}",
            self.public_url,
            secrets.link.expose_secret()
        )
    }
}
