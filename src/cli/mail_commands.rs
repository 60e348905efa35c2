//! `latchet mail …`

use super::CliError;
use crate::config::{Config, MailMode};
use crate::locale::Locale;
use crate::mail::{Mail, MailContent, MailSender, SendError};
use crate::names::EmailAddress;
use latchet_guard::clock::Clock;
use latchet_guard::keys::random_id;

/// Sends a mail at once, for the command, and returns the report.
pub(super) async fn run(config: &Config, to: EmailAddress) -> Result<String, CliError> {
    let sender = MailSender::open(config, &Clock::system());
    let sender = sender.map_err(crate::installation::OpenError::from)?;
    let Some(sender) = sender else {
        return Err(CliError::Other(
            "mail is off: set LATCHET_SMTP_URL and LATCHET_MAIL_FROM, or LATCHET_MAIL=log for files"
                .to_owned(),
        ));
    };
    let sent = send_test(config, &sender, to).await;
    sent.map_err(|error| {
        let hint = error.hint;
        CliError::Other(format!("the mail was not sent: {error}\n  fix: {hint}"))
    })
}

/// Sends a mail at once, and returns the report.
pub(super) async fn send_test(
    config: &Config,
    sender: &MailSender,
    to: EmailAddress,
) -> Result<String, SendError> {
    let (recipient, locale) = (to.display(), Locale::default());
    let mail = Mail {
        to,
        locale,
        content: MailContent::Test,
    };
    sender.send(&random_id(), &mail).await?;
    Ok(match config.mail_mode() {
        MailMode::Log => format!(
            "The mail to {recipient} is a file in {}.\n",
            config.mail_folder().display()
        ),
        _ => format!("The mail server accepted the mail to {recipient}.\n"),
    })
}
