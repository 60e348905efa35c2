//! What clients saw: a file of JSON lines, the only thing that the checker reads.
//!
//! Times are microseconds of one monotonic clock since the run began. No line holds a secret:
//! tokens stand there as generation and digest, passwords as numbers.

use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// The first line: what the run promises.
    Head(Head),
    /// A request and what became of it.
    Op(Box<Op>),
    /// Something that the nemesis did.
    Fault(Fault),
    /// A process that was started with a wrong clock.
    Start(Start),
    /// A process that was asked whether it is ready, while its clock was wrong.
    Readiness(Readiness),
    /// A secret that was found where none may be.
    Leak(Leak),
}

/// What a run was, and the settings that its rules depend on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Which processes were there: `a`, `b` or `c`.
    pub topology: String,
    /// What the choices of clients and nemesis were drawn from.
    pub seed: u64,
    /// How long clients and nemesis were at it.
    pub seconds: u64,
    /// How long a superseded token still answers.
    pub grace: u64,
    /// How long after a fault the service may take to be whole again.
    pub recovery: u64,
    /// Wrong passwords that one account takes before it is refused.
    pub guesses: usize,
    /// Shortest lifetime of an access token that a process was set to; absent where all have the same.
    #[serde(default)]
    pub shortest_life: Option<u64>,
    /// Sessions that one user may have at once; absent where nothing limits them.
    #[serde(default)]
    pub max_sessions: Option<usize>,
    /// Users who are administrators when the run begins.
    #[serde(default)]
    pub administrators: Vec<String>,
}

/// A request of a client. Retries are requests of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Op {
    /// Who asked.
    pub who: Who,
    /// Whose account it is about.
    pub user: String,
    /// What was asked.
    pub act: Act,
    /// The session that asked, or that a login made; absent where there is none.
    pub session: Option<String>,
    /// The refresh token that was shown.
    pub shown: Option<Token>,
    /// The key that was shown with it, as a number.
    pub key: Option<u64>,
    /// The refresh token that was answered.
    pub given: Option<Token>,
    /// When the access token that was shown ends; absent where none was shown.
    pub expires: Option<u64>,
    /// The request that returned the access token that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Span>,
    /// The roles of the user according to the answer: those of its access token, or `Remote-Roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Number of sessions that the response lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<usize>,
    /// True when a login proved that an earlier one on this device had succeeded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known_device: bool,
    /// Which process was asked.
    pub replica: usize,
    /// When the request was sent.
    pub start: u64,
    /// When the answer was there, or was given up.
    pub end: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// The time from when a request was sent to when its answer was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When the request was sent.
    pub start: u64,
    /// When the answer was there.
    pub end: u64,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Someone with a right to: nothing of what an honest client does may be refused.
    Honest,
    /// Someone with a copy of another's token.
    Thief,
    /// Someone who guesses passwords.
    Guesser,
    /// One of many who try passwords at once, of accounts that there are not.
    Flooder,
    /// Someone who looks whether what has ended stays ended, with tokens of honest clients.
    Prober,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Act {
    /// An administrator makes the account.
    SignUp {
        /// Its first password.
        password: u32,
    },
    /// A login.
    LogIn {
        /// The password shown.
        password: u32,
    },
    /// A request with an access token.
    Check,
    /// A request with an access token that only administrators may send.
    Govern,
    /// A proxy's question whether a request may pass.
    Verify,
    /// A fresh access token for the password.
    Reauthenticate,
    /// A list of the live sessions of the user.
    ListSessions,
    /// A rotation.
    Refresh,
    /// The session's own end.
    LogOut,
    /// The end of another session of the user.
    Revoke {
        /// The session to be ended.
        target: String,
    },
    /// The end of every session of the user.
    LogOutEverywhere,
    /// A new password, which ends all other sessions of the user.
    ChangePassword {
        /// The new one.
        password: u32,
    },
    /// An administrator shuts the account, which ends every session of the user.
    Disable,
    /// An administrator opens it again.
    Enable,
    /// An administrator, or whose account it is, replaces the roles of the account.
    SetRoles {
        /// The new ones.
        roles: Vec<String>,
    },
}

/// A refresh token, told without giving it away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The session it is of.
    pub session: String,
    /// Which of the session's tokens.
    pub generation: u64,
    /// Tells two tokens apart.
    pub digest: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was refused, with this `code`.
    No {
        /// The stable name of the reason.
        code: String,
    },
    /// It may or may not have been done: no answer, or one that says that it may be tried again.
    Unknown {
        /// The `code` of the answer, or what became of the connection.
        code: String,
    },
}

/// Something that the nemesis did, and until when it lasted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// What it is called.
    pub name: String,
    /// When it began.
    pub start: u64,
    /// When all was as before, as far as the nemesis can tell.
    pub end: u64,
    /// Until when nothing that sessions are kept in could be asked; absent where something could.
    pub blackout: Option<u64>,
    /// Who is served while it lasts.
    #[serde(default)]
    pub spares: Spares,
}

/// A process that was started with a wrong clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Which process.
    pub replica: usize,
    /// Seconds that its clock was ahead of the database's.
    pub ahead: u64,
    /// When it was started.
    pub start: u64,
    /// When it had ended or was ready.
    pub end: u64,
    /// True when it became ready.
    pub is_ready: bool,
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
}

/// A process that was asked whether it is ready, while its clock was wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// Seconds that its clock was ahead of the database's.
    pub ahead: u64,
    /// When its clock was set, while it ran.
    pub since: u64,
    /// When it was asked.
    pub start: u64,
    /// True when it said that it was ready.
    pub is_ready: bool,
}

/// Who is served while a fault lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spares {
    /// Nobody may count on it.
    #[default]
    Nobody,
    /// Who has a session.
    Sessions,
    /// Everybody, as if nothing were.
    Everybody,
}

/// A secret that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leak {
    /// Where.
    pub place: String,
    /// What kind of secret.
    pub what: String,
}

impl Op {
    /// Returns how long it took.
    pub fn span(&self) -> Span {
        Span {
            start: self.start,
            end: self.end,
        }
    }

    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Whether it was refused.
    pub fn is_no(&self) -> bool {
        matches!(self.outcome, Outcome::No { .. })
    }

    /// Whether it may have been done or not.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown { .. })
    }

    /// Why it was not done; empty when it was.
    pub fn code(&self) -> &str {
        match &self.outcome {
            Outcome::Ok => "",
            Outcome::No { code } | Outcome::Unknown { code } => code,
        }
    }
}
