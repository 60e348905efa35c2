//! Minimum strength of keys and secrets.

use super::KeyError;

/// Minimum size of an HMAC secret in bytes: the size of its hash (RFC 7518, section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// Minimum size of an RSA modulus in bits (RFC 7518, section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

/// Minimum number of different bytes in a secret. 32 random hexadecimal digits have fewer in about 4 of
/// 10⁸ cases, random bytes never; `aaaa…` and `12341234…` always have fewer.
const MIN_DISTINCT_BYTES: usize = 8;

/// Placeholders that are often left in place of a secret. Compared in lower case, without `-`, `_` and
/// spaces.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "changethis",
    "replaceme",
    "yoursecret",
    "yourkey",
    "mysecret",
    "supersecret",
    "secretkey",
    "placeholder",
    "insecure",
    "notasecret",
    "example",
];

/// Refuses a secret that is short, repetitive, or a placeholder.
///
/// # Errors
/// [`KeyError::Weak`] with the reason.
pub fn check_secret(secret: &[u8]) -> Result<(), KeyError> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(KeyError::Weak(format!(
            "a secret needs at least {MIN_SECRET_BYTES} random bytes, this one has {}; \
             `latchet secret` prints a good one",
            secret.len()
        )));
    }
    let distinct = secret
        .iter()
        .collect::<std::collections::HashSet<_>>()
        .len();
    if distinct < MIN_DISTINCT_BYTES {
        return Err(KeyError::Weak(
            "the secret repeats itself; `latchet secret` prints a good one".into(),
        ));
    }
    let text: String = String::from_utf8_lossy(secret)
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if let Some(found) = PLACEHOLDERS
        .iter()
        .find(|placeholder| text.contains(**placeholder))
    {
        return Err(KeyError::Weak(format!(
            "the secret looks like a placeholder (`{found}`); `latchet secret` prints a good one"
        )));
    }
    Ok(())
}

/// Small primes by which the moduli of a faulty library leave characteristic remainders.
const ROCA_PRIMES: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Refuses an RSA modulus (big-endian) of fewer than [`MIN_RSA_BITS`] bits, and a modulus of a faulty
/// chip that can be factored in days (ROCA, CVE-2017-15361).
pub(super) fn check_modulus(modulus: &[u8]) -> Result<(), KeyError> {
    let significant = modulus
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(modulus.len());
    let modulus = &modulus[significant..];
    let leading_zeros = modulus
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading_zeros;
    if bits < MIN_RSA_BITS {
        return Err(KeyError::Weak(format!(
            "an RSA key needs at least {MIN_RSA_BITS} bits, this one has {bits}"
        )));
    }
    if ROCA_PRIMES
        .iter()
        .all(|prime| matches_roca(modulus, *prime))
    {
        return Err(KeyError::Weak(
            "the RSA key comes from a chip whose keys can be factored (ROCA)".into(),
        ));
    }
    Ok(())
}

/// Returns whether the remainder by this prime is a power of 65537, as it always is for moduli of that
/// library. One in 240 million other moduli has only such remainders.
fn matches_roca(modulus: &[u8], prime: u32) -> bool {
    let remainder = modulus
        .iter()
        .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
    let powers = std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime));
    // They repeat before the prime-th.
    powers.take(prime as usize).any(|power| power == remainder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_secret_is_strong() {
        assert_eq!(check_secret(b"8f1c0a7de24b96530f7be1d2c4a98635"), Ok(()));
        assert_eq!(check_secret(&(0..32).collect::<Vec<u8>>()), Ok(()));
    }

    #[test]
    fn weak_secrets_are_refused_with_the_reason() {
        let table: [(&[u8], &str); 6] = [
            (b"", "at least 32"),
            (b"8f1c0a7de24b96530f7be1d2c4a9863", "has 31"),
            (&[b'k'; 32], "repeats itself"),
            (b"12341234123412341234123412341234", "repeats itself"),
            (
                b"Change-Me-in-production-0123456789",
                "placeholder (`changeme`)",
            ),
            (
                b"YOUR_SECRET_KEY_GOES_HERE_0123456",
                "placeholder (`yoursecret`)",
            ),
        ];
        for (secret, reason) in table {
            let error = check_secret(secret).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn an_rsa_modulus_is_counted_in_bits_without_leading_zeros() {
        let mut modulus = [0; 257];
        modulus[1] = 0x80;
        assert_eq!(check_modulus(&modulus), Ok(()));

        modulus[1] = 0x7f;
        let error = check_modulus(&modulus).unwrap_err().to_string();
        assert!(error.contains("has 2047"), "{error}");
        assert!(check_modulus(&[]).is_err());
    }
}
