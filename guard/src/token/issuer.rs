//! Signing of tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Header, crypto};
use serde::Serialize;
use serde_json::Value;

use super::claims::NAMED_CLAIMS;
use super::{Claims, Typ};
use crate::keys::{KeyError, SigningKey};

/// Members of the header that control the verification, hence are set only here.
const RESERVED_MEMBERS: [&str; 11] = [
    "alg", "typ", "kid", "crit", "b64", "cty", "jku", "jwk", "x5u", "x5c", "x5t",
];

/// Initial capacity for the JSON of the claims.
const CLAIMS_CAPACITY: usize = 768;

/// Capacity for a dot and a signature: enough for EdDSA and ES256.
const SIGNATURE_CAPACITY: usize = 90;

/// Signs tokens with one key.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    header: Header,
    /// The encoded header with the dot after it: the same in all tokens.
    encoded_header: String,
}

impl Issuer {
    /// Returns an issuer of access tokens (`typ: at+jwt`).
    pub fn new(key: SigningKey) -> Self {
        Self::with_typ(Typ::Access, key)
    }

    /// Returns an issuer whose tokens carry this `typ`.
    pub fn with_typ(typ: Typ, key: SigningKey) -> Self {
        let mut header = Header::new(key.algorithm().jose());
        header.typ = Some(typ.name().to_owned());
        header.kid = Some(key.kid().to_owned());
        let encoded_header = encode_header(&header);
        Self {
            key,
            header,
            encoded_header,
        }
    }

    /// Adds a member to the header of every token. To add it to some tokens only, clone the issuer
    /// first.
    ///
    /// # Errors
    /// [`KeyError::ReservedHeader`] when the member controls the verification.
    pub fn with_header(mut self, name: &str, value: Value) -> Result<Self, KeyError> {
        if RESERVED_MEMBERS.contains(&name) || name.starts_with("x5t#") {
            return Err(KeyError::ReservedHeader(name.to_owned()));
        }
        self.header.extras.insert(name, value);
        self.encoded_header = encode_header(&self.header);
        Ok(self)
    }

    /// Omits the id of the key from the header: for verifiers that know one key and expect no `kid`.
    #[must_use]
    pub fn without_kid(mut self) -> Self {
        self.header.kid = None;
        self.encoded_header = encode_header(&self.header);
        self
    }

    /// Returns the key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs the claims as they are.
    ///
    /// # Errors
    /// [`KeyError::ReservedClaim`] when `extra` would duplicate a claim; [`KeyError::Crypto`] when
    /// signing fails, or `fresh` has no JSON form.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        if let Some(name) = NAMED_CLAIMS
            .iter()
            .find(|name| claims.extra.contains_key(**name))
        {
            return Err(KeyError::ReservedClaim((*name).to_owned()));
        }
        self.sign_custom(claims)
    }

    /// Signs claims of a custom form, which [`Verifier`](super::Verifier) does not read: for a third party
    /// that has its own claims.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] when signing fails, or the claims have no JSON form.
    pub fn sign_custom(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        const FAILED: KeyError = KeyError::Crypto("the token could not be signed");
        // Sufficient for most tokens: growing the buffer costs more than writing.
        let mut json = Vec::with_capacity(CLAIMS_CAPACITY);
        serde_json::to_writer(&mut json, claims).map_err(|_| FAILED)?;
        let mut token = String::with_capacity(
            self.encoded_header.len() + json.len() * 4 / 3 + SIGNATURE_CAPACITY,
        );
        token.push_str(&self.encoded_header);
        URL_SAFE_NO_PAD.encode_string(json, &mut token);
        let signature = crypto::sign(token.as_bytes(), self.key.encoding_key(), self.header.alg);
        token.push('.');
        token.push_str(&signature.map_err(|_| FAILED)?);
        Ok(token)
    }
}

fn encode_header(header: &Header) -> String {
    #[expect(
        clippy::expect_used,
        reason = "the members are text and JSON, which always have a JSON form"
    )]
    let json = serde_json::to_vec(header).expect("a header is JSON");
    URL_SAFE_NO_PAD.encode(json) + "."
}
