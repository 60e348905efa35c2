//! A flood of wrong logins from one address at one account, while others refresh and check.

use crate::adapter::Adapter;
use crate::clients::{NO_REFRESH, Refresher};
use crate::entries::{ALL, Entry};
use crate::rounds::{Measurement, Side, TableHead, lengthened, round};
use crate::server::{Server, Stores};
use crate::support::connection::HttpResponse;
use crate::support::flood::Flood;
use crate::support::load::{CONNECTIONS, RepeatedRequest, RequestScript, run};
use crate::support::service::person;

/// The tables.
pub(crate) const TABLES: [TableHead; 2] = [
    TableHead {
        kind: "refresh",
        name: "flood-refresh",
        title: "Refreshes by 32 connections while 200 others guess a password",
    },
    TableHead {
        kind: "check",
        name: "flood-check",
        title: "Checks by 32 connections while 200 others guess a password",
    },
];

/// Connections that guess, each again as soon as it is answered.
const GUESSING: usize = 200;

/// The default throttle of Latchet; the peers have none.
const THROTTLE: [(&str, &str); 3] = [
    ("LATCHET_THROTTLE_IP", "100/15m"),
    ("LATCHET_THROTTLE_ACCOUNT", "30/15m"),
    ("LATCHET_THROTTLE_ACCOUNT_IP", "10/15m"),
];

/// Either of those who use the server meanwhile.
enum Honest {
    Refreshes(Box<Refresher>),
    Checks(RepeatedRequest),
}

impl RequestScript for Honest {
    fn request(&mut self) -> &[u8] {
        match self {
            Self::Refreshes(client) => client.request(),
            Self::Checks(client) => client.request(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Refreshes(client) => client.kind(),
            Self::Checks(_) => "check",
        }
    }

    fn on_response(&mut self, response: HttpResponse<'_>) {
        match self {
            Self::Refreshes(client) => client.on_response(response),
            Self::Checks(client) => client.on_response(response),
        }
    }
}

/// Returns the servers. A new process serves each round: the cost of a flood before it is refused is a part
/// of it.
pub(crate) fn sides(is_wanted: impl Fn(&Entry) -> bool, stores: Stores<'_>) -> Vec<Side<'_>> {
    let entries = ALL.into_iter().filter(is_wanted);
    let side = |entry: Entry| Side {
        name: entry.name.to_owned(),
        measure: measurement(entry, stores),
        lacks: Adapter::read(entry.adapter)
            .refresh
            .is_none()
            .then_some(("refresh", NO_REFRESH)),
    };
    entries.map(side).collect()
}

fn measurement(entry: Entry, stores: Stores<'_>) -> Measurement<'_> {
    entry.no_login.map_or(Ok(()), Err)?;
    Ok(lengthened(Box::new(move |window| {
        let server = Server::start(entry, stores, &THROTTLE);
        let honest = honest(&server);
        let mut guess = server.account(&person(0));
        guess.insert(
            "password".to_owned(),
            "a wrong password of the flood".to_owned(),
        );
        let guesses = vec![server.adapter.login.bytes(&guess); GUESSING];
        let flood = Flood::start(server.address, guesses);
        let (seen, _) = run(server.target(), honest, window);
        flood.end();
        round(&seen)
    })))
}

/// Returns clients of whom half refresh, if the server has refreshes, and half check.
fn honest(server: &Server<'_>) -> Vec<Honest> {
    let adapter: &Adapter = &server.adapter;
    let mut sessions = server.login(CONNECTIONS);
    let checking = sessions.split_off(CONNECTIONS / 2).into_iter();
    let checking =
        checking.map(|values| Honest::Checks(RepeatedRequest(adapter.check.bytes(&values))));
    let refreshing = sessions.into_iter();
    let refreshing = refreshing.filter_map(|values| Refresher::new(adapter, values).ok());
    let refreshing = refreshing.map(|client| Honest::Refreshes(Box::new(client)));
    refreshing.chain(checking).collect()
}
