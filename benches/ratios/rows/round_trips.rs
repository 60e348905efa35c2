//! Round trips to PostgreSQL until the response to a request, with nothing else under way.

use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::Options;
use crate::support::backend::{Postgres, Redis};
use crate::support::connection::Connection;
use crate::support::fill::FilledDatabase;
use crate::support::load::{get, post};
use crate::support::process::Cores;
use crate::support::proxy::Proxy;
use crate::support::report::{BenchResult, Target, median};
use crate::support::service::{DataFolder, Service, field, login_request, person};

/// Users, each of whom logs in, asks, refreshes and logs out once.
const PEOPLE: usize = 31;
/// The first of them, who are not counted: connections are opened, and statements are prepared.
const WARM_UP: usize = 20;
/// Nothing passes for so long once a request is done.
const QUIET: Duration = Duration::from_millis(60);
/// Longest wait for that: what passes later does so by itself.
const LONGEST: Duration = Duration::from_secs(1);

/// Round trips of one kind of request.
#[derive(Default)]
struct Counts {
    /// Until the response.
    awaited: Vec<f64>,
    /// Until nothing passed any more.
    all: Vec<f64>,
}

impl Counts {
    fn line(&self, what: &'static str, target: Target) -> BenchResult {
        let awaited = median(self.awaited.clone());
        let least = self.awaited.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.awaited.iter().copied().fold(0.0, f64::max);
        BenchResult {
            what,
            ours: format!("{awaited:.0}"),
            floor: String::new(),
            value: awaited,
            target,
            note: format!(
                "{:.0} with what follows the response; {least:.0} to {most:.0} in {} requests",
                median(self.all.clone()),
                self.awaited.len()
            ),
        }
    }
}

/// A server whose round trips are counted.
struct CountedServer {
    proxy: Proxy,
    runtime: Runtime,
    connection: Connection,
}

impl CountedServer {
    /// Lets people log in, ask twice, refresh and log out, one after the other.
    fn visits(&mut self) -> [Counts; 5] {
        let mut counts: [Counts; 5] = Default::default();
        for number in 0..PEOPLE {
            let is_counted = number >= WARM_UP;
            let all = counts.each_mut().map(|one| is_counted.then_some(one));
            let [login, verify, me, refresh, logout] = all;
            let tokens = self.ask(&login_request(&person(number)), login);
            let access = field(&tokens, "access_token");
            self.ask(&get("/v1/verify", Some(&access)).0, verify);
            self.ask(&get("/v1/me", Some(&access)).0, me);
            let body = format!(
                r#"{{"refresh_token":"{}"}}"#,
                field(&tokens, "refresh_token")
            );
            let tokens = self.ask(&post("/v1/refresh", &body), refresh);
            let access = field(&tokens, "access_token");
            self.ask(&logout_request(&access), logout);
        }
        counts
    }

    /// Sends a request, and returns the response; counts if there is something to count for.
    fn ask(&mut self, request: &[u8], counts: Option<&mut Counts>) -> Vec<u8> {
        let before = self.proxy.round_trips();
        let response = self.runtime.block_on(self.connection.exchange(request));
        let response = response.to_vec();
        let awaited = self.proxy.round_trips() - before;
        self.wait_until_quiet();
        if let Some(counts) = counts {
            counts.awaited.push(number(awaited));
            counts.all.push(number(self.proxy.round_trips() - before));
        }
        response
    }

    fn wait_until_quiet(&self) {
        let start = Instant::now();
        let mut seen = self.proxy.round_trips();
        while start.elapsed() < LONGEST {
            thread::sleep(QUIET);
            let now = self.proxy.round_trips();
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

/// Counts those of a login, a check, a refresh and a logout.
pub(super) fn count(_options: &Options) -> Vec<BenchResult> {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let proxy = Proxy::start(postgres.address(), Duration::ZERO);
    let database = postgres.new_database();
    let (through, redis) = (proxy.url(&database), redis.url());
    let settings = [
        ("DATABASE_URL", through.as_str()),
        ("REDIS_URL", &redis),
        ("LATCHET_GRACE", "0s"),
    ];
    let home = DataFolder::new();
    let service = Service::start(Cores::Server, &home, &settings);
    service.until_denylist_is_good();
    FilledDatabase::open(&database).people(PEOPLE);
    let runtime = Runtime::new().expect("the system gives threads");
    let connection = runtime.block_on(Connection::open(service.address));
    let mut server = CountedServer {
        proxy,
        runtime,
        connection,
    };
    let [login, verify, me, refresh, logout] = server.visits();
    vec![
        login.line("round trips to PostgreSQL of a login", Target::AtMost(4.0)),
        verify.line(
            "round trips to PostgreSQL of /v1/verify",
            Target::AtMost(0.0),
        ),
        me.line("round trips to PostgreSQL of /v1/me", Target::None),
        refresh.line(
            "round trips to PostgreSQL of a refresh",
            Target::AtMost(2.0),
        ),
        logout.line("round trips to PostgreSQL of a logout", Target::AtMost(3.0)),
    ]
}

fn logout_request(access: &str) -> Vec<u8> {
    format!(
        "POST /v1/logout HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {access}\r\n\
         content-length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn number(count: u64) -> f64 {
    count as f64
}
