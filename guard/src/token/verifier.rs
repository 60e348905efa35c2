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

use super::header::{CompactToken, Header, UnverifiedHeader};
#[cfg(feature = "remote")]
use super::key_refresh::KeyRefreshSignal;
use super::{Claims, ExpectedKind, MissingExp, MissingIssuer, VerifierSettings};
use crate::clock::Time;
use crate::error::{AuthError, InvalidToken, MalformedToken, RequiredClaim};
use crate::keys::{KeySet, VerifyingKey};

mod claims_error;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use claims_error::claims_error;

/// Much larger than any legitimate token; most servers accept header lines of this length.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Largest leeway of a verifier: more would be a second lifetime.
pub const MAX_LEEWAY: Duration = Duration::from_mins(5);

const NOT_BASE64: AuthError = AuthError::MalformedToken(MalformedToken::NotBase64);

/// SHA-256 of a whole token, signature included.
type TokenHash = [u8; 32];

/// Trusted keys, and the tokens that were verified with these keys. They are replaced together, so a
/// cached token cannot outlive its key.
struct TrustedKeys {
    keys: KeySet,
    verified: Cache<TokenHash, VerifiedToken>,
}

/// A token that passed every check of a [`Verifier`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Claims of the token.
    pub claims: Arc<Claims>,
    /// Header of the token, which the signature covers too.
    pub header: Header,
}

/// Checks tokens of one issuer. Cheap to share in an [`Arc`]; never holds a private key unless the
/// algorithm is HS256.
pub struct Verifier {
    settings: VerifierSettings,
    trusted_keys: ArcSwap<TrustedKeys>,
    /// Time after which the keys are too old to verify a token, in unix milliseconds.
    trusted_until: AtomicI64,
    /// Signal to the task that fetches keys, if there is one.
    #[cfg(feature = "remote")]
    key_refresh: Option<Arc<KeyRefreshSignal>>,
}

impl Verifier {
    /// Returns a verifier that trusts these keys.
    pub fn new(keys: KeySet, settings: VerifierSettings) -> Self {
        let settings = VerifierSettings {
            leeway: settings.leeway.min(MAX_LEEWAY),
            ..settings
        };
        let trusted_keys = ArcSwap::from_pointee(settings.trusted_keys(keys));
        Self {
            settings,
            trusted_keys,
            trusted_until: AtomicI64::new(Time::MAX.millis()),
            #[cfg(feature = "remote")]
            key_refresh: None,
        }
    }

    /// Returns a verifier whose keys are yet to be fetched, by the task that receives `key_refresh`.
    #[cfg(feature = "remote")]
    pub(crate) fn with_remote_keys(
        settings: VerifierSettings,
        key_refresh: Arc<KeyRefreshSignal>,
    ) -> Self {
        Self {
            trusted_until: AtomicI64::new(i64::MIN),
            key_refresh: Some(key_refresh),
            ..Self::new(KeySet::default(), settings)
        }
    }

    /// Trusts these keys from now on, until the given time.
    #[cfg(feature = "remote")]
    pub(crate) fn trust_keys_until(&self, keys: KeySet, until: Time) {
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
        expected: ExpectedKind,
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
        expected: ExpectedKind,
        now: Time,
    ) -> Result<VerifiedToken, AuthError> {
        check_length(token)?;
        self.check_keys_are_current(now)?;
        let trusted_keys = self.trusted_keys.load();
        let hash = hash(token);
        let cached = trusted_keys.verified.get(&hash);
        let verified = match &cached {
            Some(verified) => verified.clone(),
            None => self.verify_uncached(token, &trusted_keys)?,
        };
        self.check_expiry(&verified.claims, now)?;
        self.check_not_before(&verified.claims, now)?;
        if cached.is_none() {
            trusted_keys.verified.insert(hash, verified.clone());
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
        expected: ExpectedKind,
        now: Time,
    ) -> Result<VerifiedToken, AuthError> {
        check_length(token)?;
        self.check_keys_are_current(now)?;
        let verified = self.verify_uncached(token, &self.trusted_keys.load())?;
        self.check_not_before(&verified.claims, now)?;
        check_kind(&verified.claims, expected)?;
        Ok(verified)
    }

    /// Replaces the trusted keys. Tokens of removed keys are refused immediately, cached or not.
    pub fn replace_keys(&self, keys: KeySet) {
        if self.trusted_keys.load().keys != keys {
            self.trusted_keys
                .store(Arc::new(self.settings.trusted_keys(keys)));
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &VerifierSettings {
        &self.settings
    }

    #[cfg(test)]
    fn cached_count(&self) -> usize {
        self.trusted_keys.load().verified.len()
    }

    fn verify_uncached(
        &self,
        token: &str,
        trusted_keys: &TrustedKeys,
    ) -> Result<VerifiedToken, AuthError> {
        let compact = CompactToken::of(token)?;
        let header = UnverifiedHeader::read(&compact)?;
        let typ = header.accepted_type(&self.settings.typ)?;
        let claims = self.verify_signature_and_claims(&compact, &header, trusted_keys)?;
        if claims.sub.is_empty() || claims.jti.is_empty() {
            return Err(AuthError::MalformedToken(MalformedToken::EmptySubOrJti));
        }
        if claims.exp.is_none() && self.settings.missing_exp == MissingExp::Refused {
            return Err(AuthError::MalformedToken(MalformedToken::ClaimMissing(
                RequiredClaim::Exp,
            )));
        }
        if !typ.allows_kind(claims.kind) {
            return Err(AuthError::WrongTokenType);
        }
        Ok(VerifiedToken {
            claims: Arc::new(claims),
            header: Header::unverified(token),
        })
    }

    /// Checks the signature with the key that the header names, and parses the claims.
    fn verify_signature_and_claims(
        &self,
        compact: &CompactToken<'_>,
        header: &UnverifiedHeader,
        trusted_keys: &TrustedKeys,
    ) -> Result<Claims, AuthError> {
        let key = match header.key_in(&trusted_keys.keys) {
            Ok(key) => key,
            #[cfg(feature = "remote")]
            Err(_) if self.may_fetch_key_of(header, &trusted_keys.keys) => {
                return Err(AuthError::Unavailable);
            }
            Err(refusal) => return Err(refusal),
        };
        check_signature(compact, key)?;
        let payload = URL_SAFE_NO_PAD
            .decode(compact.payload)
            .map_err(|_| NOT_BASE64)?;
        let claims: Claims =
            serde_json::from_slice(&payload).map_err(|error| claims_error(&error))?;
        self.check_issuer_and_audience(&claims, key)?;
        Ok(claims)
    }

    /// Checks issuer and audience. Both claims are required, unless the key identifies the issuer.
    fn check_issuer_and_audience(
        &self,
        claims: &Claims,
        key: &VerifyingKey,
    ) -> Result<(), AuthError> {
        let may_omit_issuer = self.settings.missing_issuer == MissingIssuer::Accepted
            && key.checks_tokens_without_kid();
        let Claims { iss, aud, .. } = claims;
        if !may_omit_issuer && iss.is_empty() {
            return Err(AuthError::MalformedToken(MalformedToken::ClaimMissing(
                RequiredClaim::Iss,
            )));
        }
        if !may_omit_issuer && aud.is_empty() {
            return Err(AuthError::MalformedToken(MalformedToken::ClaimMissing(
                RequiredClaim::Aud,
            )));
        }
        if !iss.is_empty() && !self.settings.issuers.contains(iss) {
            return Err(AuthError::InvalidToken(InvalidToken::ForeignIssuer));
        }
        let is_for_us = aud.iter().any(|name| self.settings.audience.contains(name));
        if !aud.is_empty() && !is_for_us {
            return Err(AuthError::InvalidToken(InvalidToken::ForeignAudience));
        }
        Ok(())
    }

    /// Requests newer keys if the token names an unknown key.
    ///
    /// Until they are fetched the status of the token is unknown: "invalid" would send a client with a
    /// token of a recently added key to the login page.
    #[cfg(feature = "remote")]
    fn may_fetch_key_of(&self, header: &UnverifiedHeader, keys: &KeySet) -> bool {
        let key_refresh = self.key_refresh.as_deref();
        key_refresh.is_some_and(|key_refresh| {
            header.names_unknown_key(keys) && key_refresh.request_refresh()
        })
    }

    fn check_keys_are_current(&self, now: Time) -> Result<(), AuthError> {
        if now.millis() > self.trusted_until.load(Ordering::Relaxed) {
            return Err(AuthError::Unavailable);
        }
        Ok(())
    }

    fn check_expiry(&self, claims: &Claims, now: Time) -> Result<(), AuthError> {
        let longest = self
            .settings
            .max_lifetime
            .map_or(Time::MAX, |life| Time::from_secs(claims.iat) + life);
        if claims.expires_at().min(longest) <= now - self.settings.leeway {
            return Err(AuthError::TokenExpired);
        }
        Ok(())
    }

    fn check_not_before(&self, claims: &Claims, now: Time) -> Result<(), AuthError> {
        let latest = now + self.settings.leeway + self.settings.clock_ahead;
        if claims.nbf.is_some_and(|nbf| Time::from_secs(nbf) > latest) {
            return Err(AuthError::InvalidToken(InvalidToken::NotYetValid));
        }
        if Time::from_secs(claims.iat) > latest {
            return Err(AuthError::InvalidToken(InvalidToken::IssuedInFuture));
        }
        Ok(())
    }
}

fn check_length(token: &str) -> Result<(), AuthError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(AuthError::MalformedToken(MalformedToken::TooLong));
    }
    Ok(())
}

/// Checks only the signature, and not the claims, with the library: it would parse header and claims a
/// second time, and use the system's clock.
fn check_signature(compact: &CompactToken<'_>, key: &VerifyingKey) -> Result<(), AuthError> {
    let (message, algorithm) = (compact.message.as_bytes(), key.algorithm().jose());
    if key.is_own_signature(message, compact.signature) {
        return Ok(());
    }
    let is_good = crypto::verify(compact.signature, message, key.decoding_key(), algorithm)
        // The key has been parsed before, so the signature is the unreadable part.
        .map_err(|_| NOT_BASE64)?;
    if is_good {
        return Ok(());
    }
    Err(AuthError::InvalidToken(InvalidToken::BadSignature))
}

fn check_kind(claims: &Claims, expected: ExpectedKind) -> Result<(), AuthError> {
    if expected.admits(claims.kind) {
        return Ok(());
    }
    Err(AuthError::WrongTokenType)
}

impl VerifierSettings {
    fn trusted_keys(&self, keys: KeySet) -> TrustedKeys {
        TrustedKeys {
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
            .field("keys", &self.trusted_keys.load().keys)
            .finish_non_exhaustive()
    }
}

fn hash(token: &str) -> TokenHash {
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}
