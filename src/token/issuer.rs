//! How a token is made.

use jsonwebtoken::Header;

use super::claims::NAMED;
use super::{Claims, Typ};
use crate::keys::{KeyError, SigningKey};

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
