//! Parsed keys, shared with the JWT library.
//!
//! `jsonwebtoken` parses a key again for every token: 18 instead of 10.5 µs for an EdDSA signature, 642
//! instead of 244 µs for RS256. It uses a process-wide [`CryptoProvider`], so ours returns keys that
//! [`register`](KeyRegistry::register) has parsed already. Keys that this provider does not know are passed
//! to the default provider; a program that installed another provider before its first key keeps that
//! one, and only loses speed.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{DecodingKey, EncodingKey, errors};

use super::{Algorithm, KeyError, MIN_RSA_BITS};

const UNREADABLE: KeyError = KeyError::Malformed("its parts do not make a key of this algorithm");

/// The private part of a key.
pub(super) enum PrivateKey {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Hmac(Box<hmac::Key>),
}

/// The part of a key that verifies.
pub(super) enum PublicKey {
    Asymmetric(Algorithm, ParsedPublicKey),
    Hmac(Box<hmac::Key>),
}

impl PrivateKey {
    /// Parses PKCS#8 (EdDSA, ES256), PKCS#1 (RS256) or the secret itself (HS256).
    pub(super) fn parse(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let rejected = |_| UNREADABLE;
        Ok(match algorithm {
            Algorithm::EdDsa => Self::Ed(Ed25519KeyPair::from_pkcs8(bytes).map_err(rejected)?),
            Algorithm::Es256 => Self::Ec(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
                    .map_err(rejected)?,
            ),
            Algorithm::Rs256 => Self::Rsa(RsaKeyPair::from_der(bytes).map_err(rsa_rejected)?),
            Algorithm::Hs256 => Self::Hmac(hmac_key(bytes)),
        })
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed(_) => Algorithm::EdDsa,
            Self::Ec(_) => Algorithm::Es256,
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Hmac(_) => Algorithm::Hs256,
        }
    }
}

impl PublicKey {
    /// Parses the raw key (EdDSA), the uncompressed point (ES256), PKCS#1 (RS256) or the secret (HS256).
    pub(super) fn parse(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, bytes),
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes),
            Algorithm::Rs256 => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes),
            Algorithm::Hs256 => {
                return Ok(Self::Hmac(hmac_key(bytes)));
            }
        };
        Ok(Self::Asymmetric(algorithm, key.map_err(|_| UNREADABLE)?))
    }
}

/// The library refuses small private keys itself, but reports the reason only in its text.
fn rsa_rejected(error: KeyRejected) -> KeyError {
    if error.to_string() == "TooSmall" {
        return KeyError::Weak(format!("an RSA key needs at least {MIN_RSA_BITS} bits"));
    }
    UNREADABLE
}

fn hmac_key(secret: &[u8]) -> Box<hmac::Key> {
    Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

/// A parsed key in the form that `jsonwebtoken` requires.
struct SharedKey<K>(Arc<K>);

impl Signer<Vec<u8>> for SharedKey<PrivateKey> {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(match &*self.0 {
            PrivateKey::Ed(key) => key
                .try_sign(message)
                .map_err(Error::from_source)?
                .as_ref()
                .to_vec(),
            PrivateKey::Ec(key) => {
                let signature = key.sign(&SystemRandom::new(), message);
                signature.map_err(Error::from_source)?.as_ref().to_vec()
            }
            PrivateKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .map_err(Error::from_source)?;
                signature
            }
            PrivateKey::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}

impl JwtSigner for SharedKey<PrivateKey> {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.0.algorithm().jose()
    }
}

impl Verifier<Vec<u8>> for SharedKey<PublicKey> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        match &*self.0 {
            PublicKey::Asymmetric(_, key) => key.verify_sig(message, signature),
            PublicKey::Hmac(key) => hmac::verify(key, message, signature),
        }
        .map_err(Error::from_source)
    }
}

impl JwtVerifier for SharedKey<PublicKey> {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        match &*self.0 {
            PublicKey::Asymmetric(algorithm, _) => algorithm.jose(),
            PublicKey::Hmac(_) => Algorithm::Hs256.jose(),
        }
    }
}

/// Hash of an algorithm and a key's bytes; the bytes are not stored a second time.
type Fingerprint = [u8; 32];

pub(super) fn fingerprint(algorithm: Algorithm, bytes: &[u8]) -> Fingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(algorithm.name().as_bytes());
    context.update(bytes);
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

/// Registry of parsed keys by the key's bytes, which is what `jsonwebtoken` passes. It holds weak
/// references: a private key is freed with the last [`SigningKey`](super::SigningKey) that owns it.
pub(super) struct KeyRegistry<K>(RwLock<HashMap<Fingerprint, Weak<K>>>);

impl<K> KeyRegistry<K> {
    fn new() -> Self {
        Self(RwLock::new(HashMap::new()))
    }

    /// Returns the parsed key for these bytes, parsing at most once while the key is in use.
    pub(super) fn register(
        &self,
        algorithm: Algorithm,
        bytes: &[u8],
        parse: impl FnOnce(Algorithm, &[u8]) -> Result<K, KeyError>,
    ) -> Result<Arc<K>, KeyError> {
        install_provider();
        let fingerprint = fingerprint(algorithm, bytes);
        if let Some(known) = self.find(&fingerprint) {
            return Ok(known);
        }
        let key = Arc::new(parse(algorithm, bytes)?);
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, key| key.strong_count() > 0);
        keys.insert(fingerprint, Arc::downgrade(&key));
        Ok(key)
    }

    pub(super) fn find(&self, fingerprint: &Fingerprint) -> Option<Arc<K>> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(fingerprint)?.upgrade()
    }
}

pub(super) static PRIVATE_KEYS: LazyLock<KeyRegistry<PrivateKey>> = LazyLock::new(KeyRegistry::new);
pub(super) static PUBLIC_KEYS: LazyLock<KeyRegistry<PublicKey>> = LazyLock::new(KeyRegistry::new);

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    key_utils: DEFAULT_PROVIDER.key_utils.clone(),
});

static INSTALLED: LazyLock<bool> = LazyLock::new(|| PROVIDER.install_default().is_ok());

/// Makes `jsonwebtoken` use parsed keys. It selects a provider at its first use, which is after the
/// first key.
fn install_provider() {
    LazyLock::force(&INSTALLED);
}

fn signer(
    algorithm: jsonwebtoken::Algorithm,
    key: &EncodingKey,
) -> errors::Result<Box<dyn JwtSigner>> {
    let known = Algorithm::from_jose(algorithm)
        .filter(|_| key.family() == algorithm.family())
        .and_then(|ours| PRIVATE_KEYS.find(&fingerprint(ours, key.as_bytes())));
    match known {
        Some(parsed) => Ok(Box::new(SharedKey(parsed))),
        None => (DEFAULT_PROVIDER.signer_factory)(&algorithm, key),
    }
}

fn verifier(
    algorithm: jsonwebtoken::Algorithm,
    key: &DecodingKey,
) -> errors::Result<Box<dyn JwtVerifier>> {
    let known = Algorithm::from_jose(algorithm)
        .filter(|_| key.family() == algorithm.family())
        .zip(key.try_get_as_bytes().ok())
        .and_then(|(ours, bytes)| PUBLIC_KEYS.find(&fingerprint(ours, bytes)));
    match known {
        Some(parsed) => Ok(Box::new(SharedKey(parsed))),
        None => (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn a_parsed_private_key_is_freed_with_its_owner() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let fingerprint = fingerprint(Algorithm::EdDsa, key.private_bytes());
        assert!(PRIVATE_KEYS.find(&fingerprint).is_some());

        drop(key);

        assert!(PRIVATE_KEYS.find(&fingerprint).is_none());
    }

    #[test]
    fn the_jwt_library_uses_the_parsed_keys() {
        let real = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let raw = real
            .verifying_key()
            .decoding_key()
            .try_get_as_bytes()
            .unwrap()
            .to_vec();
        let (alias, message) = (b"not a key", b"message");
        let private = |algorithm, _: &[u8]| PrivateKey::parse(algorithm, real.private_bytes());
        let public = |algorithm, _: &[u8]| PublicKey::parse(algorithm, &raw);
        let jose = Algorithm::EdDsa.jose();
        let (signs, checks) = (
            EncodingKey::from_ed_der(alias),
            DecodingKey::from_ed_der(alias),
        );
        assert!(jsonwebtoken::crypto::sign(message, &signs, jose).is_err());

        let _owners = (
            PRIVATE_KEYS
                .register(Algorithm::EdDsa, alias, private)
                .unwrap(),
            PUBLIC_KEYS
                .register(Algorithm::EdDsa, alias, public)
                .unwrap(),
        );

        let signature = jsonwebtoken::crypto::sign(message, &signs, jose).unwrap();
        assert_eq!(
            jsonwebtoken::crypto::verify(&signature, message, &checks, jose),
            Ok(true)
        );
        assert_eq!(
            jsonwebtoken::crypto::verify(&signature, b"other", &checks, jose),
            Ok(false)
        );
    }
}
