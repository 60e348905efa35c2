//! E-mail addresses, in one form however they were typed: NFKC, the domain by IDNA.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::precis;

/// A validated e-mail address: local part as typed, domain in lower case and in ASCII (RFC 5890, A-labels). It
/// contains no character that has a meaning in a header or in a list of addresses.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// The fault of a text that is not an address, to be read after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EmailFault(&'static str);

const FORM: EmailFault = EmailFault("must be an e-mail address such as ada@example.org");
const LENGTH: EmailFault = EmailFault("must have at most 254 bytes, of which 64 before the `@`");
const LOCAL_PART: EmailFault =
    EmailFault("has a character before the `@` that is not allowed in an address here");
const DOMAIN: EmailFault = EmailFault("has no valid domain after the `@`");

/// Characters of a local part besides letters and digits (RFC 5321, 4.1.2: `Atom`).
const ATOM_PUNCTUATION: &str = "!#$%&'*+-/=?^_`{|}~";

impl EmailAddress {
    /// Longest address, in bytes (RFC 5321, 4.5.3.1.3).
    pub const LONGEST: usize = 254;

    /// Longest part before the `@`, in bytes (RFC 5321, 4.5.3.1.1).
    const LONGEST_LOCAL: usize = 64;

    /// Parses an address: a local part without quotes and comments, and a domain name with a dot. A character
    /// that only becomes an `@` when it is normalised is refused.
    ///
    /// # Errors
    /// When the text is not such an address.
    pub fn parse(text: &str) -> Result<Self, EmailFault> {
        // Normalising makes a text at most eighteen times as long.
        if text.len() > 4 * Self::LONGEST {
            return Err(LENGTH);
        }
        let normalised: String = text.trim().nfkc().collect();
        let count = |text: &str| text.chars().filter(|c| *c == '@').count();
        if count(text) != 1 || count(&normalised) != 1 {
            return Err(FORM);
        }
        let (local, domain) = normalised.split_once('@').ok_or(FORM)?;
        check_local_part(local)?;
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > Self::LONGEST {
            return Err(LENGTH);
        }
        Ok(Self(format!("{local}@{domain}")))
    }

    /// Returns the address as mail servers receive it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address for display: the domain in Unicode where it has such a form.
    pub fn display(&self) -> String {
        let (local, domain) = self.parts();
        match idna::domain_to_unicode(domain) {
            (domain, Ok(())) => format!("{local}@{domain}"),
            (_, Err(_)) => self.0.clone(),
        }
    }

    /// Returns the form in which addresses are compared: two addresses with the same form are one address.
    pub fn key(&self) -> String {
        let (local, domain) = self.parts();
        // A sigma has another small letter at the end of a word, and capitals show no difference.
        let lower: String = local.to_lowercase().replace('ς', "σ").nfkc().collect();
        format!("{lower}@{domain}")
    }

    /// Returns the domain in ASCII.
    pub fn domain(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('@').unwrap_or((&self.0, ""))
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The domain alone: addresses of people do not belong into logs.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, domain) = self.parts();
        write!(f, "EmailAddress(…@{domain})")
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailFault;

    fn try_from(text: String) -> Result<Self, EmailFault> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

fn check_local_part(local: &str) -> Result<(), EmailFault> {
    if local.is_empty() {
        return Err(FORM);
    }
    if local.len() > EmailAddress::LONGEST_LOCAL {
        return Err(LENGTH);
    }
    let is_allowed = |c: char| {
        c == '.' || c.is_ascii_alphanumeric() || ATOM_PUNCTUATION.contains(c) || !c.is_ascii()
    };
    let has_empty_atom = local.split('.').any(str::is_empty);
    if has_empty_atom || !local.chars().all(is_allowed) {
        return Err(LOCAL_PART);
    }
    let checked = precis::check_identifier(local).and_then(|()| precis::check_direction(local));
    checked.map_err(|_| LOCAL_PART)
}

/// Returns a domain name in ASCII. An address of a machine is none, nor is a name without a dot.
fn ascii_domain(domain: &str) -> Result<String, EmailFault> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| DOMAIN)?;
    let last = ascii.rsplit_once('.').map(|(_, last)| last);
    let is_top_level = |last: &str| {
        last.starts_with("xn--") || last.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    if last.is_some_and(is_top_level) {
        Ok(ascii)
    } else {
        Err(DOMAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn an_address_keeps_its_case_and_compares_without_it() {
        let address = parse("Ada.Lovelace+news@Example.ORG");

        assert_eq!(address.to_string(), "Ada.Lovelace+news@example.org");
        assert_eq!(address.key(), "ada.lovelace+news@example.org");
        assert_eq!(address.key(), parse("ADA.lovelace+NEWS@example.org").key());
    }

    #[test]
    fn spellings_of_one_address_have_one_key() {
        for (one, other) in [
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BÜCHER.example", "ada@bu\u{308}cher.example"),
            ("\u{ff41}da@example.org", "ada@example.org"),
            ("ada@\u{ff45}xample.org", "ada@example.org"),
            (
                "j\u{e9}r\u{f4}me@example.org",
                "JE\u{301}RO\u{302}ME@example.org",
            ),
            ("ﬁona@example.org", "fiona@example.org"),
            (" ada@example.org ", "ada@example.org"),
            ("ada@example\u{3002}org", "ada@example.org"),
            ("ΟΔΟΣ@example.org", "οδοσ@example.org"),
        ] {
            assert_eq!(parse(one).key(), parse(other).key(), "{one}");
        }
        assert_eq!(
            parse("ada@xn--bcher-kva.example").display(),
            "ada@bücher.example"
        );
    }

    #[test]
    fn texts_that_are_no_address_or_more_than_one_are_refused() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_domain = format!("a@{}.example", "b".repeat(64));
        let long = format!("a@{}org", "example.".repeat(40));
        for bad in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "ada@localhost",
            "ada@192.0.2.1",
            "ada@1.2.3.0x4",
            "ada@example.o1",
            "ada@[192.0.2.1]",
            "ada@@example.org",
            "ada@example.org@example.net",
            "ada\u{ff20}example.org",
            "ada\u{ff20}evil.example@example.org",
            "ada@evil.example\u{fe6b}example.org",
            "ada@example.org,eve@example.net",
            "ada@example.org;eve@example.net",
            "ada@example.org\r\nBcc: eve@example.net",
            "ada\r\nBcc: eve@example.org",
            "ada\0@example.org",
            "ada lovelace@example.org",
            "\"ada lovelace\"@example.org",
            "ada(comment)@example.org",
            "<ada@example.org>",
            "Ada <ada@example.org>",
            ".ada@example.org",
            "ada.@example.org",
            "a..da@example.org",
            "ada@.example.org",
            "ada@example..org",
            "ada@-example.org",
            "ada@exa_mple.org",
            "a\u{200b}da@example.org",
            "a\u{202e}da@example.org",
            "ada@exam\u{200d}ple.org",
            &long_local,
            &long_domain,
            &long,
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_stored_as_text_and_checked_when_it_is_read() {
        let json = serde_json::to_string(&parse("Ada@example.org")).unwrap();

        assert_eq!(json, r#""Ada@example.org""#);
        assert_eq!(
            serde_json::from_str::<EmailAddress>(&json).unwrap().key(),
            "ada@example.org"
        );
        assert!(serde_json::from_str::<EmailAddress>(r#""no address""#).is_err());
    }

    #[test]
    fn the_debug_form_names_the_domain_alone() {
        assert_eq!(
            format!("{:?}", parse("ada@example.org")),
            "EmailAddress(…@example.org)"
        );
    }
}
