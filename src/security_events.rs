//! Security events, which administrators can read afterwards. Logins, refreshes and logouts are no
//! such events.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use poem_openapi::Enum;

use super::ids::{SessionId, UserId};

/// Kind of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename = "EventName", rename_all = "snake_case")]
pub enum EventKind {
    /// A superseded refresh token was presented after grace: a sign of theft. Its session was ended.
    RefreshReused,
    /// Too many attempts on an account, which is named if it exists, or from an address. The event is
    /// recorded once, when the throttle begins to refuse logins.
    LoginThrottled,
    /// A password was set by its owner, or on the command line.
    PasswordChanged,
    /// A password was set by a link or a mailed code.
    PasswordReset,
    /// A link that sets a password was created.
    ResetLinkMade,
    /// A link that sets a password was withdrawn before it was used.
    ResetLinkWithdrawn,
    /// An account was created.
    UserCreated,
    /// An account was disabled.
    UserDisabled,
    /// A disabled account was enabled.
    UserEnabled,
    /// The roles of a user were changed.
    RolesChanged,
    /// One session was ended by an administrator, or all of a user by an administrator or that user.
    SessionsEnded,
    /// A login ended the least recently used session of its user, because of the limit of sessions.
    SessionLimitReached,
    /// A signing key was created that takes over.
    KeyRotated,
    /// Values that the previous root secret had sealed were sealed under the current one. An interrupted
    /// rotation records another one when it is completed.
    RootSecretRotated,
    /// The root secret leaked and was replaced: earlier signing keys are refused, and all sessions ended.
    RootSecretReplaced,
    /// The first administrator was created, by the link or from the settings.
    FirstAdministrator,
    /// The database was restored from a backup: every session ended, and a new signing key replaced all
    /// others.
    DatabaseRestored,
    /// A credential of a service ended: it was removed from the settings, or revoked on the command line. The
    /// session of the event is the `sid` of its tokens.
    ServiceCredentialEnded,
    /// A user proved an e-mail address by a link or a code that was mailed to it.
    EmailVerified,
    /// A user removed a verified e-mail address.
    EmailRemoved,
    /// A user made another verified address the one that receives notices.
    PrimaryEmailChanged,
    /// An account was deleted, by its user, an administrator or the operator. Only its id is kept, in the events.
    UserDeleted,
    /// A mail could not be delivered for a day, or was refused, and was given up.
    MailFailed,
}

impl EventKind {
    pub(crate) const ALL: [Self; 23] = [
        Self::RefreshReused,
        Self::LoginThrottled,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::ResetLinkMade,
        Self::ResetLinkWithdrawn,
        Self::UserCreated,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::RolesChanged,
        Self::SessionsEnded,
        Self::SessionLimitReached,
        Self::KeyRotated,
        Self::RootSecretRotated,
        Self::RootSecretReplaced,
        Self::FirstAdministrator,
        Self::DatabaseRestored,
        Self::ServiceCredentialEnded,
        Self::EmailVerified,
        Self::EmailRemoved,
        Self::PrimaryEmailChanged,
        Self::UserDeleted,
        Self::MailFailed,
    ];

    /// Returns the name of the kind in the database and in responses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefreshReused => "refresh_reused",
            Self::LoginThrottled => "login_throttled",
            Self::PasswordChanged => "password_changed",
            Self::PasswordReset => "password_reset",
            Self::ResetLinkMade => "reset_link_made",
            Self::ResetLinkWithdrawn => "reset_link_withdrawn",
            Self::UserCreated => "user_created",
            Self::UserDisabled => "user_disabled",
            Self::UserEnabled => "user_enabled",
            Self::RolesChanged => "roles_changed",
            Self::SessionsEnded => "sessions_ended",
            Self::SessionLimitReached => "session_limit_reached",
            Self::KeyRotated => "key_rotated",
            Self::RootSecretRotated => "root_secret_rotated",
            Self::RootSecretReplaced => "root_secret_replaced",
            Self::FirstAdministrator => "first_administrator",
            Self::DatabaseRestored => "database_restored",
            Self::ServiceCredentialEnded => "service_credential_ended",
            Self::EmailVerified => "email_verified",
            Self::EmailRemoved => "email_removed",
            Self::PrimaryEmailChanged => "primary_email_changed",
            Self::UserDeleted => "user_deleted",
            Self::MailFailed => "mail_failed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not the name of an [`EventKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind of event")]
pub struct UnknownEventKind(String);

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownEventKind(text.to_owned()))
    }
}

/// Originator of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The operator, by the command line or the settings.
    Operator,
    /// A client that is not authenticated.
    Anonymous {
        /// Address of the client.
        ip: IpAddr,
    },
    /// A user, by an access token.
    User {
        /// The user.
        id: UserId,
        /// The session of the token.
        session: Option<SessionId>,
        /// The id of the token.
        jti: String,
        /// The authority version that the token carries.
        authority_version: u64,
        /// Address of the client.
        ip: IpAddr,
    },
}

impl Actor {
    /// Returns the user, if it is one.
    pub fn id(&self) -> Option<&UserId> {
        match self {
            Self::User { id, .. } => Some(id),
            Self::Operator | Self::Anonymous { .. } => None,
        }
    }

    /// Returns the session of the user's token.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::User { session, .. } => session.as_ref(),
            Self::Operator | Self::Anonymous { .. } => None,
        }
    }

    /// Returns the address of the client.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Operator => None,
            Self::Anonymous { ip } | Self::User { ip, .. } => Some(*ip),
        }
    }

    /// Returns whether the originator is this user.
    pub fn is_user(&self, user: &UserId) -> bool {
        self.id() == Some(user)
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON;

    use super::*;

    #[test]
    fn event_kinds_are_parsed_from_their_names() {
        for kind in EventKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.to_json(), Some(kind.as_str().into()));
        }
        assert!("login".parse::<EventKind>().is_err());
    }
}
