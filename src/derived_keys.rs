//! The keys that are derived from the root secret.
//!
//! The root secret is kept outside the database: a stolen dump alone is not enough to create a token.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::rotation::RetryKeyHash;

/// The keys derived from the root secret, one per purpose, so that no key can be used in place of another.
pub struct DerivedKeys {
    seal: RandomizedNonceKey,
    /// Signs and checks refresh tokens.
    pub(super) refresh: [u8; 32],
    csrf: hmac::Key,
    throttle: hmac::Key,
    retry: hmac::Key,
    device: hmac::Key,
}

impl std::fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DerivedKeys(..)")
    }
}

/// A sealed value could not be opened: it was sealed under another root secret, or changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this was sealed under another root secret, or was changed")]
pub struct WrongRootSecret;

impl DerivedKeys {
    /// Derives all keys (HKDF-SHA256, RFC 5869) from a root secret.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "fixed lengths that the algorithms accept; input plays no part"
    )]
    pub fn derive(root: &str) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"latchet root v1").extract(root.as_bytes());
        let expand = |purpose: &[u8]| {
            let mut key = [0_u8; 32];
            prk.expand(&[purpose], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut key))
                .expect("32 bytes is the length of one SHA-256 block");
            key
        };
        Self {
            seal: RandomizedNonceKey::new(&AES_256_GCM, &expand(b"seal signing keys"))
                .expect("AES-256 takes 32 bytes"),
            refresh: expand(b"refresh tokens"),
            csrf: hmac::Key::new(hmac::HMAC_SHA256, &expand(b"csrf values")),
            throttle: hmac::Key::new(hmac::HMAC_SHA256, &expand(b"throttle names")),
            retry: hmac::Key::new(hmac::HMAC_SHA256, &expand(b"idempotency keys")),
            device: hmac::Key::new(hmac::HMAC_SHA256, &expand(b"known devices")),
        }
    }

    /// Encrypts `plain` so that it can be stored in the database. Opening it requires the same `context`.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "fails only past 64 GiB"
    )]
    pub fn seal(&self, context: &str, plain: &[u8]) -> String {
        let mut sealed = plain.to_vec();
        let nonce = self
            .seal
            .seal_in_place_append_tag(Aad::from(context), &mut sealed)
            .expect("a key is far shorter than AES-GCM's limit");
        let mut out = nonce.as_ref().to_vec();
        out.extend_from_slice(&sealed);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Decrypts a text that [`DerivedKeys::seal`] returned for the same context.
    ///
    /// # Errors
    /// [`WrongRootSecret`] when the root secret or the context differ, or the text was changed.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Vec<u8>, WrongRootSecret> {
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| WrongRootSecret)?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN).ok_or(WrongRootSecret)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| WrongRootSecret)?;
        let mut rest = rest.to_vec();
        let plain = self
            .seal
            .open_in_place(nonce, Aad::from(context), &mut rest)
            .map_err(|_| WrongRootSecret)?;
        Ok(plain.to_vec())
    }

    /// Returns a new CSRF value, bound to a session and to the epoch of its CSRF values, which a change of the
    /// password ends: a random part, then an HMAC of it with both.
    pub fn new_csrf_value(&self, sid: &str, epoch: u64) -> String {
        let random = latchet_guard::keys::random_id();
        let tag = hmac::sign(&self.csrf, format!("{random}.{sid}.{epoch}").as_bytes());
        format!("{random}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Returns whether this server issued a CSRF value for this session and epoch. Compares in constant
    /// time.
    pub fn csrf_matches(&self, value: &str, sid: &str, epoch: u64) -> bool {
        let Some((random, tag)) = value.split_once('.') else {
            return false;
        };
        URL_SAFE_NO_PAD.decode(tag).is_ok_and(|tag| {
            hmac::verify(
                &self.csrf,
                format!("{random}.{sid}.{epoch}").as_bytes(),
                &tag,
            )
            .is_ok()
        })
    }

    /// Returns the hash of the idempotency key with which a generation of a session was presented: keyed,
    /// because clients choose keys that can be guessed, and bound to that session and generation.
    pub fn retry_key_hash(&self, sid: &str, generation: u64, key: &str) -> RetryKeyHash {
        let tag = hmac::sign(&self.retry, format!("{sid}.{generation}.{key}").as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        RetryKeyHash::new(bytes)
    }

    /// Returns the tag that proves a known device.
    pub fn device_tag(&self, device: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.device, device.as_bytes()))
    }

    /// Returns whether this is the tag of that device. Compares in constant time.
    pub fn device_tag_matches(&self, device: &str, tag: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(tag);
        tag.is_ok_and(|tag| hmac::verify(&self.device, device.as_bytes(), &tag).is_ok())
    }

    /// Returns the name under which attempts of `whom` are counted: keyed, so that the table contains
    /// neither addresses nor the texts that people typed as a user name (sometimes their password).
    pub fn throttle_key(&self, scope: &str, whom: &str) -> String {
        let tag = hmac::sign(&self.throttle, whom.as_bytes());
        format!("{scope}:{}", URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(root: &str) -> DerivedKeys {
        DerivedKeys::derive(root)
    }

    #[test]
    fn sealed_values_open_only_with_the_same_secret_and_context() {
        let ours = keys("0123456789abcdef0123456789abcdef");
        let sealed = ours.seal("kid-1", b"private");

        assert_eq!(ours.open("kid-1", &sealed).unwrap(), b"private");
        assert_eq!(ours.open("kid-2", &sealed), Err(WrongRootSecret));
        assert_eq!(
            keys("another root secret, 32 bytes long").open("kid-1", &sealed),
            Err(WrongRootSecret)
        );
        assert_eq!(ours.open("kid-1", "AAAA"), Err(WrongRootSecret));
        assert_eq!(ours.open("kid-1", "not base64!"), Err(WrongRootSecret));
    }

    #[test]
    fn a_csrf_value_is_valid_for_its_session_and_epoch_only() {
        let ours = keys("0123456789abcdef0123456789abcdef");
        let value = ours.new_csrf_value("session-a", 3);

        assert!(ours.csrf_matches(&value, "session-a", 3));
        assert!(!ours.csrf_matches(&value, "session-a", 0));
        assert!(!ours.csrf_matches(&value, "session-a", 4));
        assert!(!ours.csrf_matches(&value, "session-b", 3));
        assert!(!ours.csrf_matches("", "session-a", 3));
        assert!(!ours.csrf_matches("a.b", "session-a", 3));
    }

    #[test]
    fn retry_key_hashes_differ_by_session_and_generation() {
        let ours = keys("0123456789abcdef0123456789abcdef");
        let hash = ours.retry_key_hash("session-a", 7, "key");

        assert_eq!(hash, ours.retry_key_hash("session-a", 7, "key"));
        for other in [
            ours.retry_key_hash("session-b", 7, "key"),
            ours.retry_key_hash("session-a", 8, "key"),
            ours.retry_key_hash("session-a", 7, "yek"),
            keys("fedcba9876543210fedcba9876543210").retry_key_hash("session-a", 7, "key"),
        ] {
            assert_ne!(hash, other);
        }
    }
}
