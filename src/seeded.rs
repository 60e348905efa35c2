//! Bugs on purpose: each can be switched on to show that the checker of `chaos/` finds it.
//!
//! No build that is meant for use has the feature `seeded-bugs`. Without it every question here is
//! `false` when the program is compiled, and nothing of a bug is left.

#[cfg(all(feature = "seeded-bugs", not(debug_assertions)))]
compile_error!(
    "the feature `seeded-bugs` is for debug builds alone: it breaks what Latchet promises"
);

/// Defines the bugs and their names.
macro_rules! bugs {
    ($($(#[doc = $text:literal])+ $bug:ident,)+) => {
        /// What can be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "most are the server's"))]
        pub(crate) enum Bug { $($(#[doc = $text])+ $bug,)+ }

        #[cfg(feature = "seeded-bugs")]
        const ALL: &[(&str, Bug)] = &[$((stringify!($bug), Bug::$bug),)+];
    };
}

bugs! {
    /// Only the parent of the current token is a replay: two tabs log each other out.
    ParentOnly,
    /// A superseded token answers for ever.
    NoReuseDetection,
    /// A retry counts as theft.
    NoGrace,
    /// Grace is counted from the latest rotation, so that a busy session never ends it.
    GraceFromLatestRotation,
    /// The key of a retry is not looked at.
    RetryKeyIgnored,
    /// Any key opens a token that was superseded.
    RetryKeyOfAnybody,
    /// A replay makes a successor of its own.
    ReplayRotates,
    /// The token is never rotated.
    NeverRotates,
    /// The successor is another one each time.
    RandomSuccessor,
    /// Refreshes are answered, and then written.
    AnswerBeforeCommit,
    /// The last of each batch is never answered.
    BatchLosesOne,
    /// Those who share a batch get each other's answers.
    BatchSwapsAnswers,
    /// A rotation writes the row back as it was read, revocation included.
    WholeRowWriteBack,
    /// What ends a session ends its refresh token alone.
    AccessTokenOutlivesLogout,
    /// The end is acknowledged, and then told to those who check.
    AcknowledgeBeforeDeny,
    /// A session that ended by reuse keeps its access tokens.
    ReuseNotDenied,
    /// One stolen token ends all sessions of the user.
    ReuseEndsAllSessions,
    /// The end by reuse is rolled back, because the request is refused.
    ReuseRolledBack,
    /// A changed password leaves the access tokens of other sessions alive.
    PasswordKeepsAccess,
    /// A changed password is acknowledged and not kept.
    PasswordNotKept,
    /// A disabled account keeps its access tokens.
    DisabledKeepsAccess,
    /// An enabled account gets the sessions back that had ended.
    EnablingRevives,
    /// Guesses are counted and never refused.
    ThrottleOnlyCounts,
    /// With nothing to ask, nobody is denied.
    FailOpen,
    /// With nothing to ask, everybody is denied.
    UnavailableIsRefusal,
    /// A mark in Redis is believed, whichever server carries it.
    MarkAloneIsTrusted,
    /// What Redis does not know is not denied, filled or not.
    RedisIsAlwaysTrusted,
    /// A Redis that takes no denials is not told of again.
    RedisFaultsAreIgnored,
    /// Revocations are deleted while tokens live that they are about.
    GarbageTooEarly,
    /// A token that was seen once is not asked for its end again.
    CacheIgnoresExpiry,
    /// A system clock that was set is followed at once.
    JumpBelieved,
    /// Passwords stand in the log.
    PasswordIsLogged,
}

/// Whether this is the bug that is switched on.
#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn is_on(_: Bug) -> bool {
    false
}

/// Whether this is the bug that is switched on.
#[cfg(feature = "seeded-bugs")]
pub(crate) fn is_on(bug: Bug) -> bool {
    static ON: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(chosen);
    *ON == Some(bug)
}

#[cfg(feature = "seeded-bugs")]
#[expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "no setting of a server that is meant for use; a wrong name must not look like no bug"
)]
fn chosen() -> Option<Bug> {
    let name = std::env::var("SEEDED_BUG").ok()?;
    let found = ALL.iter().find(|(known, _)| *known == name);
    Some(
        found
            .unwrap_or_else(|| panic!("there is no seeded bug {name:?}"))
            .1,
    )
}
