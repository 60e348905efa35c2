//! Files that people write: passwords, secrets, keys, settings.
//!
//! Editors and shells of some systems begin a file with a byte order mark, or write UTF-16. The mark is not
//! part of the text. A file that is not UTF-8 is refused with the reason: otherwise a garbled text would
//! become the secret.

use std::io::{self, ErrorKind};
use std::path::Path;

use secrecy::SecretString;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Reads a file as text.
///
/// # Errors
/// When it cannot be read, or holds UTF-16, other bytes that are not UTF-8, or NUL.
pub(super) fn read(path: &Path) -> io::Result<String> {
    decode(&std::fs::read(path)?).map(str::to_owned)
}

/// Reads a file whose only line is a password or a secret.
///
/// # Errors
/// As [`read`]; when it has several lines, or none.
pub(super) fn read_line(path: &Path) -> io::Result<SecretString> {
    let text = read(path)?;
    let line = strip_line_end(&text);
    if line.contains(['\r', '\n']) {
        return Err(fault("it has more than one line"));
    }
    if line.is_empty() {
        return Err(fault("it is empty"));
    }
    Ok(line.into())
}

/// Reads a PEM file, which may hold any bytes between its sections.
///
/// # Errors
/// When it cannot be read, or holds UTF-16.
pub(super) fn read_pem(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    refuse_utf16(&bytes)?;
    Ok(strip_byte_order_mark(&bytes).to_vec())
}

/// Returns text without the line breaks at its end, which editors and `echo` add.
pub(super) fn strip_line_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// Decodes the bytes of a file, pipe or variable that a person wrote.
///
/// # Errors
/// When they are UTF-16, not UTF-8 for another reason, or hold NUL.
pub(super) fn decode(bytes: &[u8]) -> io::Result<&str> {
    refuse_utf16(bytes)?;
    let text = std::str::from_utf8(strip_byte_order_mark(bytes));
    let text = text.map_err(|_| fault("it is not UTF-8; write it as UTF-8"))?;
    if text.contains('\0') {
        return Err(fault(
            "it contains NUL, which occurs in UTF-16 but not in text; write it as UTF-8",
        ));
    }
    Ok(text)
}

fn strip_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes)
}

fn refuse_utf16(bytes: &[u8]) -> io::Result<()> {
    if UTF16_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(fault("it is UTF-16; write it as UTF-8"));
    }
    Ok(())
}

fn fault(text: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const WORD: &str = "a long pässword";

    fn utf16(text: &str, bytes_of: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_are_removed_from_a_secret() {
        for bytes in [
            WORD.to_owned(),
            format!("{WORD}\n"),
            format!("{WORD}\r\n"),
            format!("{WORD}\r\n\r\n"),
            format!("\u{feff}{WORD}"),
            format!("\u{feff}{WORD}\r\n"),
        ] {
            let secret = read_line(file(bytes.as_bytes()).path()).unwrap();

            assert_eq!(secret.expose_secret(), WORD, "{bytes:?}");
        }
    }

    #[test]
    fn files_that_are_not_one_line_of_utf8_are_refused_with_the_reason() {
        let mark = "\u{feff}";
        let table: [(Vec<u8>, &str); 9] = [
            (utf16(&format!("{mark}{WORD}"), u16::to_le_bytes), "UTF-16"),
            (utf16(&format!("{mark}{WORD}"), u16::to_be_bytes), "UTF-16"),
            (utf16("password", u16::to_le_bytes), "UTF-16"),
            (utf16("password", u16::to_be_bytes), "UTF-16"),
            (b"caf\xe9".to_vec(), "not UTF-8"),
            (b"pass\0word".to_vec(), "NUL"),
            (b"one\ntwo\n".to_vec(), "more than one line"),
            (b"\r\n".to_vec(), "empty"),
            (mark.as_bytes().to_vec(), "empty"),
        ];

        for (bytes, reason) in table {
            let error = read_line(file(&bytes).path()).unwrap_err().to_string();

            assert!(error.contains(reason), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn only_one_byte_order_mark_is_removed() {
        assert_eq!(decode("\u{feff}\u{feff}x".as_bytes()).unwrap(), "\u{feff}x");
    }

    #[test]
    fn pem_files_may_have_comments_in_any_encoding() {
        let pem = b"issued for Caf\xe9\n-----BEGIN X-----\n";
        let marked = [UTF8_MARK, pem].concat();

        assert_eq!(read_pem(file(&marked).path()).unwrap(), pem);
        assert!(read_pem(file(b"\xff\xfe-\0").path()).is_err());
    }
}
