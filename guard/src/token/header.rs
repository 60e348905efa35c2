//! Header of a token: before the verification of the signature it is read only to select the key;
//! afterwards a service may read it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Typ;
use crate::error::{AuthError, InvalidToken, MalformedToken};
use crate::keys::{Algorithm, KeySet, VerifyingKey};

const NO_HEADER: AuthError = AuthError::MalformedToken(MalformedToken::NotJoseHeader);

/// The header of a token in its encoded form; it is parsed on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(Arc<str>);

impl Header {
    /// Returns the header of a token without verification. [`VerifiedToken`](super::VerifiedToken) has the header
    /// of a verified token.
    pub fn unverified(token: &str) -> Self {
        Self(token.split('.').next().unwrap_or_default().into())
    }

    /// Returns every member; none if it is not a JOSE header.
    pub fn members(&self) -> Map<String, Value> {
        let json = URL_SAFE_NO_PAD.decode(&*self.0).unwrap_or_default();
        serde_json::from_slice(&json).unwrap_or_default()
    }

    /// Returns one member.
    pub fn member(&self, name: &str) -> Option<Value> {
        self.members().remove(name)
    }
}

/// A token in compact form (RFC 7515, section 3.1), split at its dots and not decoded.
pub(super) struct CompactToken<'a> {
    header: &'a str,
    pub(super) payload: &'a str,
    /// Input of the signature: header, dot, payload.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> CompactToken<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, AuthError> {
        let compact = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, payload) = message.split_once('.')?;
            (!payload.contains('.')).then_some(Self {
                header,
                payload,
                message,
                signature,
            })
        });
        compact.ok_or(AuthError::MalformedToken(MalformedToken::NotThreeParts))
    }
}

/// Members of a JOSE header that are read. Keys and addresses of keys (`jwk`, `jku`, `x5c`, `x5u`) are
/// ignored: only configured keys verify tokens.
#[derive(Deserialize)]
pub(super) struct UnverifiedHeader {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    #[serde(default, rename = "crit", deserialize_with = "present")]
    has_crit: bool,
}

impl UnverifiedHeader {
    pub(super) fn read(compact: &CompactToken<'_>) -> Result<Self, AuthError> {
        let json = URL_SAFE_NO_PAD
            .decode(compact.header)
            .map_err(|_| AuthError::MalformedToken(MalformedToken::HeaderNotBase64))?;
        // serde would also accept an array of the members in their order.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(NO_HEADER);
        }
        serde_json::from_slice(&json).map_err(|_| NO_HEADER)
    }

    /// Returns the type, if it is accepted.
    pub(super) fn accepted_type(&self, accepted: &[Typ]) -> Result<Typ, AuthError> {
        let typ = self.typ.as_deref().unwrap_or_default();
        let Some(typ) = accepted.iter().find(|accepted| accepted.matches(typ)) else {
            return Err(AuthError::InvalidToken(InvalidToken::ForeignType));
        };
        if self.has_crit {
            return Err(AuthError::InvalidToken(InvalidToken::CriticalExtensions));
        }
        Ok(*typ)
    }

    /// Returns the key for the signature; the key determines the algorithm.
    pub(super) fn key_in<'a>(&self, keys: &'a KeySet) -> Result<&'a VerifyingKey, AuthError> {
        let Ok(algorithm) = self.alg.parse::<Algorithm>() else {
            return Err(AuthError::InvalidToken(InvalidToken::ForeignAlgorithm));
        };
        keys.find(self.kid.as_deref(), algorithm)
            .ok_or(AuthError::InvalidToken(InvalidToken::UntrustedKey))
    }

    /// Returns whether the header names a key that is not in the set.
    #[cfg(feature = "remote")]
    pub(super) fn names_unknown_key(&self, keys: &KeySet) -> bool {
        let kid = self.kid.as_deref();
        kid.is_some_and(|kid| keys.keys().all(|key| key.kid() != kid))
    }
}

/// Any value counts as present, also `null` and the empty list.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}
