//! Claims, and signing and verifying tokens. No I/O.
//!
//! An [`Issuer`] signs with one key; a [`Verifier`] checks against a set of keys and needs no secret.
//! Every claim that the verifier relies on is required: a token without `exp`, `type` or `jti` is
//! malformed, not an access token without an end.
//!
//! ```
//! use latchet_guard::clock::Clock;
//! use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
//! use latchet_guard::token::{Claims, ExpectedKind, Issuer, Verifier, VerifierSettings};
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let verifier = Verifier::new(
//!     KeySet::new([key.verifying_key()]),
//!     VerifierSettings::new("https://auth.example", ["https://api.example"]),
//! );
//! let issuer = Issuer::new(key);
//!
//! let now = Clock::system().now();
//! let claims = Claims {
//!     iss: "https://auth.example".into(),
//!     aud: vec!["https://api.example".into()],
//!     sub: "alice".into(),
//!     ..Claims::access(now, std::time::Duration::from_secs(900))
//! };
//! let token = issuer.sign(&claims)?;
//!
//! let verified = verifier.verify(&token, ExpectedKind::Access, now)?;
//! assert_eq!(verified.sub, "alice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
mod header;
mod issuer;
#[cfg(feature = "remote")]
mod key_refresh;
mod settings;
mod verifier;

pub use claims::{Claims, FreshClaim, NARROWED_CLAIM, TokenKind};
pub use header::Header;
pub use issuer::Issuer;
#[cfg(feature = "remote")]
pub(crate) use key_refresh::KeyRefreshSignal;
pub use settings::{ExpectedKind, MissingExp, MissingIssuer, VerifierSettings};
pub use verifier::{MAX_LEEWAY, VerifiedToken, Verifier};

/// Type of a token in its header (`typ`, RFC 8725, section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typ {
    /// `at+jwt`: an access token (RFC 9068).
    Access,
    /// `rt+jwt`: a refresh token, which only its issuer reads.
    Refresh,
    /// `JWT`: from issuers that do not distinguish types. Accept it only if such an issuer must be
    /// supported.
    Plain,
}

impl Typ {
    /// Returns the value in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
            Self::Plain => "JWT",
        }
    }

    /// Returns whether a token of this type may be of this kind: header and claim must not disagree.
    fn allows_kind(self, kind: TokenKind) -> bool {
        match self {
            Self::Access => kind == TokenKind::Access,
            Self::Refresh => kind == TokenKind::Refresh,
            Self::Plain => true,
        }
    }

    /// Compares like media types: without regard to case, `application/` implied (RFC 7515, section
    /// 4.1.9).
    fn matches(self, typ: &str) -> bool {
        const PREFIX: &str = "application/";
        let bare = match typ.get(..PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
            _ => typ,
        };
        bare.eq_ignore_ascii_case(self.name())
    }
}
