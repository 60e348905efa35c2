//! Set of the keys that a verifier trusts.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Algorithm, KeyError, VerifyingKey};

/// Verifying keys by `kid`; immutable, a new set replaces it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    by_kid: HashMap<String, VerifyingKey>,
}

impl KeySet {
    /// Returns the set of these keys; of two with the same `kid` the later is kept.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        Self {
            by_kid: keys
                .into_iter()
                .map(|key| (key.kid().to_owned(), key))
                .collect(),
        }
    }

    /// Imports a JWK set (RFC 7517). Keys of other kinds and uses are skipped, as section 5 of the RFC
    /// requires, so that an issuer may publish keys that are not supported here.
    ///
    /// # Errors
    /// [`KeyError`] when it is not a JWK set, or a key in it is broken or weak.
    pub fn from_jwks(jwks: &Value) -> Result<Self, KeyError> {
        let keys = jwks.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeyError::Malformed("a JWK set has an array `keys`"))?;
        let known = keys.iter().map(VerifyingKey::from_jwk);
        let known = known.filter(|key| !matches!(key, Err(KeyError::Unsupported(_))));
        Ok(Self::new(known.collect::<Result<Vec<_>, _>>()?))
    }

    /// Returns the key that may verify a token with this header, if there is one.
    ///
    /// `kid` is only ever compared, never used as a path or a query. A token without a `kid` is verified
    /// with the only key that was allowed to with
    /// [`for_tokens_without_kid`](VerifyingKey::for_tokens_without_kid).
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        if let Some(kid) = kid {
            return self
                .by_kid
                .get(kid)
                .filter(|key| key.algorithm() == algorithm);
        }
        let mut allowed = self
            .by_kid
            .values()
            .filter(|key| key.checks_tokens_without_kid() && key.algorithm() == algorithm);
        allowed.next().filter(|_| allowed.next().is_none())
    }

    /// Returns the keys, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.by_kid.values()
    }

    /// Returns whether the set has no keys.
    pub fn is_empty(&self) -> bool {
        self.by_kid.is_empty()
    }

    /// Returns the public keys as a JWK set, ordered by `kid`; without HMAC secrets.
    pub fn jwks(&self) -> Value {
        let mut keys: Vec<_> = self.by_kid.values().collect();
        keys.sort_unstable_by_key(|key| key.kid());
        json!({"keys": keys.into_iter().filter_map(VerifyingKey::jwk).collect::<Vec<_>>()})
    }
}
