//! Mails that a server with the transport `log` has written into its folder.

use std::path::{Path, PathBuf};

use super::backend::Backend;
use super::poll;

/// The mails of a server.
#[derive(Debug)]
pub(crate) struct Mailbox(PathBuf);

/// A mail: its headers and its text.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedMail {
    pub(crate) headers: String,
    pub(crate) text: String,
}

impl Mailbox {
    /// Returns the mails of the servers of a backend.
    pub(crate) fn of(backend: &Backend) -> Self {
        Self(Path::new(&backend.settings()["LATCHET_DATA_DIR"]).join("mails"))
    }

    /// Returns the mails to an address that were written so far, the oldest first.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<ReceivedMail> {
        let Ok(folder) = std::fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = folder
            .map(|entry| entry.expect("the folder is ours").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        paths.sort();
        let mails = paths.iter().map(|path| ReceivedMail::read(path));
        let to = format!("\nto: {}\n", address.to_lowercase());
        mails
            .filter(|mail| mail.headers.to_lowercase().contains(&to))
            .collect()
    }

    /// Waits for the `number`th mail to an address, counted from 1, and returns it.
    pub(crate) async fn mail_to(&self, address: &str, number: usize) -> ReceivedMail {
        poll::until_some(&format!("mail {number} to {address}"), async || {
            self.mails_to(address).get(number - 1).cloned()
        })
        .await
    }
}

impl ReceivedMail {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("the mail is complete when it has its name");
        let message = String::from_utf8(bytes).expect("mails are ASCII");
        let message = message.replace("\r\n", "\n");
        let (headers, body) = message.split_once("\n\n").expect("a mail has headers");
        let part = body
            .split("\n--")
            .find(|part| part.contains("text/plain"))
            .expect("a mail has a text");
        let (part_headers, text) = part.split_once("\n\n").expect("a part has headers");
        let is_encoded = part_headers.to_lowercase().contains("quoted-printable");
        Self {
            headers: format!("\n{}\n", headers.replace("\n ", " ")),
            text: if is_encoded {
                decode_quoted_printable(text)
            } else {
                text.to_owned()
            },
        }
    }

    /// Returns the link in the text.
    pub(crate) fn link(&self) -> String {
        let link = self.text.split_whitespace().find(|word| word.contains('#'));
        link.unwrap_or_else(|| panic!("no link: {}", self.text))
            .to_owned()
    }

    /// Returns the secret of the link.
    pub(crate) fn secret(&self) -> String {
        let link = self.link();
        let (_, secret) = link.split_once('#').expect("a link has a secret");
        secret.to_owned()
    }

    /// Returns the six digits in the text.
    pub(crate) fn code(&self) -> String {
        let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
        let words = self
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '#');
        let code = words.into_iter().find(is_code);
        code.unwrap_or_else(|| panic!("no code: {}", self.text))
            .to_owned()
    }
}

/// Decodes quoted-printable (RFC 2045, section 6.7).
fn decode_quoted_printable(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_str();
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.expect("two digits follow an escape"));
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).expect("mails are UTF-8")
}
