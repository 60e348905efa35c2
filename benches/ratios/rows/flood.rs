//! Effect of a flood of wrong logins on other requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::Options;
use crate::support::backend::{Postgres, Redis};
use crate::support::connection::Connection;
use crate::support::flood::Flood;
use crate::support::load::{get, post};
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median};
use crate::support::service::{DataFolder, NAME, PASSWORD, Service, Tokens, field};

/// Connections that guess, each again as soon as it is answered.
const FLOOD_CONNECTIONS: usize = 2_000;

/// Where everybody else is.
const HOME: &str = "203.0.113.7";

/// Settings of a server that is flooded: the default throttle, behind a proxy that forwards addresses,
/// and no grace period, so that no refresh counts as a retry.
const SETTINGS: [(&str, &str); 5] = [
    ("LATCHET_TRUSTED_PROXIES", "127.0.0.0/8"),
    ("LATCHET_THROTTLE_IP", "100/15m"),
    ("LATCHET_THROTTLE_ACCOUNT", "30/15m"),
    ("LATCHET_THROTTLE_ACCOUNT_IP", "10/15m"),
    ("LATCHET_GRACE", "0s"),
];

/// A flood, and the names of its lines.
struct FloodRow {
    /// Addresses it comes from.
    addresses: usize,
    /// Names of the lines: refresh, check, `/livez`, login.
    names: [&'static str; 4],
}

/// The times of one run, in milliseconds: those that 99 of 100 answers did not exceed.
#[derive(Clone, Copy, Default)]
struct FloodRun {
    refresh: f64,
    check: f64,
    livez: f64,
    login: f64,
    refused_logins: usize,
    flooded: usize,
}

pub(super) fn sqlite(options: &Options) -> Vec<BenchResult> {
    let one = FloodRow {
        addresses: 1,
        names: [
            "flood from 1 address, SQLite: refresh p99 in ms",
            "flood from 1 address, SQLite: check p99 in ms",
            "flood from 1 address, SQLite: /livez p99 in ms",
            "flood from 1 address, SQLite: right logins refused",
        ],
    };
    let many = FloodRow {
        addresses: 64,
        names: [
            "flood from 64 addresses, SQLite: refresh p99 in ms",
            "flood from 64 addresses, SQLite: check p99 in ms",
            "flood from 64 addresses, SQLite: /livez p99 in ms",
            "flood from 64 addresses, SQLite: right logins refused",
        ],
    };
    let floods = [one, many];
    floods
        .iter()
        .flat_map(|flood| measure(options, flood, |_| Vec::new()))
        .collect()
}

pub(super) fn postgres(options: &Options) -> Vec<BenchResult> {
    let one = FloodRow {
        addresses: 1,
        names: [
            "flood from 1 address, PostgreSQL: refresh p99 in ms",
            "flood from 1 address, PostgreSQL: check p99 in ms",
            "flood from 1 address, PostgreSQL: /livez p99 in ms",
            "flood from 1 address, PostgreSQL: right logins refused",
        ],
    };
    let many = FloodRow {
        addresses: 64,
        names: [
            "flood from 64 addresses, PostgreSQL: refresh p99 in ms",
            "flood from 64 addresses, PostgreSQL: check p99 in ms",
            "flood from 64 addresses, PostgreSQL: /livez p99 in ms",
            "flood from 64 addresses, PostgreSQL: right logins refused",
        ],
    };
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let mut findings = Vec::new();
    for (number, flood) in [one, many].iter().enumerate() {
        // Empty ones for each run.
        findings.extend(measure(options, flood, |round| {
            let number = number * options.rounds + round;
            vec![
                ("DATABASE_URL", postgres.database(&format!("flood{number}"))),
                ("REDIS_URL", redis.database(number % 16)),
            ]
        }));
    }
    findings
}

fn measure(
    options: &Options,
    flood: &FloodRow,
    storage: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> Vec<BenchResult> {
    let runs: Vec<FloodRun> = (0..options.rounds)
        .map(|round| {
            // A new one each time: what a flood costs before it is refused is a part of it.
            let home = DataFolder::new();
            let storage = storage(round);
            let storage = storage.iter().map(|(name, value)| (*name, value.as_str()));
            let settings: Vec<_> = SETTINGS.into_iter().chain(storage).collect();
            let service = Service::start(Cores::Server, &home, &settings);
            run(&service, flood, options.window())
        })
        .collect();
    let of = |value: fn(&FloodRun) -> f64| median(runs.iter().map(value).collect());
    let flooded = runs.iter().map(|run| run.flooded).min().unwrap_or_default();
    let line = |what, value: f64, most, note| BenchResult {
        what,
        ours: format!("{value:.1}"),
        floor: String::new(),
        value,
        target: Target::AtMost(most),
        note,
    };
    let refused: usize = runs.iter().map(|run| run.refused_logins).sum();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let refused = refused as f64;
    let [refresh, check, livez, login] = flood.names;
    vec![
        line(refresh, of(|run| run.refresh), 50.0, String::new()),
        line(check, of(|run| run.check), 20.0, String::new()),
        line(
            livez,
            of(|run| run.livez),
            20.0,
            format!("at least {flooded} logins of the flood were answered in each run"),
        ),
        line(
            login,
            refused,
            0.0,
            format!("p99 {:.0} ms", of(|run| run.login)),
        ),
    ]
}

fn run(service: &Service, flood: &FloodRow, window: Duration) -> FloodRun {
    let tokens = service.login(2);
    let flooding = Flood::start(service.address, guesses(flood.addresses));
    let measured = runtime().block_on(async {
        let until = Instant::now() + window;
        let address = service.address;
        let [first, second] = [&tokens[0], &tokens[1]];
        tokio::join!(
            refresh(address, first, until),
            ask(address, get("/v1/me", Some(&second.access)).0, until),
            ask(address, get("/livez", None).0, until),
            ask(address, login(NAME, PASSWORD, HOME), until),
        )
    });
    let flooded = flooding.end();
    let (refresh, check, livez, login) = measured;
    FloodRun {
        refresh: refresh.p99(),
        check: check.p99(),
        livez: livez.p99(),
        login: login.p99(),
        refused_logins: refresh.refused + check.refused + livez.refused + login.refused,
        flooded,
    }
}

/// Returns the guesses of all connections.
fn guesses(addresses: usize) -> Vec<Vec<u8>> {
    let guess = |number: usize| {
        let from = format!("198.51.100.{}", number % addresses);
        // From one address at one account, which is refused soon; from many at as many names as there
        // are, which are hashed for as long as the addresses are let.
        let name = if addresses == 1 {
            NAME.to_owned()
        } else {
            format!("nobody-{number}")
        };
        login(&name, "a wrong password of the flood", &from)
    };
    (0..FLOOD_CONNECTIONS).map(guess).collect()
}

/// Time that the answers took, and how many were refusals.
#[derive(Default)]
struct ResponseTimes {
    took: Vec<Duration>,
    refused: usize,
}

impl ResponseTimes {
    fn add(&mut self, sent: Instant, status: u16) {
        self.took.push(sent.elapsed());
        self.refused += usize::from(!(200..300).contains(&status));
    }

    fn p99(&self) -> f64 {
        let mut took = self.took.clone();
        took.sort();
        let index = took.len() * 99 / 100;
        took[index.min(took.len() - 1)].as_secs_f64() * 1000.0
    }
}

async fn ask(address: SocketAddr, request: Vec<u8>, until: Instant) -> ResponseTimes {
    let mut connection = Connection::open(address).await;
    let mut times = ResponseTimes::default();
    while Instant::now() < until {
        let sent = Instant::now();
        let status = connection.ask(&request).await.status;
        times.add(sent, status);
    }
    times
}

async fn refresh(address: SocketAddr, tokens: &Tokens, until: Instant) -> ResponseTimes {
    let mut connection = Connection::open(address).await;
    let mut times = ResponseTimes::default();
    let mut token = tokens.refresh.clone();
    while Instant::now() < until {
        let request = post("/v1/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#));
        let sent = Instant::now();
        let answer = connection.ask(&request).await;
        times.add(sent, answer.status);
        if answer.status != 200 {
            // The same token is presented again, as a client would.
            continue;
        }
        token = field(answer.body, "refresh_token");
    }
    times
}

fn login(name: &str, password: &str, from: &str) -> Vec<u8> {
    let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
    let length = body.len();
    format!(
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-forwarded-for: {from}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives an epoll")
}
