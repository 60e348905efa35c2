//! Ways in which mails leave the server.

use std::time::Duration;

use lettre::transport::smtp::client::{
    Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::Mail;
use super::counters::MailCounters;
use super::folder::MailFolder;
use super::message::MessageFrame;
use super::smtp::{FaultKind, SmtpClient, SmtpFault, SmtpStep};
use super::templates::{TemplateError, Templates};
use crate::config::{Config, MailMode, SmtpSecurity, SmtpUrl};
use crate::error::error_chain;
use crate::text_file;
use latchet_guard::clock::Clock;

/// Most mails that are sent at once, each by a connection of its own.
pub(super) const MOST_CONNECTIONS: usize = 8;

/// Longest time for which a server that stops waits for the mails that are being sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest part of the response of a mail server in the log.
const LONGEST_CAUSE: usize = 200;

/// The settings of mails cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MailSettingsError {
    /// A template.
    #[error(transparent)]
    Template(#[from] TemplateErrorText),
    /// The URL.
    #[error("smtp_url: {0}")]
    Url(String),
    /// The certificates of `ca`.
    #[error("smtp_url: cannot read the certificates of `ca`")]
    Certificates(#[source] std::io::Error),
    /// TLS.
    #[error("smtp_url: TLS cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
    /// The sender.
    #[error("mail_from is not an address such as `Example <no-reply@example.org>`")]
    Sender(#[source] lettre::address::AddressError),
}

/// A template cannot be used; the text names it and the line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TemplateErrorText(String);

impl From<TemplateError> for MailSettingsError {
    fn from(error: TemplateError) -> Self {
        Self::Template(TemplateErrorText(error_chain(&error).join(": ")))
    }
}

/// A mail was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct SendError {
    /// Cause, without addresses.
    pub cause: String,
    /// Reach of the failure.
    pub reach: FailureReach,
    /// Advice to the operator.
    pub hint: &'static str,
}

/// Reach of a failure to send a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReach {
    /// The mail server, or the disk: other mails would fail as well.
    AllMails,
    /// This mail, perhaps for a while.
    ThisMail,
    /// This mail, for good: the recipient was refused, or the message cannot be built.
    ThisMailForGood,
}

impl From<SmtpFault> for SendError {
    fn from(fault: SmtpFault) -> Self {
        let reach = match (fault.step, fault.kind) {
            (SmtpStep::Recipient, FaultKind::Refused) => FailureReach::ThisMailForGood,
            // Also a broken conversation: a server that is down is noticed when the next mail connects.
            (SmtpStep::Recipient | SmtpStep::Content, _) => FailureReach::ThisMail,
            _ => FailureReach::AllMails,
        };
        Self {
            cause: printable_cause(&fault),
            reach,
            hint: hint(&fault),
        }
    }
}

/// Returns advice for a failed conversation.
fn hint(fault: &SmtpFault) -> &'static str {
    match (fault.step, fault.kind) {
        (_, FaultKind::Tls) => {
            "use the host name of the certificate in LATCHET_SMTP_URL; add `?ca=FILE` for a private authority; smtps:// is for a port with TLS from the start (465), smtp:// for one with STARTTLS (587)"
        }
        (SmtpStep::Connect, _) => {
            "check host and port in LATCHET_SMTP_URL, and that no firewall is in between; smtps:// is for a port with TLS from the start (465), smtp:// for one with STARTTLS (587)"
        }
        (SmtpStep::StartTls, _) => {
            "this port offers no STARTTLS: use smtps:// and its port, or `?tls=none` for a mail server on this machine"
        }
        (SmtpStep::Login, _) => {
            "check user and password in LATCHET_SMTP_URL, with special characters percent-encoded"
        }
        (SmtpStep::Sender, _) => {
            "set LATCHET_MAIL_FROM to an address from which this user of the mail server may send"
        }
        (SmtpStep::Recipient, _) => {
            "check the address, and that the mail server forwards mails of this user"
        }
        (SmtpStep::Content, _) => "look into the log of the mail server",
    }
}

/// Renders and sends mails.
#[derive(Debug)]
pub struct MailSender {
    templates: Templates,
    frame: MessageFrame,
    transport: Transport,
    counters: MailCounters,
    stopping: CancellationToken,
    /// Held while mails of the outbox are being sent.
    sending: Mutex<()>,
}

enum Transport {
    Smtp(Box<SmtpClient>),
    Folder(MailFolder),
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Smtp(_) => "Smtp(..)",
            Self::Folder(_) => "Folder(..)",
        })
    }
}

impl MailSender {
    /// Opens the transport that the settings name; `None` where mail is off. Connects to no server yet.
    ///
    /// # Errors
    /// When a setting or a template cannot be used.
    pub fn open(config: &Config, clock: &Clock) -> Result<Option<Self>, MailSettingsError> {
        let transport = match config.mail_mode() {
            MailMode::Off => return Ok(None),
            MailMode::Log => {
                Transport::Folder(MailFolder::new(config.mail_folder(), clock.clone()))
            }
            MailMode::Smtp => Transport::Smtp(Box::new(smtp(config)?)),
        };
        let host = config.public_url.host().to_owned();
        let from = match &config.mail_from {
            Some(from) => from.parse().map_err(MailSettingsError::Sender)?,
            None => lettre::message::Mailbox::new(
                Some("Latchet".to_owned()),
                lettre::Address::new_dangerous("latchet", "localhost"),
            ),
        };
        Ok(Some(Self {
            templates: Templates::open(config.mail_templates.as_deref(), &host)?,
            frame: MessageFrame {
                from,
                host,
                clock: clock.clone(),
            },
            transport,
            counters: MailCounters::default(),
            stopping: CancellationToken::new(),
            sending: Mutex::default(),
        }))
    }

    /// Sends a mail. A second mail with the same id is the same message.
    ///
    /// # Errors
    /// When the mail server does not accept it.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), SendError> {
        let rendered = self.templates.render(&mail.content, mail.locale);
        let rendered = rendered.map_err(|error| unsendable(&error))?;
        let message = self.frame.message(id, &mail.to, rendered);
        let message = message.map_err(|error| unsendable(&error))?;
        match &self.transport {
            Transport::Smtp(server) => Ok(server.send(&message).await?),
            Transport::Folder(folder) => {
                let (folder, id) = (folder.clone(), id.to_owned());
                let written =
                    tokio::task::spawn_blocking(move || folder.write(&id, &message.formatted()));
                match written.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(unwritten(&error)),
                    Err(error) => Err(unwritten(&error)),
                }
            }
        }
    }

    /// Connects to the mail server and authenticates; for files, does nothing.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the credentials.
    pub async fn test_connection(&self) -> Result<(), SendError> {
        match &self.transport {
            Transport::Folder(_) => Ok(()),
            Transport::Smtp(server) => Ok(server.test_connection().await?),
        }
    }

    /// Returns the numbers of mails of the outbox that were sent, and that were not.
    pub fn counters(&self) -> &MailCounters {
        &self.counters
    }

    /// Begins to send no more mails of the outbox, and waits for those that are being sent. What takes longer is sent
    /// again by another server, or after the next start.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.sending.lock()).await;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits for the call of [`MailSender::stop`].
    pub(super) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Returns a guard that [`MailSender::stop`] waits for.
    pub(super) async fn sending(&self) -> MutexGuard<'_, ()> {
        self.sending.lock().await
    }

    /// Closes connections that were not used for a while.
    pub(super) async fn close_idle_connections(&self) {
        if let Transport::Smtp(server) = &self.transport {
            server.close_idle().await;
        }
    }
}

fn smtp(config: &Config) -> Result<SmtpClient, MailSettingsError> {
    let url = config.smtp_url.as_ref().map(ExposeSecret::expose_secret);
    let url = SmtpUrl::parse(url.unwrap_or_default()).map_err(MailSettingsError::Url)?;
    let tls = match url.security {
        SmtpSecurity::None => None,
        SmtpSecurity::StartTls | SmtpSecurity::Tls => Some(tls_parameters(&url)?),
    };
    Ok(SmtpClient::new(url, tls, config.public_url.host()))
}

/// Returns the settings of TLS: certificates of the authorities of the system, or of the private one alone.
fn tls_parameters(url: &SmtpUrl) -> Result<TlsParameters, MailSettingsError> {
    let mut parameters = TlsParametersBuilder::new(url.host.clone());
    if let Some(path) = &url.ca {
        let pem = text_file::read_pem(path).map_err(MailSettingsError::Certificates)?;
        if !contains_certificate(&pem) {
            let error = std::io::Error::other(format!("{} holds no certificate", path.display()));
            return Err(MailSettingsError::Certificates(error));
        }
        let certificate = Certificate::from_pem(&pem).map_err(MailSettingsError::Tls)?;
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    parameters.build_rustls().map_err(MailSettingsError::Tls)
}

fn contains_certificate(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem).any(|certificate| certificate.is_ok())
}

/// Returns the failure of a mail that cannot be built.
fn unsendable(error: &(dyn std::error::Error + 'static)) -> SendError {
    SendError {
        cause: printable_cause(error),
        reach: FailureReach::ThisMailForGood,
        hint: "check the templates in LATCHET_MAIL_TEMPLATES",
    }
}

/// Returns the failure to write a file.
fn unwritten(error: &(dyn std::error::Error + 'static)) -> SendError {
    SendError {
        cause: printable_cause(error),
        reach: FailureReach::AllMails,
        hint: "check the folder `mails` in LATCHET_DATA_DIR, and its disk",
    }
}

/// Returns the causes of an error in one short line, without e-mail addresses: mail servers repeat them.
fn printable_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = error_chain(error).join(": ");
    let words = chain.split_whitespace().map(|word| {
        if word.contains('@') {
            "<address>"
        } else {
            word
        }
    });
    let line: String = words.collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_short_line_without_addresses() {
        let error = std::io::Error::other(format!(
            "550 5.1.1 <ada@example.org>: no such\r\nuser {}",
            "x".repeat(500)
        ));

        let cause = printable_cause(&error);

        assert!(
            cause.starts_with("550 5.1.1 <address> no such user x"),
            "{cause}"
        );
        assert_eq!(cause.chars().count(), LONGEST_CAUSE);
    }

    #[test]
    fn a_conversation_that_breaks_at_a_recipient_delays_no_other_mail() {
        for (step, kind, reach) in [
            (
                SmtpStep::Recipient,
                FaultKind::Broken,
                FailureReach::ThisMail,
            ),
            (SmtpStep::Content, FaultKind::Broken, FailureReach::ThisMail),
            (
                SmtpStep::Recipient,
                FaultKind::Refused,
                FailureReach::ThisMailForGood,
            ),
            (SmtpStep::Connect, FaultKind::Broken, FailureReach::AllMails),
            (SmtpStep::Sender, FaultKind::Refused, FailureReach::AllMails),
        ] {
            let fault = SmtpFault {
                step,
                kind,
                source: "a fault".into(),
            };
            assert_eq!(SendError::from(fault).reach, reach);
        }
    }
}
