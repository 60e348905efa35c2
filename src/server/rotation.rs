//! The state machine of rotation: what a refresh token that was shown is worth.
//!
//! Pure: no I/O, no clock, no randomness. The store reads a row into a [`SessionState`], asks
//! [`decide`], and writes [`SessionState::rotated`] back under a condition on the generation it read.

use std::str::FromStr;
use std::time::Duration;

use crate::clock::Time;

mod key;
#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
mod superseded;

pub use key::KeyHash;
pub use superseded::Superseded;

/// What deciding about a session needs to know of its row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionState {
    /// How many times the refresh token was rotated; the current token carries this number.
    pub generation: u64,
    /// When the current generation was made.
    pub rotated_at: Time,
    /// When each earlier generation got its successor.
    pub superseded: Superseded,
    /// With what key the current generation was asked for; `None` without one.
    pub key: Option<KeyHash>,
    /// Absolute end, never extended.
    pub expires_at: Time,
    /// How long the session may rest between two rotations.
    pub idle_limit: Duration,
    /// Why the session was revoked; `None` while it was not.
    pub revoked: Option<RevokeReason>,
}

impl SessionState {
    /// Returns this session one generation later, which was asked for with `key`.
    #[must_use]
    pub fn rotated(&self, key: Option<KeyHash>, now: Time) -> Self {
        Self {
            generation: self.generation + 1,
            rotated_at: now,
            superseded: self.superseded.with(now),
            key,
            expires_at: self.expires_at,
            idle_limit: self.idle_limit,
            revoked: self.revoked,
        }
    }

    /// Returns when the session ends if it is not rotated again.
    pub fn ends_at(&self) -> Time {
        self.expires_at.min(self.rotated_at + self.idle_limit)
    }

    /// Returns how the session has ended by `now`; `None` while it lives.
    pub fn end(&self, now: Time) -> Option<End> {
        if let Some(reason) = self.revoked {
            return Some(End::Revoked(reason));
        }
        (now >= self.ends_at()).then_some(End::Expired)
    }

    /// Returns whether this may have been a replay when it was sent, of which the row has forgotten why.
    ///
    /// What waits here, while others rotate the session, came `now`: times that counted are forgotten. What
    /// comes by a key was a replay until the successor was used, which overwrote the key; it may be as long
    /// on its way as grace allows anything to be.
    fn may_have_been_a_replay(&self, shown: Shown, back: u64, now: Time, grace: Grace) -> bool {
        let is_forgotten = self.superseded.at(back).is_none() && self.rotated_at > now;
        let used_at = back
            .checked_sub(1)
            .and_then(|back| self.superseded.at(back));
        let was_used_lately = used_at.is_some_and(|used| used > now || grace.covers(used, now));
        is_forgotten || (was_used_lately && shown.key.is_some())
    }

    /// Returns whether this asks again for what was answered with the current generation. Once that
    /// was used its answer was not lost, and the generation is another.
    fn is_asked_again(&self, shown: Shown, now: Time) -> bool {
        let keys = self.key.zip(shown.key);
        keys.is_some_and(|(made, shown)| made.matches(&shown))
            && self.generation.checked_sub(shown.generation) == Some(1)
            && now.since(self.rotated_at) < KeyHash::KEPT
    }
}

/// What was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The generation of the refresh token.
    pub generation: u64,
    /// The key that came with it.
    pub key: Option<KeyHash>,
}

/// What a refresh token that was shown is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is the current one: make its successor.
    Rotate,
    /// It has a successor, or must wait for one: answer the current generation and change nothing.
    Replay,
    /// It was superseded longer than grace ago, and not by the key that came with it: somebody kept a
    /// copy. Revoke the session.
    Reuse,
    /// The session was rotated while it waited or was on its way, and the row no longer tells what it was
    /// worth then: refuse for now, and change nothing.
    Undecided,
    /// It is newer than the row, as after a restored backup: refuse and change nothing.
    Unknown,
    /// The session is over.
    Ended(End),
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Its absolute or its idle lifetime is over.
    Expired,
    /// Somebody or something ended it.
    Revoked(RevokeReason),
}

/// Why a session was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokeReason {
    /// Its owner logged out, or ended it from another device.
    Logout,
    /// Its owner ended every session.
    LogoutAll,
    /// A superseded token was shown after grace.
    Reuse,
    /// The password was changed in another session.
    PasswordChanged,
    /// The account was disabled.
    Disabled,
    /// An administrator ended it.
    Admin,
    /// The user logged in once more than sessions are allowed, and this one was the least recently used.
    SessionLimit,
    /// Its owner logged in again in the same browser.
    Replaced,
}

impl RevokeReason {
    const ALL: [Self; 8] = [
        Self::Logout,
        Self::LogoutAll,
        Self::Reuse,
        Self::PasswordChanged,
        Self::Disabled,
        Self::Admin,
        Self::SessionLimit,
        Self::Replaced,
    ];

    /// Returns the reason as it stands in the database and in the log.
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
        }
    }
}

/// A text that should be a [`RevokeReason`], a [`Superseded`] or a [`Grace`] is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct Malformed {
    text: String,
    expected: &'static str,
}

impl FromStr for RevokeReason {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| Malformed {
                text: text.to_owned(),
                expected: "a reason to revoke",
            })
    }
}

/// How long a superseded token still answers, from nothing to a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(Duration);

impl Grace {
    /// No grace: every superseded token is reuse.
    pub const STRICT: Self = Self(Duration::ZERO);
    /// The default: longer than a retry takes, shorter than a thief needs to be noticed.
    pub const TEN_SECONDS: Self = Self(Duration::from_secs(10));
    /// The longest grace there may be. A thief goes unseen for this long.
    pub const MAX: Self = Self(Duration::from_mins(1));

    /// Returns this grace, or `None` when it is longer than [`Grace::MAX`].
    pub fn new(duration: Duration) -> Option<Self> {
        (duration <= Self::MAX.0).then_some(Self(duration))
    }

    /// Returns whether there is none.
    pub const fn is_strict(self) -> bool {
        self.0.is_zero()
    }

    /// Returns how long it is.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Returns whether a generation superseded at `superseded_at` still answers.
    ///
    /// A time ahead of `now` counts as this moment: replicas' clocks differ, and an honest retry
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

/// Decides what a refresh token is worth.
///
/// Ordered by generation and never by clock, because clocks of replicas differ and two rotations
/// may share a millisecond. Any ancestor inside grace is a replay, not only the parent: two tabs
/// that rotate in turn leave a slow third request several generations behind, and it is honest. The
/// key counts for the parent only: it stands for an answer that nobody has used yet.
pub fn decide(session: &SessionState, shown: Shown, now: Time, grace: Grace) -> Decision {
    if let Some(end) = session.end(now) {
        return Decision::Ended(end);
    }
    let Some(back) = session.generation.checked_sub(shown.generation) else {
        return Decision::Unknown;
    };
    let inside_grace = |time: Option<Time>| time.is_some_and(|time| grace.covers(time, now));
    if back == 0 {
        // Rotating would forget a time that still decides between replay and reuse.
        if inside_grace(session.superseded.next_forgotten()) {
            return Decision::Replay;
        }
        return Decision::Rotate;
    }
    if inside_grace(session.superseded.at(back)) || session.is_asked_again(shown, now) {
        return Decision::Replay;
    }
    if session.may_have_been_a_replay(shown, back, now, grace) {
        return Decision::Undecided;
    }
    Decision::Reuse
}
