//! Expiry of X.509 certificates (RFC 5280, 4.1). Reads the one field of a certificate that the TLS library does
//! not return; the certificate itself was checked by that library.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rustls_pki_types::CertificateDer;

use latchet_guard::clock::Time;

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the time at which the first of these certificates expires; `None` if one cannot be read.
pub(super) fn earliest_expiry(chain: &[CertificateDer<'_>]) -> Option<Time> {
    let times: Option<Vec<Time>> = chain
        .iter()
        .map(|certificate| not_after(certificate))
        .collect();
    times?.into_iter().min()
}

fn not_after(certificate: &[u8]) -> Option<Time> {
    let (certificate, _) = element_of(SEQUENCE, certificate)?;
    let (mut fields, _) = element_of(SEQUENCE, certificate)?;
    if fields.first() == Some(&EXPLICIT_VERSION) {
        fields = element(fields)?.rest;
    }
    // Serial number, algorithm of the signature, and issuer.
    for _ in 0..3 {
        fields = element(fields)?.rest;
    }
    let (validity, _) = element_of(SEQUENCE, fields)?;
    let not_before = element(validity)?;
    let not_after = element(not_before.rest)?;
    parse_time(not_after.tag, not_after.content)
}

/// An element of DER and the bytes behind it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = if first < 0x80 {
        (usize::from(first), bytes)
    } else {
        let (length, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
        // Four bytes count more than a certificate can have.
        let is_sane = (1..=4).contains(&length.len());
        let length = length.iter();
        let length = is_sane
            .then(|| length.fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)))?;
        (length, bytes)
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some(Element { tag, content, rest })
}

/// Returns the content of the element and the bytes behind it, if it has this tag.
fn element_of(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let element = element(bytes)?;
    (element.tag == tag).then_some((element.content, element.rest))
}

/// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; other forms are not allowed in certificates.
fn parse_time(tag: u8, text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = text[..2].parse().ok()?;
            let century = if year < 50 { 2000 } else { 1900 };
            (century + year, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let mut parts = [0_i8; 5];
    for (place, part) in parts.iter_mut().enumerate() {
        *part = rest[place * 2..place * 2 + 2].parse().ok()?;
    }
    let [month, day, hour, minute, second] = parts;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let day = Date::new(year, month, day).ok()?;
    let time = is_time.then(|| day.at(hour, minute, second, 0))?;
    // The end of the year 9999, which means "never", is beyond the range of timestamps.
    let timestamp = TimeZone::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX);
    Some(Time::from_secs(timestamp.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read_and_others_refused() {
        for (tag, text, expected) in [
            (UTC_TIME, "261130062000Z", Some(1_796_019_600)),
            (UTC_TIME, "700101000000Z", Some(0)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (
                GENERALIZED_TIME,
                "99991231235959Z",
                Some(Timestamp::MAX.as_second()),
            ),
            (UTC_TIME, "2611300620Z", None),
            (UTC_TIME, "261130062000+0100", None),
            (UTC_TIME, "261330062000Z", None),
            (UTC_TIME, "261130062060Z", None),
            (GENERALIZED_TIME, "261130062000Z", None),
            (SEQUENCE, "261130062000Z", None),
        ] {
            let time = parse_time(tag, text.as_bytes());
            assert_eq!(time.map(Time::secs), expected, "{text}");
        }
    }

    #[test]
    fn a_damaged_certificate_has_no_expiry() {
        let nothing = CertificateDer::from(vec![]);
        let endless = CertificateDer::from(vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
        let cut = CertificateDer::from(vec![0x30, 0x03, 0x30, 0x01, 0x02]);

        for certificate in [nothing, endless, cut] {
            assert_eq!(earliest_expiry(&[certificate]), None);
        }
    }
}
