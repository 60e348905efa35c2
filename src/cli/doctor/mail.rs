//! Checks of the mail settings and of the mail server.

use secrecy::ExposeSecret;

use super::{Config, Finding};
use crate::cli::mail_commands::send_test;
use crate::config::MailMode;
use crate::mail::MailSender;
use crate::names::EmailAddress;
use latchet_guard::clock::Clock;

/// Connects to the mail server, if the settings name one, and sends a mail to `to`.
pub(super) async fn check(config: &Config, to: Option<EmailAddress>) -> Vec<Finding> {
    let mode = config.mail_mode();
    if mode == MailMode::Smtp && (config.smtp_url.is_none() || config.mail_from.is_none()) {
        // Reported by the check of the settings.
        return Vec::new();
    }
    let sender = match MailSender::open(config, &Clock::system()) {
        Ok(sender) => sender,
        Err(error) => return vec![Finding::of(&error, "correct that setting")],
    };
    let Some(sender) = sender else {
        return vec![Finding::passed(
            "mail is off: users have no addresses, and nobody can reset a password alone",
        )];
    };
    let mut findings = vec![if mode == MailMode::Log {
        let folder = config.mail_folder();
        Finding::passed(format!(
            "mails are files in {}, and none is sent",
            folder.display()
        ))
    } else {
        match sender.test_connection().await {
            Ok(()) if has_login(config) => {
                Finding::passed("the mail server responds and accepts user and password")
            }
            Ok(()) => Finding::passed("the mail server responds"),
            Err(error) => return vec![Finding::failed(error.cause, error.hint)],
        }
    }];
    if let Some(to) = to {
        findings.push(match send_test(config, &sender, to).await {
            Ok(report) => Finding::passed(report.trim_end()),
            Err(error) => Finding::failed(
                format!("the mail was not sent: {}", error.cause),
                error.hint,
            ),
        });
    }
    findings
}

fn has_login(config: &Config) -> bool {
    let url = config.smtp_url.as_ref();
    url.is_some_and(|url| url.expose_secret().contains('@'))
}
