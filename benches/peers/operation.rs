//! Operations of clients of an auth server.

use std::time::Duration;

use crate::Options;
use crate::adapter::{Adapter, Request, Values};
use crate::report::{Cpu, Figures, Row};
use crate::server::Server;
use crate::support::load::{
    CONNECTIONS, LoadResult, RepeatedRequest, RequestScript, WARM_UP, run, run_until_done,
};
use crate::support::storm::{people, waits};

/// People who log in at once: enough that a hash always waits.
const WAITING: usize = 16;

/// Sessions that each connection of the logouts ends. A login costs so much that more of them would be
/// most of the run.
const ENDED: usize = 4;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Login,
    Check,
    Refresh,
    Logout,
    Storm,
}

impl Operation {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 5] = [
        Self::Login,
        Self::Check,
        Self::Refresh,
        Self::Logout,
        Self::Storm,
    ];

    /// Returns what a filter matches.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Check => "check",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
            Self::Storm => "check-in-a-login-storm",
        }
    }

    /// Returns what is done, for the head of a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Login => "Login, 16 connections",
            Self::Check => "Check of an access token, 64 connections",
            Self::Refresh => "Refresh, 64 clients, each with its newest token",
            Self::Logout => "Logout of 256 sessions, 64 connections",
            Self::Storm => "Checks by 64 connections while 16 others log in",
        }
    }

    /// Measures it on all servers in turns; the rows are in the order of the servers.
    pub(crate) fn measure(self, servers: &[Server<'_>], options: &Options) -> Vec<Row> {
        let mut all: Vec<Result<BenchSide<'_>, &'static str>> = servers
            .iter()
            .map(|server| BenchSide::of(self, server))
            .collect();
        for _ in 0..options.rounds {
            for side in all.iter_mut().flatten() {
                side.measure(options.window());
            }
        }
        let rows = servers.iter().zip(all).map(|(server, side)| match side {
            Ok(side) => Row::measured(server.entry.name, &side.rounds),
            Err(why) => Row::without(server.entry.name, why),
        });
        rows.collect()
    }
}

/// A client that refreshes as soon as it can, each time with the token it was given last.
struct Refresher {
    adapter: Adapter,
    form: Request,
    values: Values,
    request: Vec<u8>,
}

impl RequestScript for Refresher {
    fn request(&mut self) -> &[u8] {
        self.request = self.form.bytes(&self.values);
        &self.request
    }

    fn on_response(&mut self, body: &[u8]) {
        let next = self.adapter.refreshed(body);
        let token = self.values.insert("refresh".to_owned(), next.clone());
        assert_ne!(token, Some(next), "a token used once has a successor");
    }
}

/// Requests that are each sent once.
struct OneRequestEach(Vec<Vec<u8>>, Vec<u8>);

impl RequestScript for OneRequestEach {
    fn request(&mut self) -> &[u8] {
        self.1 = self.0.pop().unwrap_or_default();
        &self.1
    }

    fn on_response(&mut self, _body: &[u8]) {}

    fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// State of an operation between rounds.
enum Work {
    Repeats(Vec<RepeatedRequest>),
    Refreshes(Vec<Refresher>),
    Logouts,
    Storm(Vec<RepeatedRequest>),
}

/// A server under one operation.
struct BenchSide<'a> {
    server: &'a Server<'a>,
    work: Work,
    rounds: Vec<Figures>,
}

impl<'a> BenchSide<'a> {
    /// Prepares one, or says why there is none.
    fn of(operation: Operation, server: &'a Server<'a>) -> Result<Self, &'static str> {
        let adapter = &server.adapter;
        let checks = || {
            let sessions = server.login(CONNECTIONS).into_iter();
            sessions
                .map(|values| RepeatedRequest(adapter.check.bytes(&values)))
                .collect()
        };
        let has_login = server.entry.no_login.map_or(Ok(()), Err);
        let work = match operation {
            Operation::Login => {
                has_login?;
                Work::Repeats(logins(server))
            }
            Operation::Check => Work::Repeats(checks()),
            Operation::Refresh => {
                let form = adapter.refresh.as_ref();
                let form = form.ok_or("has none: a session is a cookie that stays")?;
                let refreshers = server.login(CONNECTIONS).into_iter();
                let refreshers = refreshers.map(|values| Refresher {
                    adapter: adapter.clone(),
                    form: form.clone(),
                    values,
                    request: Vec::new(),
                });
                Work::Refreshes(refreshers.collect())
            }
            Operation::Logout => Work::Logouts,
            Operation::Storm => {
                has_login?;
                Work::Storm(checks())
            }
        };
        Ok(Self {
            server,
            work,
            rounds: Vec::new(),
        })
    }

    fn measure(&mut self, window: Duration) {
        let target = self.server.target();
        let figures = match &mut self.work {
            Work::Repeats(scripts) => figures(&run(target, scripts.clone(), window).0),
            Work::Refreshes(scripts) => {
                let (seen, again) = run(target, std::mem::take(scripts), window);
                *scripts = again;
                figures(&seen)
            }
            Work::Logouts => {
                let sessions = self.server.login(CONNECTIONS * ENDED);
                let logout = &self.server.adapter.logout;
                let scripts = sessions.chunks(ENDED).map(|some| {
                    let requests = some.iter().map(|values| logout.bytes(values));
                    OneRequestEach(requests.collect(), Vec::new())
                });
                figures(&run_until_done(&target, scripts.collect()))
            }
            Work::Storm(checks) => {
                let everybody = people(logins(self.server), checks.clone());
                let (_, everybody) = run(target, everybody, window);
                figures_in_storm(&waits(everybody), window)
            }
        };
        self.rounds.push(figures);
    }
}

fn logins(server: &Server<'_>) -> Vec<RepeatedRequest> {
    let request = server.adapter.login.bytes(&server.account());
    vec![RepeatedRequest(request); WAITING]
}

/// Returns what was seen, as it is printed.
pub(crate) fn figures(seen: &LoadResult) -> Figures {
    let at = |part| seen.percentile(part).as_secs_f64() * 1000.0;
    Figures {
        per_second: seen.per_second,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        cpu: Some(Cpu {
            server_micros: seen.cpu_micros,
            databases_micros: seen.database_micros,
        }),
    }
}

/// The same for the checks in a storm. Their processor time cannot be separated from that of the logins.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 answers")]
fn figures_in_storm(waits: &[Duration], window: Duration) -> Figures {
    assert!(!waits.is_empty(), "no check was on_response");
    let at = |part: usize| waits[waits.len() * part / 100].as_secs_f64() * 1000.0;
    Figures {
        per_second: waits.len() as f64 / (window + WARM_UP).as_secs_f64(),
        p50_ms: at(50),
        p99_ms: at(99),
        cpu: None,
    }
}
