//! Builder of tokens for tests.

use std::time::Duration;

use serde_json::Value;

use super::{TestIssuer, generate, sign};
use crate::clock::Time;
use crate::keys::random_id;
use crate::token::{Claims, FreshClaim, NARROWED_CLAIM, TokenKind};

const LIFETIME: Duration = Duration::from_mins(15);

/// A builder of a token; [`sign`](Self::sign) returns the token.
#[derive(Clone, Debug)]
#[must_use = "the token is created when it is signed"]
pub struct TestToken {
    issuer: TestIssuer,
    claims: Claims,
    forged: bool,
}

impl TestToken {
    pub(super) fn new(issuer: TestIssuer, user: &str) -> Self {
        let claims = Claims {
            iss: issuer.url().to_owned(),
            aud: vec![issuer.url().to_owned()],
            sub: user.to_owned(),
            sid: Some(random_id()),
            ..Claims::access(issuer.clock().now(), LIFETIME)
        };
        Self {
            issuer,
            claims,
            forged: false,
        }
    }

    /// Adds a role.
    pub fn role(mut self, role: &str) -> Self {
        self.claims.roles.push(role.to_owned());
        self
    }

    /// Adds a scope.
    pub fn scope(mut self, scope: &str) -> Self {
        let scopes = self.claims.scope.get_or_insert_default();
        if !scopes.is_empty() {
            scopes.push(' ');
        }
        scopes.push_str(scope);
        self
    }

    /// Limits it to its scopes: it has the rights of no role.
    pub fn narrowed(self) -> Self {
        self.claim(NARROWED_CLAIM, true)
    }

    /// Makes it fresh: the user entered the password for this token.
    pub fn fresh(mut self) -> Self {
        self.claims.fresh = FreshClaim::Yes;
        self.claims.auth_time = Some(self.claims.iat);
        self
    }

    /// Makes it fresh until `then`.
    pub fn fresh_until(mut self, then: Time) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "f64 starts to round at 2^53 milliseconds, in the year 287396"
        )]
        let secs = then.millis() as f64 / 1000.0;
        self.claims.fresh = FreshClaim::Until(secs);
        self
    }

    /// Makes it a refresh token.
    pub fn refresh(mut self) -> Self {
        self.claims.kind = TokenKind::Refresh;
        self
    }

    /// Sets the session.
    pub fn session(mut self, sid: &str) -> Self {
        self.claims.sid = Some(sid.to_owned());
        self
    }

    /// Sets this audience only.
    pub fn audience(mut self, audience: &str) -> Self {
        self.claims.aud = vec![audience.to_owned()];
        self
    }

    /// Adds a custom claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the lifetime.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.claims.exp = Some((Time::from_secs(self.claims.iat) + lifetime).secs());
        self
    }

    /// Makes it a token that expired a minute ago.
    pub fn expired(mut self) -> Self {
        let past = Duration::from_mins(1);
        let made = Time::from_secs(self.claims.iat) - LIFETIME - past;
        self.claims.iat = made.secs();
        self.claims.nbf = self.claims.nbf.map(|_| made.secs());
        self.claims.exp = Some((made + LIFETIME).secs());
        self
    }

    /// Signs it with a key that is not the issuer's, like an attacker.
    pub fn forged(mut self) -> Self {
        self.forged = true;
        self
    }

    /// Changes the claims in a way for which there is no other function.
    pub fn with(mut self, change: impl FnOnce(&mut Claims)) -> Self {
        change(&mut self.claims);
        self
    }

    /// Returns the token.
    ///
    /// # Panics
    /// When a custom claim has the name of a standard one, such as `sub`.
    #[must_use]
    pub fn sign(self) -> String {
        let key = self.issuer.key();
        let key = if self.forged {
            generate(key.algorithm())
        } else {
            key
        };
        sign(&self.claims, key)
    }
}
