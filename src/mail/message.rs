//! The message of a mail (RFC 5322), with text and HTML.

use std::time::UNIX_EPOCH;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::templates::RenderedMail;
use crate::names::EmailAddress;
use latchet_guard::clock::{Clock, Time};

/// Headers of a mail that a program has sent: no program answers it (RFC 3834, section 5).
const AUTOMATIC: [(&str, &str); 2] = [
    ("Auto-Submitted", "auto-generated"),
    ("X-Auto-Response-Suppress", "All"),
];

/// A message cannot be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    /// The address is none that mail servers accept.
    #[error("the address of the recipient cannot be used")]
    Address(#[from] lettre::address::AddressError),
    /// A part of the message.
    #[error("the message cannot be built")]
    Message(#[from] lettre::error::Error),
}

/// Sender and identity of the messages of a server.
#[derive(Clone, Debug)]
pub(super) struct MessageFrame {
    pub(super) from: Mailbox,
    /// Host of the public URL, in the ids of messages.
    pub(super) host: String,
    /// Source of the dates.
    pub(super) clock: Clock,
}

impl MessageFrame {
    /// Builds the message with that id. A second delivery has the same `Message-ID`.
    pub(super) fn message(
        &self,
        id: &str,
        to: &EmailAddress,
        mail: RenderedMail,
    ) -> Result<Message, MessageError> {
        let (local, domain) = to.as_str().split_once('@').unwrap_or((to.as_str(), ""));
        let recipient = Mailbox::new(None, Address::new(local, domain)?);
        let since_epoch = self.clock.now().since(Time::from_secs(0));
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(recipient)
            .subject(mail.subject)
            .message_id(Some(format!("<{id}@{}>", self.host)))
            .date(UNIX_EPOCH + since_epoch);
        for (name, value) in AUTOMATIC {
            let name = HeaderName::new_from_ascii_str(name);
            builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
        }
        let body = MultiPart::alternative_plain_html(mail.text, mail.html);
        Ok(builder.multipart(body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, text: &str) -> String {
        let frame = MessageFrame {
            from: "Latchet <latchet@example.org>".parse().unwrap(),
            host: "auth.example.org".to_owned(),
            clock: Clock::system(),
        };
        let mail = RenderedMail {
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: "<p>Hello</p>".to_owned(),
        };
        let to = EmailAddress::parse("Ada+1@example.org").unwrap();
        let message = frame.message("id-1", &to, mail).unwrap();
        assert_eq!(message.envelope().to().len(), 1);
        assert_eq!(message.envelope().to()[0].to_string(), "Ada+1@example.org");
        String::from_utf8(message.formatted()).unwrap()
    }

    fn headers(message: &str) -> Vec<&str> {
        let (headers, _) = message.split_once("\r\n\r\n").unwrap();
        headers
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .collect()
    }

    #[test]
    fn a_message_names_its_id_and_that_a_program_sent_it() {
        let message = message("Hello", "Hello");

        let headers = headers(&message);
        for wanted in [
            "From: Latchet <latchet@example.org>",
            "To: Ada+1@example.org",
            "Subject: Hello",
            "Message-ID: <id-1@auth.example.org>",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
            "MIME-Version: 1.0",
        ] {
            assert!(headers.contains(&wanted), "{wanted}: {headers:?}");
        }
        assert!(message.contains("multipart/alternative"));
    }

    #[test]
    fn a_subject_adds_no_header_and_no_recipient() {
        for subject in [
            "a\r\nBcc: eve@example.org",
            "a\nBcc: eve@example.org",
            "a\rBcc: eve@example.org",
            "a\0b",
            "=?utf-8?q?a=0D=0ABcc=3A_eve?=",
            "Prüfung\r\n\r\nbody",
        ] {
            let message = message(subject, "Hello");

            for header in headers(&message) {
                let name = header.split(':').next().unwrap().to_ascii_lowercase();
                assert_ne!(name, "bcc", "{subject:?}: {message}");
            }
            assert!(!message.contains("\r\n\r\nbody"), "{message}");
        }
    }

    #[test]
    fn lines_are_short_and_ascii() {
        let message = message("Bestätigen", &"ä sehr lange Zeile ".repeat(100));

        assert!(message.is_ascii());
        assert!(
            message
                .split("\r\n")
                .all(|line| line.len() <= 998 && !line.contains('\n'))
        );
    }
}
