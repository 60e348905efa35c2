//! Operations of clients of an auth server.

use crate::adapter::Request;
use crate::clients::{MixedClient, Refresher};
use crate::logout;
use crate::rounds::{ALL_KINDS, Measurement, Side, TableHead, continued, lengthened};
use crate::server::Server;
use crate::support::load::{CONNECTIONS, RepeatedRequest};
use crate::support::service::person;
use crate::support::storm::{ASKED, people};

/// People who log in during a login storm: enough that a hash always waits.
const STORMING: usize = 16;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Login,
    Verify,
    Me,
    Introspect,
    Refresh,
    Logout,
    Storm,
    Mixed,
}

/// Returns the only table of an operation.
const fn table(name: &'static str, title: &'static str) -> TableHead {
    TableHead {
        kind: ALL_KINDS,
        name,
        title,
    }
}

/// Returns the table of one kind of the requests of an operation.
const fn part(kind: &'static str, name: &'static str, title: &'static str) -> TableHead {
    TableHead { kind, name, title }
}

const LOGIN: [TableHead; 1] = [table("login", "Login, 64 connections")];
const VERIFY: [TableHead; 1] = [table(
    "verify",
    "Check of an access token (`/v1/verify`), 64 connections",
)];
const ME: [TableHead; 1] = [table(
    "me",
    "Profile of the caller (`/v1/me`), 64 connections",
)];
const INTROSPECT: [TableHead; 1] = [table(
    "introspect",
    "Introspection of an access token, 64 connections",
)];
const REFRESH: [TableHead; 1] = [table(
    "refresh",
    "Refresh, 64 clients, each with its newest token",
)];
const LOGOUT: [TableHead; 1] = [table(
    "logout",
    "Logout, 64 connections, of sessions that were opened before",
)];
const STORM: [TableHead; 1] = [part(
    ASKED,
    "check-in-a-login-storm",
    "Checks by 64 connections while 16 others log in",
)];
const MIXED: [TableHead; 5] = [
    table(
        "mixed",
        "80 % checks, 15 % refreshes, 4 % logins, 1 % logouts by 64 clients",
    ),
    part("check", "mixed-check", "Checks of the mixed load"),
    part("refresh", "mixed-refresh", "Refreshes of the mixed load"),
    part("login", "mixed-login", "Logins of the mixed load"),
    part("logout", "mixed-logout", "Logouts of the mixed load"),
];

impl Operation {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 8] = [
        Self::Login,
        Self::Verify,
        Self::Me,
        Self::Introspect,
        Self::Refresh,
        Self::Logout,
        Self::Storm,
        Self::Mixed,
    ];

    /// Those that are measured on slow databases.
    pub(crate) const SLOW: [Self; 4] = [Self::Login, Self::Verify, Self::Refresh, Self::Logout];

    /// Returns its tables.
    pub(crate) fn tables(self) -> &'static [TableHead] {
        match self {
            Self::Login => &LOGIN,
            Self::Verify => &VERIFY,
            Self::Me => &ME,
            Self::Introspect => &INTROSPECT,
            Self::Refresh => &REFRESH,
            Self::Logout => &LOGOUT,
            Self::Storm => &STORM,
            Self::Mixed => &MIXED,
        }
    }

    /// Prepares a server for it.
    pub(crate) fn side<'a>(self, server: &'a Server<'a>) -> Side<'a> {
        Side {
            name: server.entry.name.to_owned(),
            measure: self.prepare(server),
            lacks: None,
        }
    }

    fn prepare<'a>(self, server: &'a Server<'a>) -> Measurement<'a> {
        let (adapter, target) = (&server.adapter, server.target());
        let has_login = server.entry.no_login.map_or(Ok(()), Err);
        Ok(match self {
            Self::Login => {
                has_login?;
                lengthened(continued(target, logins(server, CONNECTIONS)))
            }
            Self::Verify => continued(target, requests(server, &adapter.check)),
            Self::Me => {
                let me = adapter.me.as_ref().unwrap_or(&adapter.check);
                continued(target, requests(server, me))
            }
            Self::Introspect => {
                let introspect = adapter.introspect.as_ref();
                let introspect = introspect.ok_or("has none, or none that a token opens")?;
                continued(target, requests(server, introspect))
            }
            Self::Refresh => {
                let clients = server.login(CONNECTIONS).into_iter();
                let clients = clients.map(|values| Refresher::new(adapter, values));
                continued(target, clients.collect::<Result<_, _>>()?)
            }
            Self::Logout => logout::continued(server),
            Self::Storm => {
                has_login?;
                let asking = requests(server, &adapter.check);
                continued(target, people(logins(server, STORMING), asking))
            }
            Self::Mixed => {
                has_login?;
                let clients = server.login(CONNECTIONS).into_iter().zip(1..);
                let clients = clients.map(|(values, seed)| MixedClient::new(adapter, values, seed));
                lengthened(continued(target, clients.collect::<Result<_, _>>()?))
            }
        })
    }
}

/// Returns the same request with the token of a different session for each connection.
fn requests(server: &Server<'_>, request: &Request) -> Vec<RepeatedRequest> {
    let sessions = server.login(CONNECTIONS).into_iter();
    sessions
        .map(|values| RepeatedRequest(request.bytes(&values)))
        .collect()
}

/// Returns the logins of different people.
fn logins(server: &Server<'_>, count: usize) -> Vec<RepeatedRequest> {
    let login = |number| server.adapter.login.bytes(&server.account(&person(number)));
    (0..count).map(login).map(RepeatedRequest).collect()
}
