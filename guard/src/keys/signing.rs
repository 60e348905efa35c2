//! Signing keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::EncodingKey;
use secrecy::SecretString;

use super::key_material::{PRIVATE_KEYS, PrivateKey};
use super::{Algorithm, KeyError, MIN_SECRET_BYTES, VerifyingKey, check_secret};

/// A private key (or an HMAC secret) with its one algorithm and its `kid`.
///
/// Cloning is cheap: clones share the parsed key.
#[derive(Clone)]
pub struct SigningKey {
    encoding_key: EncodingKey,
    verifying_key: VerifyingKey,
    /// Keeps the parsed key in the registry.
    _parsed: Arc<PrivateKey>,
}

impl SigningKey {
    /// Generates a random key; RSA keys have 2048 bits.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] when the operating system provides no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        const FAILED: KeyError = KeyError::Crypto("the key could not be generated");
        let rng = SystemRandom::new();
        match algorithm {
            Algorithm::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&rng).map_err(|_| FAILED)?;
                Self::from_private_bytes(algorithm, pkcs8.as_ref())
            }
            Algorithm::Es256 => {
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
                    .map_err(|_| FAILED)?;
                Self::from_private_bytes(algorithm, pkcs8.as_ref())
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| FAILED)?;
                let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| FAILED)?;
                Self::from_private_bytes(algorithm, pkcs8.as_ref())
            }
            Algorithm::Hs256 => {
                let mut secret = [0; MIN_SECRET_BYTES];
                rand::fill(&mut secret).map_err(|_| FAILED)?;
                Self::from_private_bytes(algorithm, &secret)
            }
        }
    }

    /// Imports a key from its [`private_bytes`](Self::private_bytes): PKCS#8 for EdDSA and ES256, PKCS#1
    /// (or PKCS#8) for RS256, the secret itself for HS256.
    ///
    /// # Errors
    /// [`KeyError::Weak`] or [`KeyError::Malformed`].
    pub fn from_private_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let encoding_key = match algorithm {
            Algorithm::EdDsa => EncodingKey::from_ed_der(bytes),
            Algorithm::Es256 => EncodingKey::from_ec_der(bytes),
            Algorithm::Rs256 => rsa_encoding_key(bytes)?,
            Algorithm::Hs256 => {
                check_secret(bytes)?;
                EncodingKey::from_secret(bytes)
            }
        };
        let parsed =
            PRIVATE_KEYS.register(algorithm, encoding_key.as_bytes(), PrivateKey::parse)?;
        let verifying_key = match &*parsed {
            PrivateKey::Ed(pair) => VerifyingKey::from_raw(algorithm, pair.public_key().as_ref())?,
            PrivateKey::Ec(pair) => VerifyingKey::from_raw(algorithm, pair.public_key().as_ref())?,
            PrivateKey::Rsa(pair) => VerifyingKey::from_raw(algorithm, pair.public_key().as_ref())?,
            PrivateKey::Hmac(_) => VerifyingKey::from_secret(encoding_key.as_bytes())?,
        };
        Ok(Self {
            encoding_key,
            verifying_key: verifying_key.with_private_key(&parsed),
            _parsed: parsed,
        })
    }

    /// Imports a private key in PEM: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1). The type of
    /// the key determines the algorithm.
    ///
    /// # Errors
    /// [`KeyError`] with the error in the text or the key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.contains("BEGIN EC PRIVATE KEY") {
            return Err(KeyError::Unsupported(
                "SEC1 private keys; `openssl pkcs8 -topk8 -nocrypt` turns them into PKCS#8",
            ));
        }
        if pem.contains("ENCRYPTED") {
            return Err(KeyError::Unsupported("private keys behind a passphrase"));
        }
        if !pem.contains("PRIVATE KEY") {
            return Err(KeyError::Malformed("it contains no private key in PEM"));
        }
        let bytes = pem.as_bytes();
        let (algorithm, key) = EncodingKey::from_ed_pem(bytes)
            .map(|key| (Algorithm::EdDsa, key))
            .or_else(|_| EncodingKey::from_ec_pem(bytes).map(|key| (Algorithm::Es256, key)))
            .or_else(|_| EncodingKey::from_rsa_pem(bytes).map(|key| (Algorithm::Rs256, key)))
            .map_err(|_| KeyError::Unsupported("neither Ed25519, P-256 nor RSA"))?;
        Self::from_private_bytes(algorithm, key.as_bytes())
    }

    /// Returns the private key in PEM, or `None` for HS256, which has no PEM form.
    pub fn to_pem(&self) -> Option<SecretString> {
        let label = match self.algorithm() {
            Algorithm::EdDsa | Algorithm::Es256 => "PRIVATE KEY",
            Algorithm::Rs256 => "RSA PRIVATE KEY",
            Algorithm::Hs256 => return None,
        };
        Some(pem(label, self.private_bytes()).into())
    }

    /// Returns the private part for storage; encrypt it before you store it.
    pub fn private_bytes(&self) -> &[u8] {
        self.encoding_key.as_bytes()
    }

    /// Returns the id of this key in key sets and tokens.
    pub fn kid(&self) -> &str {
        self.verifying_key.kid()
    }

    /// Returns the one algorithm of this key.
    pub fn algorithm(&self) -> Algorithm {
        self.verifying_key.algorithm()
    }

    /// Returns the key that verifies signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key.clone()
    }

    pub(crate) fn encoding_key(&self) -> &EncodingKey {
        &self.encoding_key
    }
}

/// Prints no secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid())
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// Converts an RSA key to PKCS#1, the format that every `jsonwebtoken` provider reads.
fn rsa_encoding_key(bytes: &[u8]) -> Result<EncodingKey, KeyError> {
    if RsaKeyPair::from_pkcs8(bytes).is_err() {
        return Ok(EncodingKey::from_rsa_der(bytes));
    }
    EncodingKey::from_rsa_pem(pem("PRIVATE KEY", bytes).as_bytes())
        .map_err(|_| KeyError::Malformed("it is not an RSA key in PKCS#8"))
}

fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let mut body = String::new();
    for (column, letter) in STANDARD.encode(der).chars().enumerate() {
        if column > 0 && column % LINE == 0 {
            body.push('\n');
        }
        body.push(letter);
    }
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
