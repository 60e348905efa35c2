//! The keys that are derived from the root secret.
//!
//! The root secret is kept outside the database: a stolen dump alone is not enough to create a token.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::rotation::{PresentedRetryKey, RetryKeyHash};

/// The keys derived from the root secret, and from the previous one while the secret is being rotated.
///
/// The current secret seals and signs. Values of the previous secret are still opened and accepted.
pub struct DerivedKeys {
    current: KeysOfSecret,
    previous: Option<KeysOfSecret>,
}

/// The keys derived from one secret, one per purpose, so that no key can be used in place of another.
struct KeysOfSecret {
    seal: RandomizedNonceKey,
    refresh: hmac::Key,
    csrf: hmac::Key,
    throttle: hmac::Key,
    retry: hmac::Key,
    device: hmac::Key,
}

/// The secret under which a value was sealed or signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretAge {
    /// The root secret.
    Current,
    /// The root secret before the rotation.
    Previous,
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
    pub fn derive(root: &str) -> Self {
        Self {
            current: KeysOfSecret::derive(root),
            previous: None,
        }
    }

    /// Returns these keys, which also open and accept the values of a `previous` root secret.
    #[must_use]
    pub fn with_previous(self, previous: &str) -> Self {
        Self {
            previous: Some(KeysOfSecret::derive(previous)),
            ..self
        }
    }

    /// Returns whether there is a previous secret.
    pub const fn has_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// Returns the keys of both secrets, the current ones first.
    fn both(&self) -> impl Iterator<Item = (SecretAge, &KeysOfSecret)> {
        let previous = self.previous.iter().map(|keys| (SecretAge::Previous, keys));
        std::iter::once((SecretAge::Current, &self.current)).chain(previous)
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
            .current
            .seal
            .seal_in_place_append_tag(Aad::from(context), &mut sealed)
            .expect("a key is far shorter than AES-GCM's limit");
        let mut out = nonce.as_ref().to_vec();
        out.extend_from_slice(&sealed);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Decrypts a text that [`DerivedKeys::seal`] returned for the same context, under either secret.
    ///
    /// # Errors
    /// [`WrongRootSecret`] when neither secret opens it, the context differs, or the text was changed.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Vec<u8>, WrongRootSecret> {
        self.open_under(context, sealed).map(|(_, plain)| plain)
    }

    /// Like [`DerivedKeys::open`], and returns the secret under which the text was sealed.
    ///
    /// # Errors
    /// As [`DerivedKeys::open`].
    pub fn open_under(
        &self,
        context: &str,
        sealed: &str,
    ) -> Result<(SecretAge, Vec<u8>), WrongRootSecret> {
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| WrongRootSecret)?;
        let opened = self
            .both()
            .find_map(|(age, keys)| Some((age, keys.open(context, &bytes)?)));
        opened.ok_or(WrongRootSecret)
    }

    /// Returns the HMAC of a refresh token.
    pub(super) fn sign_refresh_token(&self, signed: &[u8]) -> hmac::Tag {
        hmac::sign(&self.current.refresh, signed)
    }

    /// Returns whether this is the HMAC of a refresh token. Compares in constant time.
    pub(super) fn refresh_token_matches(&self, signed: &[u8], tag: &[u8]) -> bool {
        self.both()
            .any(|(_, keys)| hmac::verify(&keys.refresh, signed, tag).is_ok())
    }

    /// Returns a new CSRF value, bound to a session and to the epoch of its CSRF values, which a change of the
    /// password ends: a random part, then an HMAC of it with both.
    pub fn new_csrf_value(&self, sid: &str, epoch: u64) -> String {
        let random = latchet_guard::keys::random_id();
        let signed = format!("{random}.{sid}.{epoch}");
        let tag = hmac::sign(&self.current.csrf, signed.as_bytes());
        format!("{random}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Returns the secret under which this server issued a CSRF value for this session and epoch; `None` if it
    /// did not. Compares in constant time.
    pub fn csrf_matches(&self, value: &str, sid: &str, epoch: u64) -> Option<SecretAge> {
        let (random, tag) = value.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let signed = format!("{random}.{sid}.{epoch}");
        self.both()
            .find(|(_, keys)| hmac::verify(&keys.csrf, signed.as_bytes(), &tag).is_ok())
            .map(|(age, _)| age)
    }

    /// Returns the hashes of the idempotency key with which a generation of a session was presented: keyed,
    /// because clients choose keys that can be guessed, and bound to that session and generation. A refresh
    /// before the rotation of the secret stored the hash under the previous one.
    pub fn retry_key_hash(&self, sid: &str, generation: u64, key: &str) -> PresentedRetryKey {
        let text = format!("{sid}.{generation}.{key}");
        let hash = |keys: &KeysOfSecret| {
            let tag = hmac::sign(&keys.retry, text.as_bytes());
            let mut bytes = [0; 32];
            bytes.copy_from_slice(tag.as_ref());
            RetryKeyHash::new(bytes)
        };
        PresentedRetryKey {
            hash: hash(&self.current),
            previous_hash: self.previous.as_ref().map(hash),
        }
    }

    /// Returns the tag that proves a known device.
    pub fn device_tag(&self, device: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.current.device, device.as_bytes()))
    }

    /// Returns whether this is the tag of that device. Compares in constant time.
    pub fn device_tag_matches(&self, device: &str, tag: &str) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else {
            return false;
        };
        self.both()
            .any(|(_, keys)| hmac::verify(&keys.device, device.as_bytes(), &tag).is_ok())
    }

    /// Returns the name under which attempts of `whom` are counted: keyed, so that the table contains
    /// neither addresses nor the texts that people typed as a user name (sometimes their password).
    pub fn throttle_key(&self, scope: &str, whom: &str) -> String {
        self.current.throttle_key(scope, whom)
    }

    /// Returns the name under which the previous secret counts attempts of `whom`: they are counted under both
    /// names, or else a rotation would give a stranger another budget.
    pub fn previous_throttle_key(&self, scope: &str, whom: &str) -> Option<String> {
        let previous = self.previous.as_ref()?;
        Some(previous.throttle_key(scope, whom))
    }
}

impl KeysOfSecret {
    #[expect(
        clippy::expect_used,
        reason = "a fixed length that the algorithm accepts; input plays no part"
    )]
    fn derive(root: &str) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"latchet root v1").extract(root.as_bytes());
        let hmac_key = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &expand(&prk, purpose));
        Self {
            seal: RandomizedNonceKey::new(&AES_256_GCM, &expand(&prk, b"seal signing keys"))
                .expect("AES-256 takes 32 bytes"),
            refresh: hmac_key(b"refresh tokens"),
            csrf: hmac_key(b"csrf values"),
            throttle: hmac_key(b"throttle names"),
            retry: hmac_key(b"idempotency keys"),
            device: hmac_key(b"known devices"),
        }
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let plain = self
            .seal
            .open_in_place(nonce, Aad::from(context), &mut rest)
            .ok()?;
        Some(plain.to_vec())
    }

    fn throttle_key(&self, scope: &str, whom: &str) -> String {
        let tag = hmac::sign(&self.throttle, whom.as_bytes());
        format!("{scope}:{}", URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]))
    }
}

#[expect(
    clippy::expect_used,
    reason = "a fixed length that the algorithm accepts; input plays no part"
)]
fn expand(prk: &hkdf::Prk, purpose: &[u8]) -> [u8; 32] {
    let mut key = [0_u8; 32];
    prk.expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes is the length of one SHA-256 block");
    key
}

/// Returns the key of refresh tokens, for tests with another implementation.
#[cfg(test)]
pub(super) fn refresh_key(root: &str) -> [u8; 32] {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"latchet root v1").extract(root.as_bytes());
    expand(&prk, b"refresh tokens")
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

        assert_eq!(
            ours.csrf_matches(&value, "session-a", 3),
            Some(SecretAge::Current)
        );
        assert_eq!(ours.csrf_matches(&value, "session-a", 0), None);
        assert_eq!(ours.csrf_matches(&value, "session-a", 4), None);
        assert_eq!(ours.csrf_matches(&value, "session-b", 3), None);
        assert_eq!(ours.csrf_matches("", "session-a", 3), None);
        assert_eq!(ours.csrf_matches("a.b", "session-a", 3), None);
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

    /// Two replicas, one of which was restarted with the new secret already.
    fn rotated() -> (DerivedKeys, DerivedKeys, DerivedKeys) {
        const OLD: &str = "0123456789abcdef0123456789abcdef";
        const NEW: &str = "fedcba9876543210fedcba9876543210";
        (
            keys(OLD),
            keys(OLD).with_previous(NEW),
            keys(NEW).with_previous(OLD),
        )
    }

    #[test]
    fn a_rotated_secret_opens_what_the_previous_one_sealed() {
        let (old, before, after) = rotated();
        let sealed = old.seal("kid", b"private");

        let opened = after.open_under("kid", &sealed);
        assert_eq!(opened, Ok((SecretAge::Previous, b"private".to_vec())));
        assert_eq!(after.open("other", &sealed), Err(WrongRootSecret));
        let sealed = after.seal("kid", b"private");
        let opened = after.open_under("kid", &sealed);
        assert_eq!(opened, Ok((SecretAge::Current, b"private".to_vec())));
        assert_eq!(before.open("kid", &sealed).unwrap(), b"private");
        assert_eq!(old.open("kid", &sealed), Err(WrongRootSecret));
    }

    #[test]
    fn csrf_values_and_devices_of_the_previous_secret_are_accepted() {
        let (old, before, after) = rotated();
        for (issuing, accepting) in [(&old, &after), (&before, &after), (&after, &before)] {
            let value = issuing.new_csrf_value("session", 1);
            let age = Some(SecretAge::Previous);
            assert_eq!(accepting.csrf_matches(&value, "session", 1), age);
            assert_eq!(accepting.csrf_matches(&value, "session", 2), None);
            assert!(accepting.device_tag_matches("device", &issuing.device_tag("device")));
            assert!(!accepting.device_tag_matches("other", &issuing.device_tag("device")));
        }
        let value = after.new_csrf_value("session", 1);
        assert_eq!(old.csrf_matches(&value, "session", 1), None);
        assert!(!old.device_tag_matches("device", &after.device_tag("device")));
    }

    #[test]
    fn an_idempotency_key_is_recognized_under_either_secret() {
        let (old, before, after) = rotated();
        let hash = |keys: &DerivedKeys, key| keys.retry_key_hash("session", 7, key);

        for (storing, reading) in [(&old, &after), (&before, &after), (&after, &before)] {
            let stored = hash(storing, "key").hash;
            assert!(hash(reading, "key").matches(&stored));
            assert!(!hash(reading, "another key").matches(&stored));
        }
        assert!(!hash(&old, "key").matches(&hash(&after, "key").hash));
    }

    #[test]
    fn replicas_before_and_after_the_switch_count_attempts_under_the_same_names() {
        let (_, before, after) = rotated();
        let names = |keys: &DerivedKeys| {
            let previous = keys.previous_throttle_key("ip", "192.0.2.1").unwrap();
            let mut names = [keys.throttle_key("ip", "192.0.2.1"), previous];
            names.sort();
            names
        };

        assert_eq!(names(&before), names(&after));
        assert_ne!(names(&before)[0], names(&before)[1]);
    }
}
