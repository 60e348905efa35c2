//! The names of the promises.

/// A promise. The names are those of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// After an end was acknowledged, no later request of that session succeeds, anywhere.
    I1,
    /// A token has one successor, and a session never goes back or forks.
    I2,
    /// A token presented later than grace after its rotation is refused, and its session is ended.
    I3,
    /// A legitimate client is never refused.
    I4,
    /// A lost response is always recovered.
    I5,
    /// An acknowledged account or password is never lost, and the one before it never comes back.
    I6,
    /// A change that was not acknowledged is wholly done or not at all.
    I7,
    /// A session or token that has ended stays ended, after every restart and every loss of the fast copy.
    I8,
    /// With all databases down, requests neither succeed nor are refused: they are retryable.
    I9,
    /// An expired access token is accepted nowhere.
    I10,
    /// Guesses at a password are bounded.
    I11,
    /// The service is available, except shortly after a fault.
    I12,
    /// No secret is in a log or a database.
    I13,
    /// A run without enough events of each kind proves nothing.
    I14,
    /// Authority that a change of roles or of the password takes away is refused from its acknowledgement on.
    I15,
    /// A user has no more sessions than the limit, and the one that ends is the least recently used.
    I16,
    /// One enabled administrator is always left.
    I17,
    /// Guesses of strangers do not lock out a known device.
    I18,
    /// A process whose clock is ahead does not start, and is not ready when that happens while it runs.
    I19,
    /// All sessions of a user end at once, however many there are.
    I20,
}

impl Rule {
    /// All of them, in order.
    pub const ALL: [Self; 20] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
        Self::I13,
        Self::I14,
        Self::I15,
        Self::I16,
        Self::I17,
        Self::I18,
        Self::I19,
        Self::I20,
    ];

    /// Returns what is promised, in a few words.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::I1 => "an ended session answers nothing",
            Self::I2 => "one successor per token",
            Self::I3 => "a token presented after grace ends its session",
            Self::I4 => "a legitimate client is never refused",
            Self::I5 => "a lost answer is recovered",
            Self::I6 => "acknowledged accounts and passwords stay",
            Self::I7 => "unacknowledged is all or nothing",
            Self::I8 => "what has ended stays ended",
            Self::I9 => "with the databases away: neither yes nor no",
            Self::I10 => "an expired token is let in nowhere",
            Self::I11 => "guesses are bounded",
            Self::I12 => "the service is there",
            Self::I13 => "secrets are nowhere",
            Self::I14 => "the run saw enough",
            Self::I15 => "a role that was taken away is gone",
            Self::I16 => "sessions per user are limited",
            Self::I17 => "an enabled administrator is left",
            Self::I18 => "strangers lock nobody out of a known device",
            Self::I19 => "a fast clock does not start",
            Self::I20 => "any number of sessions ends at once",
        }
    }
}
