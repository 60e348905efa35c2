//! Signatures over any bytes, for tokens that no issuer would sign.

use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::sign;
use latchet_guard::keys::{Algorithm, SigningKey};

/// Signs any message; returns the signature in base64url.
pub(crate) fn sign_message(key: &SigningKey, message: &str) -> String {
    let bytes = key.private_bytes();
    let (key, algorithm) = match key.algorithm() {
        Algorithm::EdDsa => (
            EncodingKey::from_ed_der(bytes),
            jsonwebtoken::Algorithm::EdDSA,
        ),
        Algorithm::Es256 => (
            EncodingKey::from_ec_der(bytes),
            jsonwebtoken::Algorithm::ES256,
        ),
        Algorithm::Rs256 => (
            EncodingKey::from_rsa_der(bytes),
            jsonwebtoken::Algorithm::RS256,
        ),
        Algorithm::Hs256 => (
            EncodingKey::from_secret(bytes),
            jsonwebtoken::Algorithm::HS256,
        ),
    };
    sign(message.as_bytes(), &key, algorithm).unwrap()
}
