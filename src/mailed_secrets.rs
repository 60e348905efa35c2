//! Secrets of a mail: a link with a long secret, and six digits that are valid only together with the secret of the
//! request that the mail answers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::accounts::{link_hash, new_link_secret};
use super::store::{CodeHashes, PresentedCode};

/// Digits of a code.
const DIGITS: usize = 6;

/// New secrets of a mail.
#[derive(Debug)]
pub(super) struct MailedSecrets {
    /// For the client that asked for the mail.
    pub(super) request: SecretString,
    /// For the link.
    pub(super) link: SecretString,
    /// Six digits.
    pub(super) code: SecretString,
}

impl MailedSecrets {
    /// Returns random secrets.
    pub(super) fn random() -> Self {
        Self {
            request: new_link_secret().into(),
            link: new_link_secret().into(),
            code: random_digits().into(),
        }
    }

    /// Returns the hashes that are stored.
    pub(super) fn hashes(&self) -> CodeHashes {
        let request = self.request.expose_secret();
        CodeHashes {
            request: link_hash(request),
            link: link_hash(self.link.expose_secret()),
            code: code_hash(request, self.code.expose_secret()),
        }
    }
}

/// Proof that a mail was received, as a client presents it.
#[derive(Debug)]
pub enum MailProof {
    /// The secret in the link.
    Link(SecretString),
    /// The six digits.
    Code {
        /// Secret of the request.
        request: SecretString,
        /// The digits as typed.
        code: SecretString,
    },
}

impl MailProof {
    /// Returns the hashes by which the proof is looked up.
    pub(super) fn hashed(&self) -> PresentedCode {
        match self {
            Self::Link(link) => PresentedCode::Link {
                link: link_hash(link.expose_secret()),
            },
            Self::Code { request, code } => {
                let request = request.expose_secret();
                PresentedCode::Digits {
                    request: link_hash(request),
                    code: code_hash(request, &digits_of(code.expose_secret())),
                }
            }
        }
    }
}

/// Returns the hash under which digits are stored. They can be found from it only by a party that knows the secret of
/// the request, of which the database has a hash alone.
fn code_hash(request: &str, digits: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, request.as_bytes());
    URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, digits.as_bytes()))
}

/// Returns the digits of a code, which people type and paste with spaces and hyphens.
fn digits_of(typed: &str) -> String {
    typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect()
}

/// Returns six random digits, each number equally likely.
fn random_digits() -> String {
    // Larger numbers would make small codes likelier.
    const END: u32 = u32::MAX - u32::MAX % 1_000_000;
    loop {
        let mut bytes = [0; 4];
        #[expect(
            clippy::expect_used,
            reason = "a code that can be guessed would be worse than no response"
        )]
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        let number = u32::from_le_bytes(bytes);
        if number < END {
            return format!("{:0DIGITS$}", number % 1_000_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(request: &str, code: &str) -> PresentedCode {
        let (request, code) = (request.into(), code.into());
        MailProof::Code { request, code }.hashed()
    }

    #[test]
    fn the_digits_are_valid_with_their_request_alone() {
        let secrets = MailedSecrets::random();
        let hashes = secrets.hashes();
        let (request, code) = (
            secrets.request.expose_secret(),
            secrets.code.expose_secret(),
        );

        let right = PresentedCode::Digits {
            request: hashes.request,
            code: hashes.code,
        };
        assert_eq!(presented(request, code), right);
        let spaced = format!(" {} - {} ", &code[..3], &code[3..]);
        assert_eq!(presented(request, &spaced), right);
        assert_ne!(presented(request, "12345"), right);
        let other = MailedSecrets::random();
        assert_ne!(presented(other.request.expose_secret(), code), right);
    }

    #[test]
    fn codes_have_six_digits_and_differ() {
        let codes: Vec<String> = (0..100).map(|_| random_digits()).collect();

        for code in &codes {
            assert!(
                code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
                "{code}"
            );
        }
        let unique: std::collections::BTreeSet<&String> = codes.iter().collect();
        assert!(unique.len() > 95, "{unique:?}");
    }

    #[test]
    fn secrets_cannot_be_printed() {
        let secrets = MailedSecrets::random();

        let printed = format!("{secrets:?}");

        for secret in [&secrets.request, &secrets.link, &secrets.code] {
            assert!(!printed.contains(secret.expose_secret()), "{printed}");
        }
    }
}
