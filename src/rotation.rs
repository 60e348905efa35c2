//! State machine of refresh token rotation.
//!
//! Pure: no I/O, no clock, no randomness. The store reads a row into a [`SessionState`], calls
//! [`decide`], and writes [`SessionState::rotated`] back on condition that the generation is still the one
//! that it read.

use std::str::FromStr;
use std::time::Duration;

use latchet_guard::clock::Time;

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
mod retry_key;
mod superseded;

pub use retry_key::{PresentedRetryKey, RetryKeyHash};
pub use superseded::Superseded;

/// Columns of a session row that [`decide`] uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionState {
    /// Number of rotations of the refresh token; the current token carries this number.
    pub generation: u64,
    /// Time of the latest rotation, or of the login.
    pub rotated_at: Time,
    /// Times at which earlier generations were superseded.
    pub superseded: Superseded,
    /// Hash of the retry key of the request that created the current generation; `None` without one.
    pub retry_key: Option<RetryKeyHash>,
    /// Absolute end, never extended.
    pub expires_at: Time,
    /// Longest time between two rotations.
    pub idle_limit: Duration,
    /// Reason of the revocation; `None` while the session is not revoked.
    pub revoked: Option<RevokeReason>,
}

impl SessionState {
    /// Returns this session one generation later, created by a request with `retry_key`.
    #[must_use]
    pub fn rotated(&self, retry_key: Option<RetryKeyHash>, now: Time) -> Self {
        Self {
            generation: self.generation + 1,
            rotated_at: now,
            superseded: self.superseded.with_newest(now),
            retry_key,
            expires_at: self.expires_at,
            idle_limit: self.idle_limit,
            revoked: self.revoked,
        }
    }

    /// Returns the time at which the session ends if it is not rotated again.
    pub fn ends_at(&self) -> Time {
        self.expires_at.min(self.rotated_at + self.idle_limit)
    }

    /// Returns how the session has ended by `now`; `None` while it is live.
    pub fn end(&self, now: Time) -> Option<SessionEnd> {
        if let Some(reason) = self.revoked {
            return Some(SessionEnd::Revoked(reason));
        }
        (now >= self.ends_at()).then_some(SessionEnd::Expired)
    }

    /// Returns whether the token may have been a valid retry when it was sent, and the row no longer shows it.
    ///
    /// Two cases. A request that arrived at `now` waited here while others rotated the session, and the time
    /// that would decide about it was removed from the row. Or the request carries a retry key: it was a
    /// retry until the successor was used, which overwrote the stored key. Such a request may be in transit
    /// for at most the grace period.
    fn may_have_been_a_retry(
        &self,
        presented: PresentedGeneration,
        generations_back: u64,
        now: Time,
        grace: Grace,
    ) -> bool {
        let is_time_removed =
            self.superseded.at(generations_back).is_none() && self.rotated_at > now;
        let used_at = generations_back
            .checked_sub(1)
            .and_then(|generations_back| self.superseded.at(generations_back));
        let was_used_recently = used_at.is_some_and(|used| used > now || grace.covers(used, now));
        is_time_removed || (was_used_recently && presented.retry_key.is_some())
    }

    /// Returns whether this request repeats, by its key, the one that created the current generation. Once
    /// the successor is used, its response was not lost, and the current generation is a later one.
    fn is_retry_by_key(&self, presented: PresentedGeneration, now: Time) -> bool {
        let keys = self.retry_key.zip(presented.retry_key);
        keys.is_some_and(|(stored, presented)| presented.matches(&stored))
            && self.generation.checked_sub(presented.generation) == Some(1)
            && now.since(self.rotated_at) < RetryKeyHash::RETRY_WINDOW
    }
}

/// Parts of a presented refresh token that [`decide`] uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedGeneration {
    /// The generation of the refresh token.
    pub generation: u64,
    /// The retry key in the request.
    pub retry_key: Option<PresentedRetryKey>,
}

/// Decision about a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationDecision {
    /// The token is the current one: create its successor.
    Rotate,
    /// The token has a successor, or must wait for one: return the current generation and change nothing.
    Retry,
    /// The grace period of the token is over, and its retry key does not match: two parties have the token.
    /// Revoke the session.
    Reuse,
    /// The session was rotated while the request waited or was in transit, and the row no longer shows whether
    /// the token was valid when it was sent: refuse this request and change nothing.
    Indeterminate,
    /// The token is newer than the row, as after a restored backup: refuse and change nothing.
    UnknownGeneration,
    /// The session is over.
    Ended(SessionEnd),
}

/// End of a session: expiry or revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionEnd {
    /// Its absolute or its idle lifetime is over.
    Expired,
    /// It was revoked.
    Revoked(RevokeReason),
}

/// Reason for which a session was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokeReason {
    /// Its owner logged out, or ended it from another device.
    Logout,
    /// Its owner ended every session.
    LogoutAll,
    /// A superseded token was presented after its grace period.
    Reuse,
    /// The password was changed in another session.
    PasswordChanged,
    /// The account was disabled.
    Disabled,
    /// An administrator ended it.
    Admin,
    /// A login exceeded the session limit of the user, and this session was the least recently used.
    SessionLimit,
    /// Its owner logged in again in the same browser.
    Replaced,
    /// The database was restored from a backup.
    Restored,
}

impl RevokeReason {
    const ALL: [Self; 9] = [
        Self::Logout,
        Self::LogoutAll,
        Self::Reuse,
        Self::PasswordChanged,
        Self::Disabled,
        Self::Admin,
        Self::SessionLimit,
        Self::Replaced,
        Self::Restored,
    ];

    /// Returns the name of the reason in the database and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::Reuse => "reuse",
            Self::PasswordChanged => "password_changed",
            Self::Disabled => "disabled",
            Self::Admin => "admin",
            Self::SessionLimit => "session_limit",
            Self::Replaced => "replaced",
            Self::Restored => "restored",
        }
    }
}

/// Error for text that is not a valid [`RevokeReason`], [`Superseded`] or [`RetryKeyHash`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct MalformedColumn {
    text: String,
    expected: &'static str,
}

impl FromStr for RevokeReason {
    type Err = MalformedColumn;

    fn from_str(text: &str) -> Result<Self, MalformedColumn> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| MalformedColumn {
                text: text.to_owned(),
                expected: "a revocation reason",
            })
    }
}

/// Grace period: the time for which a superseded token is still accepted, at most one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(Duration);

impl Grace {
    /// No grace period: every superseded token is reuse.
    pub const STRICT: Self = Self(Duration::ZERO);
    /// The default: longer than a retry takes, and short enough to detect a stolen token soon.
    pub const TEN_SECONDS: Self = Self(Duration::from_secs(10));
    /// The longest grace period. A stolen token is not detected for this long.
    pub const MAX: Self = Self(Duration::from_mins(1));

    /// Returns this grace period, or `None` when it is longer than [`Grace::MAX`].
    pub fn new(duration: Duration) -> Option<Self> {
        (duration <= Self::MAX.0).then_some(Self(duration))
    }

    /// Returns whether there is no grace period.
    pub const fn is_strict(self) -> bool {
        self.0.is_zero()
    }

    /// Returns its length.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Returns whether a token superseded at `superseded_at` is still accepted.
    ///
    /// A time ahead of `now` counts as `now`: the clocks of replicas differ, and a legitimate retry
    /// that reaches the slower one must not look like theft.
    fn covers(self, superseded_at: Time, now: Time) -> bool {
        now.since(superseded_at) < self.0
    }
}

impl Default for Grace {
    fn default() -> Self {
        Self::TEN_SECONDS
    }
}

/// Decides about a presented refresh token.
///
/// Tokens are ordered by generation and never by clock, because the clocks of replicas differ and two
/// rotations may share a millisecond. Any earlier generation inside its grace period is a retry, not only
/// the direct predecessor: two tabs that rotate in turn leave a slow third request several generations
/// behind, and it is legitimate. The retry key counts for the direct predecessor only: it identifies a
/// response that was not used yet.
pub fn decide(
    session: &SessionState,
    presented: PresentedGeneration,
    now: Time,
    grace: Grace,
) -> RotationDecision {
    if let Some(end) = session.end(now) {
        return RotationDecision::Ended(end);
    }
    let Some(generations_back) = session.generation.checked_sub(presented.generation) else {
        return RotationDecision::UnknownGeneration;
    };
    let inside_grace = |time: Option<Time>| time.is_some_and(|time| grace.covers(time, now));
    if generations_back == 0 {
        // Rotating would remove a time that still decides between retry and reuse.
        if inside_grace(session.superseded.next_removed()) {
            return RotationDecision::Retry;
        }
        return RotationDecision::Rotate;
    }
    if inside_grace(session.superseded.at(generations_back))
        || session.is_retry_by_key(presented, now)
    {
        return RotationDecision::Retry;
    }
    if session.may_have_been_a_retry(presented, generations_back, now, grace) {
        return RotationDecision::Indeterminate;
    }
    RotationDecision::Reuse
}
