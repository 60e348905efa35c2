//! How a token is made.

use jsonwebtoken::Header;
use serde_json::Value;

use super::claims::NAMED;
use super::{Claims, Typ};
use crate::keys::{KeyError, SigningKey};

/// Members of the header that say how the token is checked, hence are written here alone.
const RESERVED: [&str; 11] = [
    "alg", "typ", "kid", "crit", "b64", "cty", "jku", "jwk", "x5u", "x5c", "x5t",
];

/// Signs tokens with one key.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    header: Header,
}

impl Issuer {
    /// Returns an issuer of access tokens (`typ: at+jwt`).
    pub fn new(key: SigningKey) -> Self {
        Self::of(Typ::Access, key)
    }

    /// Returns an issuer whose tokens carry this `typ`.
    pub fn of(typ: Typ, key: SigningKey) -> Self {
        let mut header = Header::new(key.algorithm().jose());
        header.typ = Some(typ.name().to_owned());
        header.kid = Some(key.kid().to_owned());
        Self { key, header }
    }

    /// Writes a further member into the header of every token. Clone the issuer first to write it
    /// into some.
    ///
    /// # Errors
    /// [`KeyError::ReservedHeader`] when the member says how the token is checked.
    pub fn with_header(mut self, name: &str, value: Value) -> Result<Self, KeyError> {
        if RESERVED.contains(&name) || name.starts_with("x5t#") {
            return Err(KeyError::ReservedHeader(name.to_owned()));
        }
        self.header.extras.insert(name, value);
        Ok(self)
    }

    /// Returns the key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs the claims as they are.
    ///
    /// # Errors
    /// [`KeyError::ReservedClaim`] when `extra` would write a claim a second time;
    /// [`KeyError::Crypto`] when signing fails, or `fresh` has no JSON form.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        if let Some(name) = NAMED.iter().find(|name| claims.extra.contains_key(**name)) {
            return Err(KeyError::ReservedClaim((*name).to_owned()));
        }
        jsonwebtoken::encode(&self.header, claims, self.key.encoding())
            .map_err(|_| KeyError::Crypto("the token could not be signed"))
    }
}
