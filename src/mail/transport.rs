//! Ways in which mails leave the server.

use std::time::Duration;

use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

use super::folder::MailFolder;
use super::message::MessageFrame;
use super::templates::{TemplateError, Templates};
use super::Mail;
use crate::config::{Config, MailMode, SmtpSecurity, SmtpUrl};
use crate::error::error_chain;
use latchet_guard::clock::Clock;

/// Longest wait for one step of a conversation with the mail server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most connections to the mail server.
pub(super) const MOST_CONNECTIONS: u32 = 8;

/// Time after which an idle connection to the mail server is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// True if the mail server has refused this mail for good.
    pub is_permanent: bool,
}

/// Renders and sends mails.
#[derive(Debug)]
pub struct MailSender {
    templates: Templates,
    frame: MessageFrame,
    transport: Transport,
}

enum Transport {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
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
            frame: MessageFrame { from, host },
            transport,
        }))
    }

    /// Sends a mail. A second mail with the same id is the same message.
    ///
    /// # Errors
    /// When the mail server does not accept it.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), SendError> {
        let rendered = self.templates.render(&mail.content, mail.locale);
        let rendered = rendered.map_err(|error| permanent(&error))?;
        let message = self.frame.message(id, &mail.to, rendered);
        let message = message.map_err(|error| permanent(&error))?;
        match &self.transport {
            Transport::Smtp(server) => match server.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(SendError {
                    is_permanent: error.is_permanent(),
                    cause: printable_cause(&error),
                }),
            },
            Transport::Folder(folder) => {
                let (folder, id) = (folder.clone(), id.to_owned());
                let written =
                    tokio::task::spawn_blocking(move || folder.write(&id, &message.formatted()));
                match written.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(temporary(&error)),
                    Err(error) => Err(temporary(&error)),
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
            Transport::Smtp(server) => match server.test_connection().await {
                Ok(true) => Ok(()),
                Ok(false) => Err(SendError {
                    cause: "the mail server does not respond".to_owned(),
                    is_permanent: false,
                }),
                Err(error) => Err(SendError {
                    is_permanent: error.is_permanent(),
                    cause: printable_cause(&error),
                }),
            },
        }
    }
}

fn smtp(config: &Config) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailSettingsError> {
    let url = config.smtp_url.as_ref().map(ExposeSecret::expose_secret);
    let url = SmtpUrl::parse(url.unwrap_or_default()).map_err(MailSettingsError::Url)?;
    let tls = match url.security {
        SmtpSecurity::None => Tls::None,
        SmtpSecurity::StartTls => Tls::Required(tls_parameters(&url)?),
        SmtpSecurity::Tls => Tls::Wrapper(tls_parameters(&url)?),
    };
    let pool = PoolConfig::new()
        .max_size(MOST_CONNECTIONS)
        .idle_timeout(IDLE_TIMEOUT);
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(url.host)
        .port(url.port)
        .tls(tls)
        .timeout(Some(TIMEOUT))
        .pool_config(pool);
    if let Some(login) = url.login {
        let password = login.password.expose_secret().to_owned();
        builder = builder.credentials(Credentials::new(login.user, password));
    }
    Ok(builder.build())
}

fn tls_parameters(url: &SmtpUrl) -> Result<TlsParameters, MailSettingsError> {
    let mut parameters = TlsParameters::builder(url.host.clone());
    if let Some(path) = &url.ca {
        let pem = std::fs::read(path).map_err(MailSettingsError::Certificates)?;
        let certificate = Certificate::from_pem(&pem).map_err(MailSettingsError::Tls)?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build_rustls().map_err(MailSettingsError::Tls)
}

fn permanent(error: &(dyn std::error::Error + 'static)) -> SendError {
    SendError {
        cause: printable_cause(error),
        is_permanent: true,
    }
}

fn temporary(error: &(dyn std::error::Error + 'static)) -> SendError {
    SendError {
        cause: printable_cause(error),
        is_permanent: false,
    }
}

/// Returns the causes of an error in one short line, without e-mail addresses: mail servers repeat them.
fn printable_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = error_chain(error).join(": ");
    let words = chain.split_whitespace().map(|word| {
        if word.contains('@') { "<address>" } else { word }
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

        assert!(cause.starts_with("550 5.1.1 <address> no such user x"), "{cause}");
        assert_eq!(cause.chars().count(), LONGEST_CAUSE);
    }
}
