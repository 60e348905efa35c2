//! Verification of a token, in a fixed order: size, header, signature, claims, times, kind. Nothing is
//! trusted before the signature is verified.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use quick_cache::sync::Cache;

use super::header::{Header, Parts, Unverified};
#[cfg(feature = "remote")]
use super::wanted::Wanted;
use super::{Claims, Endless, Expected, Unnamed, VerifierSettings, reason};
use crate::clock::Time;
use crate::error::AuthError;
use crate::keys::{KeySet, VerifyingKey};

mod refusal;
#[cfg(test)]
mod vectors;

use refusal::unreadable;

/// Much larger than any legitimate token; most servers accept header lines of this length.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Largest leeway of a verifier: more would be a second lifetime.
pub const MAX_LEEWAY: Duration = Duration::from_mins(5);

const NOT_BASE64: AuthError = AuthError::MalformedToken("it is not base64url");

/// SHA-256 of a whole token, signature included.
type TokenHash = [u8; 32];

/// Trusted keys, and the tokens that were verified with these keys. They are replaced together, so a
/// cached token cannot outlive its key.
struct Trust {
    keys: KeySet,
    verified: Cache<TokenHash, Verified>,
}

/// A token that passed every check of a [`Verifier`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Claims of the token.
    pub claims: Arc<Claims>,
    /// Header of the token, which the signature covers too.
    pub header: Header,
}

/// Checks tokens of one issuer. Cheap to share in an [`Arc`]; never holds a private key unless the
/// algorithm is HS256.
pub struct Verifier {
    settings: VerifierSettings,
    trust: ArcSwap<Trust>,
    /// Time after which the keys are too old to verify a token, in unix milliseconds.
    trusted_until: AtomicI64,
    /// Signal to the task that fetches keys, if there is one.
    #[cfg(feature = "remote")]
    wanted: Option<Arc<Wanted>>,
}

impl Verifier {
    /// Returns a verifier that trusts these keys.
    pub fn new(keys: KeySet, settings: VerifierSettings) -> Self {
        let settings = VerifierSettings {
            leeway: settings.leeway.min(MAX_LEEWAY),
            ..settings
        };
        let trust = ArcSwap::from_pointee(settings.trust(keys));
        Self {
            settings,
            trust,
            trusted_until: AtomicI64::new(Time::MAX.millis()),
            #[cfg(feature = "remote")]
            wanted: None,
        }
    }

    /// Returns a verifier whose keys are yet to be fetched, by the task that receives `wanted`.
    #[cfg(feature = "remote")]
    pub(crate) fn following(settings: VerifierSettings, wanted: Arc<Wanted>) -> Self {
        Self {
            trusted_until: AtomicI64::new(i64::MIN),
            wanted: Some(wanted),
            ..Self::new(KeySet::default(), settings)
        }
    }

    /// Trusts these keys from now on, until the given time.
    #[cfg(feature = "remote")]
    pub(crate) fn trust(&self, keys: KeySet, until: Time) {
        self.replace_keys(keys);
        self.trusted_until.store(until.millis(), Ordering::Relaxed);
    }

    /// Checks a token and returns its claims.
    ///
    /// A token that was verified before is recognised by its hash; then only the signature check is
    /// skipped.
    ///
    /// # Errors
    /// [`AuthError::MalformedToken`], [`AuthError::InvalidToken`], [`AuthError::TokenExpired`] or
    /// [`AuthError::WrongTokenType`]; and if keys are fetched from an issuer, [`AuthError::Unavailable`]
    /// while the result cannot be determined.
    pub fn verify(
        &self,
        token: &str,
        expected: Expected,
        now: Time,
    ) -> Result<Arc<Claims>, AuthError> {
        Ok(self.verify_with_header(token, expected, now)?.claims)
    }

    /// Checks a token as [`verify`](Self::verify) does and returns its header too.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_with_header(
        &self,
        token: &str,
        expected: Expected,
        now: Time,
    ) -> Result<Verified, AuthError> {
        check_length(token)?;
        self.check_keys_are_current(now)?;
        let trust = self.trust.load();
        let hash = hash(token);
        let cached = trust.verified.get(&hash);
        let verified = match &cached {
            Some(verified) => verified.clone(),
            None => self.check_whole(token, &trust)?,
        };
        self.check_end(&verified.claims, now)?;
        self.check_start(&verified.claims, now)?;
        if cached.is_none() {
            trust.verified.insert(hash, verified.clone());
        }
        check_kind(&verified.claims, expected)?;
        Ok(verified)
    }

    /// Checks everything except `exp`: to identify the user of an expired token. The result does not
    /// authenticate a request.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), never [`AuthError::TokenExpired`].
    pub fn verify_even_expired(
        &self,
        token: &str,
        expected: Expected,
        now: Time,
    ) -> Result<Verified, AuthError> {
        check_length(token)?;
        self.check_keys_are_current(now)?;
        let verified = self.check_whole(token, &self.trust.load())?;
        self.check_start(&verified.claims, now)?;
        check_kind(&verified.claims, expected)?;
        Ok(verified)
    }

    /// Replaces the trusted keys. Tokens of removed keys are refused immediately, cached or not.
    pub fn replace_keys(&self, keys: KeySet) {
        if self.trust.load().keys != keys {
            self.trust.store(Arc::new(self.settings.trust(keys)));
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &VerifierSettings {
        &self.settings
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.trust.load().verified.len()
    }

    fn check_whole(&self, token: &str, trust: &Trust) -> Result<Verified, AuthError> {
        let parts = Parts::of(token)?;
        let header = Unverified::read(&parts)?;
        let typ = header.check(&self.settings.typ)?;
        let claims = self.signed_claims(&parts, &header, trust)?;
        if claims.sub.is_empty() || claims.jti.is_empty() {
            return Err(AuthError::MalformedToken("`sub` or `jti` is empty"));
        }
        if claims.exp.is_none() && self.settings.endless == Endless::Refused {
            return Err(AuthError::MalformedToken("the claim `exp` is missing"));
        }
        if !typ.may_be(claims.kind) {
            return Err(AuthError::WrongTokenType);
        }
        Ok(Verified {
            claims: Arc::new(claims),
            header: Header::of(token),
        })
    }

    /// Checks the signature with the key that the header names, and parses the claims.
    fn signed_claims(
        &self,
        parts: &Parts<'_>,
        header: &Unverified,
        trust: &Trust,
    ) -> Result<Claims, AuthError> {
        let key = match header.key_in(&trust.keys) {
            Ok(key) => key,
            #[cfg(feature = "remote")]
            Err(_) if self.may_learn_the_key_of(header, &trust.keys) => {
                return Err(AuthError::Unavailable);
            }
            Err(refusal) => return Err(refusal),
        };
        check_signature(parts, key)?;
        let payload = URL_SAFE_NO_PAD
            .decode(parts.payload)
            .map_err(|_| NOT_BASE64)?;
        let claims: Claims =
            serde_json::from_slice(&payload).map_err(|error| unreadable(&error))?;
        self.check_names(&claims, key)?;
        Ok(claims)
    }

    /// Checks issuer and audience. Both claims are required, unless the key identifies the issuer.
    fn check_names(&self, claims: &Claims, key: &VerifyingKey) -> Result<(), AuthError> {
        let may_be_unnamed =
            self.settings.unnamed == Unnamed::Admitted && key.checks_tokens_without_kid();
        let Claims { iss, aud, .. } = claims;
        if !may_be_unnamed && iss.is_empty() {
            return Err(AuthError::MalformedToken("the claim `iss` is missing"));
        }
        if !may_be_unnamed && aud.is_empty() {
            return Err(AuthError::MalformedToken("the claim `aud` is missing"));
        }
        if !iss.is_empty() && !self.settings.issuers.contains(iss) {
            return Err(AuthError::InvalidToken("it was issued by another issuer"));
        }
        let is_for_us = aud.iter().any(|name| self.settings.audience.contains(name));
        if !aud.is_empty() && !is_for_us {
            return Err(AuthError::InvalidToken("it is meant for another audience"));
        }
        Ok(())
    }

    /// Requests newer keys if the token names an unknown key.
    ///
    /// Until they are fetched the status of the token is unknown: "invalid" would send a client with a
    /// token of a recently added key to the login page.
    #[cfg(feature = "remote")]
    fn may_learn_the_key_of(&self, header: &Unverified, keys: &KeySet) -> bool {
        let wanted = self.wanted.as_deref();
        wanted.is_some_and(|wanted| header.names_unknown_key(keys) && wanted.ask())
    }

    fn check_keys_are_current(&self, now: Time) -> Result<(), AuthError> {
        if now.millis() > self.trusted_until.load(Ordering::Relaxed) {
            return Err(AuthError::Unavailable);
        }
        Ok(())
    }

    fn check_end(&self, claims: &Claims, now: Time) -> Result<(), AuthError> {
        let longest = self
            .settings
            .max_lifetime
            .map_or(Time::MAX, |life| Time::from_secs(claims.iat) + life);
        if claims.expires_at().min(longest) <= now - self.settings.leeway {
            return Err(AuthError::TokenExpired);
        }
        Ok(())
    }

    fn check_start(&self, claims: &Claims, now: Time) -> Result<(), AuthError> {
        let latest = now + self.settings.leeway + self.settings.clock_ahead;
        if claims.nbf.is_some_and(|nbf| Time::from_secs(nbf) > latest) {
            return Err(AuthError::InvalidToken(reason::NOT_YET));
        }
        if Time::from_secs(claims.iat) > latest {
            return Err(AuthError::InvalidToken(reason::FROM_THE_FUTURE));
        }
        Ok(())
    }
}

fn check_length(token: &str) -> Result<(), AuthError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(AuthError::MalformedToken("it is longer than 8 kB"));
    }
    Ok(())
}

/// Checks only the signature, and not the claims, with the library: it would parse header and claims a
/// second time, and use the system's clock.
fn check_signature(parts: &Parts<'_>, key: &VerifyingKey) -> Result<(), AuthError> {
    let (message, algorithm) = (parts.message.as_bytes(), key.algorithm().jose());
    let is_good = crypto::verify(parts.signature, message, key.decoding(), algorithm)
        // The key has been parsed before, so the signature is the unreadable part.
        .map_err(|_| NOT_BASE64)?;
    if is_good {
        return Ok(());
    }
    Err(AuthError::InvalidToken(reason::BAD_SIGNATURE))
}

fn check_kind(claims: &Claims, expected: Expected) -> Result<(), AuthError> {
    if expected.admits(claims.kind) {
        return Ok(());
    }
    Err(AuthError::WrongTokenType)
}

impl VerifierSettings {
    fn trust(&self, keys: KeySet) -> Trust {
        Trust {
            keys,
            verified: Cache::new(self.cached_tokens),
        }
    }
}

/// Prints no token and no secret.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("settings", &self.settings)
            .field("keys", &self.trust.load().keys)
            .finish_non_exhaustive()
    }
}

fn hash(token: &str) -> TokenHash {
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}
