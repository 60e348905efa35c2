//! The history of a run as clients saw it: a file of JSON lines, the only input of the checker.
//!
//! Times are microseconds of one monotonic clock since the run began. No line holds a secret:
//! tokens are recorded as generation and digests, passwords as numbers.

use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum HistoryLine {
    /// The first line: the settings and promises of the run.
    RunSettings(RunSettings),
    /// A request and its outcome.
    Operation(Box<Operation>),
    /// A fault that the nemesis injected.
    InjectedFault(InjectedFault),
    /// A process that was started with a wrong clock.
    ProcessStart(ProcessStart),
    /// A readiness check of a process with a wrong clock.
    ReadinessCheck(ReadinessCheck),
    /// A secret that was found where none may be.
    LeakedSecret(LeakedSecret),
}

/// Description of a run, and the settings that its rules depend on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSettings {
    /// Topology of the processes: `a`, `b` or `c`.
    pub topology: String,
    /// Seed of all choices of clients and nemesis.
    pub seed: u64,
    /// Length of the run in seconds.
    pub seconds: u64,
    /// Grace period of a superseded token in microseconds.
    pub grace: u64,
    /// Time in which the service must recover after a fault, in microseconds.
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
pub struct Operation {
    /// Sender of the request.
    pub sender: Sender,
    /// Name of the account that the request is about.
    pub user: String,
    /// Requested action.
    pub action: Action,
    /// The session that asked, or that a login made; absent where there is none.
    pub session: Option<String>,
    /// The presented refresh token.
    pub presented: Option<TokenIdentity>,
    /// The idempotency key sent with it, as a number.
    pub key: Option<u64>,
    /// The refresh token of the response.
    pub given: Option<TokenIdentity>,
    /// Expiry of the presented access token; absent where none was presented.
    pub expires: Option<u64>,
    /// The request that returned the presented access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<TimeSpan>,
    /// The roles of the user according to the response: those of its access token, or `Remote-Roles`.
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
    /// When the response arrived, or the client gave up.
    pub end: u64,
    /// Outcome of the request.
    pub outcome: RequestOutcome,
}

/// The time from a request to its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSpan {
    /// When the request was sent.
    pub start: u64,
    /// When the response arrived.
    pub end: u64,
}

/// Kind of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// A legitimate client: none of its requests may be refused.
    Honest,
    /// A client with a copy of another client's token.
    Thief,
    /// A client that guesses passwords.
    Guesser,
    /// One of many clients that try passwords of unknown accounts at once.
    Flooder,
    /// A client that checks that ended sessions stay ended, with tokens of legitimate clients.
    Prober,
}

/// Action of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// An administrator creates the account.
    SignUp {
        /// Its first password.
        password: u32,
    },
    /// A login.
    LogIn {
        /// The password presented.
        password: u32,
    },
    /// A request with an access token.
    Check,
    /// A request with an access token that only administrators may send.
    Govern,
    /// Forward authentication of a request for a proxy.
    Verify,
    /// A fresh access token for the password.
    Reauthenticate,
    /// A list of the live sessions of the user.
    ListSessions,
    /// A rotation.
    Refresh,
    /// A logout.
    LogOut,
    /// The end of another session of the user, by its id.
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
    /// An administrator disables the account, which ends every session of the user.
    Disable,
    /// An administrator enables the account again.
    Enable,
    /// An administrator, or the owner, replaces the roles of the account.
    SetRoles {
        /// The new ones.
        roles: Vec<String>,
    },
}

/// Identity of a refresh token that does not reveal the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenIdentity {
    /// The session of the token.
    pub session: String,
    /// Generation of the token in its session.
    pub generation: u64,
    /// Digest that distinguishes two tokens of one generation.
    pub digest: u64,
    /// The same without the signature.
    pub signed_digest: u64,
}

/// Outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum RequestOutcome {
    /// It was done.
    Ok,
    /// It was refused with this `code`.
    Refused {
        /// The stable name of the reason.
        code: String,
    },
    /// It may or may not have been done: no response, or a retryable one.
    Unknown {
        /// The `code` of the response, or the error of the connection.
        code: String,
    },
}

/// A fault that the nemesis injected, and its duration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InjectedFault {
    /// Name of the fault.
    pub name: String,
    /// When it began.
    pub start: u64,
    /// When all was as before, as far as the nemesis knows.
    pub end: u64,
    /// End of the time in which no database was reachable; absent where one was.
    pub blackout: Option<u64>,
    /// Clients that are served while it lasts.
    #[serde(default)]
    pub serves: ServedClients,
}

/// A process that was started with a wrong clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessStart {
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

/// A readiness check of a process with a wrong clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadinessCheck {
    /// Seconds that its clock was ahead of the database's.
    pub ahead: u64,
    /// When its clock was set, while it ran.
    pub since: u64,
    /// When it was asked.
    pub start: u64,
    /// True when it said that it was ready.
    pub is_ready: bool,
}

/// Clients that are served while a fault lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServedClients {
    /// No client is certain of service.
    #[default]
    Nobody,
    /// Clients with a session.
    Sessions,
    /// All clients, as without a fault.
    Everybody,
}

/// A secret that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeakedSecret {
    /// Place where it was found.
    pub place: String,
    /// Kind of secret.
    pub what: String,
}

impl Operation {
    /// Returns the time from request to response.
    pub fn span(&self) -> TimeSpan {
        TimeSpan {
            start: self.start,
            end: self.end,
        }
    }

    /// True when the action was done.
    pub fn is_ok(&self) -> bool {
        self.outcome == RequestOutcome::Ok
    }

    /// True when the action was refused.
    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, RequestOutcome::Refused { .. })
    }

    /// True when it is unknown whether the action was done.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, RequestOutcome::Unknown { .. })
    }

    /// Returns the code of the refusal or failure; empty when the action was done.
    pub fn code(&self) -> &str {
        match &self.outcome {
            RequestOutcome::Ok => "",
            RequestOutcome::Refused { code } | RequestOutcome::Unknown { code } => code,
        }
    }
}
