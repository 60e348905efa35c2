//! Verifying keys, and their public form (JWK, RFC 7517).

use std::fmt;
use std::sync::{Arc, Weak};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use aws_lc_rs::{constant_time, digest, hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};

use super::key_material::{PUBLIC_KEYS, PrivateKey, PublicKey, fingerprint};
use super::strength::check_modulus;
use super::{Algorithm, KeyError, base64url, check_secret};

/// First byte of an uncompressed elliptic curve point (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
const P256_COORDINATE_BYTES: usize = 32;
const ED25519_SIGNATURE_BYTES: usize = 64;

/// A key that verifies signatures, with its one algorithm and its `kid`.
///
/// Cloning is cheap: clones share the parsed key.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Arc<str>,
    algorithm: Algorithm,
    checks_tokens_without_kid: bool,
    decoding_key: DecodingKey,
    fingerprint: [u8; 32],
    /// Keeps the parsed key in the registry.
    _parsed: Arc<PublicKey>,
    /// The private part, while a [`SigningKey`](super::SigningKey) of this process owns it.
    private_key: Weak<PrivateKey>,
}

impl VerifyingKey {
    /// Imports a public key in PEM: `PUBLIC KEY` (SPKI) or `RSA PUBLIC KEY` (PKCS#1). The type of the
    /// key determines the algorithm.
    ///
    /// # Errors
    /// [`KeyError`] with the error in the text or the key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY") {
            return Err(KeyError::Unsupported(
                "a private key in place of a public one",
            ));
        }
        if !pem.contains("PUBLIC KEY") {
            return Err(KeyError::Malformed("it contains no public key in PEM"));
        }
        let bytes = pem.as_bytes();
        let (algorithm, key) = DecodingKey::from_ed_pem(bytes)
            .map(|key| (Algorithm::EdDsa, key))
            .or_else(|_| DecodingKey::from_ec_pem(bytes).map(|key| (Algorithm::Es256, key)))
            .or_else(|_| DecodingKey::from_rsa_pem(bytes).map(|key| (Algorithm::Rs256, key)))
            .map_err(|_| KeyError::Unsupported("neither Ed25519, P-256 nor RSA"))?;
        let raw = key.try_get_as_bytes();
        Self::from_raw(
            algorithm,
            raw.map_err(|_| KeyError::Malformed("it holds no key"))?,
        )
    }

    /// Imports a public key as a JWK. Its `kid` is kept, because tokens refer to it.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for symmetric keys, other curves, algorithms and uses;
    /// [`KeyError::Malformed`] and [`KeyError::Weak`] otherwise.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let algorithm = jwk_algorithm(jwk)?;
        let raw = match algorithm {
            Algorithm::EdDsa => member(jwk, "x")?,
            Algorithm::Es256 => {
                let (x, y) = (member(jwk, "x")?, member(jwk, "y")?);
                if x.len() != P256_COORDINATE_BYTES || y.len() != P256_COORDINATE_BYTES {
                    return Err(KeyError::Malformed("`x` and `y` must have 32 bytes"));
                }
                [&[UNCOMPRESSED], &x[..], &y[..]].concat()
            }
            Algorithm::Rs256 => rsa_der(member(jwk, "n")?, member(jwk, "e")?)?,
            Algorithm::Hs256 => {
                return Err(KeyError::Unsupported("a symmetric key is not a public key"));
            }
        };
        let key = Self::from_raw(algorithm, &raw)?;
        match jwk.get("kid") {
            None => Ok(key),
            Some(Value::String(kid)) => Ok(Self {
                kid: kid.as_str().into(),
                ..key
            }),
            Some(_) => Err(KeyError::Malformed("`kid` is not a string")),
        }
    }

    /// Imports an HMAC secret for HS256. Its `kid` is an HMAC with the secret, so that publishing it
    /// does not help to guess the secret.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(secret)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"latchet kid");
        let decoding_key = DecodingKey::from_secret(secret);
        Self::new(
            Algorithm::Hs256,
            secret,
            &base64url(tag.as_ref()),
            decoding_key,
        )
    }

    /// Imports the raw key (EdDSA), the uncompressed point (ES256) or PKCS#1 (RS256).
    pub(super) fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Result<Self, KeyError> {
        let decoding_key = match algorithm {
            Algorithm::EdDsa => DecodingKey::from_ed_der(raw),
            Algorithm::Es256 => {
                let length = 1 + 2 * P256_COORDINATE_BYTES;
                if raw.len() != length || raw.first() != Some(&UNCOMPRESSED) {
                    return Err(KeyError::Unsupported(
                        "a curve or point form other than P-256",
                    ));
                }
                DecodingKey::from_ec_der(raw)
            }
            Algorithm::Rs256 => {
                check_modulus(&rsa_components(raw)?.n)?;
                DecodingKey::from_rsa_der(raw)
            }
            Algorithm::Hs256 => return Self::from_secret(raw),
        };
        let kid = thumbprint(&public_members(algorithm, raw)?);
        Self::new(algorithm, raw, &kid, decoding_key)
    }

    fn new(
        algorithm: Algorithm,
        raw: &[u8],
        kid: &str,
        decoding_key: DecodingKey,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            kid: kid.into(),
            algorithm,
            checks_tokens_without_kid: false,
            decoding_key,
            fingerprint: fingerprint(algorithm, raw),
            _parsed: PUBLIC_KEYS.register(algorithm, raw, PublicKey::parse)?,
            private_key: Weak::new(),
        })
    }

    /// Returns this key with its private part, of which it is no owner.
    pub(super) fn with_private_key(self, private_key: &Arc<PrivateKey>) -> Self {
        Self {
            private_key: Arc::downgrade(private_key),
            ..self
        }
    }

    /// Allows this key to verify tokens without a `kid`, as some issuers create them.
    #[must_use]
    pub fn for_tokens_without_kid(self) -> Self {
        Self {
            checks_tokens_without_kid: true,
            ..self
        }
    }

    /// Imports a secret of any strength, with the `kid` of the test's tokens.
    #[cfg(test)]
    pub(crate) fn from_any_secret(secret: &[u8], kid: &str) -> Self {
        let decoding_key = DecodingKey::from_secret(secret);
        Self::new(Algorithm::Hs256, secret, kid, decoding_key).unwrap()
    }

    /// Returns the id by which tokens refer to this key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the one algorithm of this key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the public key as a JWK, or `None` for HMAC, whose secret is never published.
    pub fn jwk(&self) -> Option<Value> {
        let raw = self.decoding_key.try_get_as_bytes().ok()?;
        let mut jwk = public_members(self.algorithm, raw).ok()?;
        jwk["kid"] = json!(*self.kid);
        jwk["alg"] = json!(self.algorithm.name());
        jwk["use"] = json!("sig");
        Some(jwk)
    }

    pub(crate) fn checks_tokens_without_kid(&self) -> bool {
        self.checks_tokens_without_kid
    }

    /// Returns whether this process, as the owner of the private part, makes this signature (in base64url) of a
    /// message. An Ed25519 signature is a function of key and message (RFC 8032, section 5.1.6), and making it
    /// takes a third of the time of verifying it. `false` is no result: the signature must be verified.
    pub(crate) fn is_own_signature(&self, message: &[u8], signature: &str) -> bool {
        let Some(private_key) = self.private_key.upgrade() else {
            return false;
        };
        let mut presented = [0; ED25519_SIGNATURE_BYTES];
        let PrivateKey::Ed(pair) = &*private_key else {
            return false;
        };
        let (Ok(ED25519_SIGNATURE_BYTES), Ok(own)) = (
            URL_SAFE_NO_PAD.decode_slice(signature, &mut presented),
            pair.try_sign(message),
        ) else {
            return false;
        };
        // In constant time: no caller may learn how many bytes of a signature are right.
        constant_time::verify_slices_are_equal(own.as_ref(), &presented).is_ok()
    }

    pub(crate) fn decoding_key(&self) -> &DecodingKey {
        &self.decoding_key
    }
}

/// Equal if `kid`, key and use are the same.
impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.fingerprint == other.fingerprint
            && self.checks_tokens_without_kid == other.checks_tokens_without_kid
    }
}

impl Eq for VerifyingKey {}

/// Prints no secret.
impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The required members of a JWK (RFC 7638, section 3.2).
fn public_members(algorithm: Algorithm, raw: &[u8]) -> Result<Value, KeyError> {
    match algorithm {
        Algorithm::EdDsa => Ok(json!({"crv": "Ed25519", "kty": "OKP", "x": base64url(raw)})),
        Algorithm::Es256 => {
            let (x, y) = raw[1..].split_at(P256_COORDINATE_BYTES);
            Ok(json!({"crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y)}))
        }
        Algorithm::Rs256 => {
            let public = rsa_components(raw)?;
            Ok(json!({"e": base64url(&public.e), "kty": "RSA", "n": base64url(&public.n)}))
        }
        Algorithm::Hs256 => Err(KeyError::Unsupported("a symmetric key is not a public key")),
    }
}

/// JWK thumbprint (RFC 7638): the hash of the members in lexicographic order, which is the order of
/// [`public_members`].
fn thumbprint(members: &Value) -> String {
    base64url(digest::digest(&digest::SHA256, members.to_string().as_bytes()).as_ref())
}

fn jwk_algorithm(jwk: &Value) -> Result<Algorithm, KeyError> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let algorithm = match (text("kty"), text("crv")) {
        (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
        (Some("EC"), Some("P-256")) => Algorithm::Es256,
        (Some("RSA"), _) => Algorithm::Rs256,
        (Some("oct"), _) => Algorithm::Hs256,
        (Some(_), _) => return Err(KeyError::Unsupported("neither Ed25519, P-256 nor RSA")),
        (None, _) => return Err(KeyError::Malformed("`kty` is missing")),
    };
    if jwk.get("alg").is_some_and(|alg| alg != algorithm.name()) {
        return Err(KeyError::Unsupported("`alg` names another algorithm"));
    }
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return Err(KeyError::Unsupported("`use` is not `sig`"));
    }
    let verifies = |operations: &Value| {
        operations
            .as_array()
            .is_some_and(|list| list.iter().any(|entry| entry == "verify"))
    };
    if jwk
        .get("key_ops")
        .is_some_and(|operations| !verifies(operations))
    {
        return Err(KeyError::Unsupported("`key_ops` lacks `verify`"));
    }
    Ok(algorithm)
}

fn member(jwk: &Value, name: &'static str) -> Result<Vec<u8>, KeyError> {
    jwk.get(name)
        .and_then(Value::as_str)
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or(KeyError::Malformed("a member is missing or not base64url"))
}

fn rsa_components(pkcs1: &[u8]) -> Result<RsaPublicKeyComponents<Vec<u8>>, KeyError> {
    let key = rsa::PublicKey::from_der(pkcs1)
        .map_err(|_| KeyError::Malformed("it is not an RSA key of 2048 to 8192 bits"))?;
    Ok(RsaPublicKeyComponents::from(&key))
}

fn rsa_der(n: Vec<u8>, e: Vec<u8>) -> Result<Vec<u8>, KeyError> {
    const MALFORMED: KeyError = KeyError::Malformed("`n` and `e` do not make an RSA key");
    check_modulus(&n)?;
    let spki: PublicKeyX509Der<'_> = RsaPublicKeyComponents { n, e }
        .as_der()
        .map_err(|_| MALFORMED)?;
    let key = rsa::PublicKey::from_der(spki.as_ref()).map_err(|_| MALFORMED)?;
    Ok(key.as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    const MESSAGE: &[u8] = b"header.payload";

    fn signed(key: &SigningKey) -> String {
        jsonwebtoken::crypto::sign(MESSAGE, key.encoding_key(), key.algorithm().jose()).unwrap()
    }

    #[test]
    fn only_the_signature_that_this_process_makes_is_its_own() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let (public, signature) = (key.verifying_key(), signed(&key));

        assert!(public.is_own_signature(MESSAGE, &signature));

        assert!(!public.is_own_signature(b"header.other", &signature));
        let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert!(!public.is_own_signature(MESSAGE, &signed(&stranger)));
        let bytes = URL_SAFE_NO_PAD.decode(&signature).unwrap();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert!(!public.is_own_signature(MESSAGE, &base64url(&changed)));
        }
        for length in [0, 1, 63] {
            assert!(!public.is_own_signature(MESSAGE, &base64url(&bytes[..length])));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(!public.is_own_signature(MESSAGE, &base64url(&longer)));
        assert!(!public.is_own_signature(MESSAGE, &format!("{signature}=")));
    }

    #[test]
    fn without_the_private_key_no_signature_is_our_own() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let signature = signed(&key);
        let imported = VerifyingKey::from_jwk(&key.verifying_key().jwk().unwrap()).unwrap();
        assert!(!imported.is_own_signature(MESSAGE, &signature));

        let public = key.verifying_key();
        drop(key);

        assert!(!public.is_own_signature(MESSAGE, &signature));
    }

    #[test]
    fn signatures_of_other_algorithms_are_verified() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256] {
            let key = SigningKey::generate(algorithm).unwrap();

            assert!(!key.verifying_key().is_own_signature(MESSAGE, &signed(&key)));
        }
    }
}
