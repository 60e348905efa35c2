//! The load: keep-alive connections, each of which sends one request at a time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::connection::{Connection, HttpResponse};
use super::process::Process;

/// Connections of every row that does not say otherwise.
pub(crate) const CONNECTIONS: usize = 64;

/// Not counted: connecting, filling caches, finding a rhythm.
pub(crate) const WARM_UP: Duration = Duration::from_millis(250);

/// Requests of one connection.
pub(crate) trait RequestScript: 'static {
    /// Returns the next request.
    fn request(&mut self) -> &[u8];
    /// Returns the kind of the request that was sent last, for response times by kind.
    fn kind(&self) -> &'static str {
        ""
    }
    /// Returns whether this status is a response that the script expects.
    fn accepts(&self, status: u16) -> bool {
        (200..300).contains(&status)
    }
    /// Takes the response.
    fn on_response(&mut self, response: HttpResponse<'_>);
    /// Returns whether there is nothing left to say.
    fn is_done(&self) -> bool {
        false
    }
}

/// One request, over and over.
#[derive(Clone, Debug)]
pub(crate) struct RepeatedRequest(pub(crate) Vec<u8>);

impl RequestScript for RepeatedRequest {
    fn request(&mut self) -> &[u8] {
        &self.0
    }

    fn on_response(&mut self, _response: HttpResponse<'_>) {}
}

/// Rate and durations of responses.
#[derive(Clone, Debug)]
pub(crate) struct ResponseTimes {
    /// Responses per second.
    pub(crate) per_second: f64,
    /// The shortest first.
    durations: Vec<Duration>,
}

impl ResponseTimes {
    fn new(mut durations: Vec<Duration>, elapsed: Duration) -> Self {
        durations.sort();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 answers")]
        let count = durations.len() as f64;
        Self {
            per_second: count / elapsed.as_secs_f64(),
            durations,
        }
    }

    /// Returns whether there was no response.
    pub(crate) fn is_empty(&self) -> bool {
        self.durations.is_empty()
    }

    /// Returns the duration that this part of the responses did not exceed.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        assert!(!self.durations.is_empty(), "no response in the window");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index between 0 and the length"
        )]
        let index = (part * (self.durations.len() - 1) as f64).round() as usize;
        self.durations[index]
    }
}

/// Measurements within the window.
#[derive(Clone, Debug)]
pub(crate) struct LoadResult {
    /// Times of all responses.
    pub(crate) all: ResponseTimes,
    kinds: BTreeMap<&'static str, ResponseTimes>,
    /// Processor time of the server per answer, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Part of one core that the server used.
    pub(crate) busy: f64,
    /// Processor time of the databases per answer, in microseconds.
    pub(crate) database_micros: f64,
}

impl LoadResult {
    /// Returns all kinds of requests that had responses, and their times.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&'static str, &ResponseTimes)> {
        self.kinds.iter().map(|(kind, times)| (*kind, times))
    }

    /// Returns the times of the responses to one kind of request; none if there was no response.
    pub(crate) fn kind(&self, kind: &str) -> Option<&ResponseTimes> {
        self.kinds.get(kind)
    }
}

/// Process whose processor time is counted.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) server: &'a Process,
    pub(crate) databases: Vec<&'a Process>,
}

impl<'a> From<(SocketAddr, &'a Process)> for Target<'a> {
    fn from((address, server): (SocketAddr, &'a Process)) -> Self {
        Self {
            address,
            server,
            databases: Vec::new(),
        }
    }
}

/// Time and processor times, of which differences are taken.
struct CpuReadings {
    time: Instant,
    server: Duration,
    databases: Duration,
}

impl CpuReadings {
    fn read(target: &Target<'_>) -> Self {
        Self {
            time: Instant::now(),
            server: target.server.cpu(),
            databases: target.databases.iter().map(|process| process.cpu()).sum(),
        }
    }
}

#[derive(Default)]
struct ResponseTally {
    is_counting: bool,
    is_over: bool,
    durations: BTreeMap<&'static str, Vec<Duration>>,
}

/// Runs each script on a connection of its own for `window`, and gives the scripts back.
pub(crate) fn run<'a, S: RequestScript>(
    target: impl Into<Target<'a>>,
    scripts: Vec<S>,
    window: Duration,
) -> (LoadResult, Vec<S>) {
    let target = target.into();
    let tally = Rc::new(RefCell::new(ResponseTally::default()));
    LocalSet::new().block_on(&runtime(), async {
        let tasks: Vec<_> = scripts
            .into_iter()
            .map(|script| {
                let (address, tally) = (target.address, Rc::clone(&tally));
                tokio::task::spawn_local(async move {
                    run_connection(Connection::open(address).await, script, tally).await
                })
            })
            .collect();
        tokio::time::sleep(WARM_UP).await;
        let before = CpuReadings::read(&target);
        tally.borrow_mut().is_counting = true;
        tokio::time::sleep(window).await;
        let seen = seen(
            &mut tally.borrow_mut(),
            &before,
            &CpuReadings::read(&target),
        );
        let mut scripts = Vec::new();
        for task in tasks {
            scripts.push(task.await.expect("every request is answered well"));
        }
        (seen, scripts)
    })
}

/// Runs each script on a connection of its own until it is done, and gives the scripts back.
pub(crate) fn run_until_done<S: RequestScript>(address: SocketAddr, scripts: Vec<S>) -> Vec<S> {
    let tally = Rc::new(RefCell::new(ResponseTally::default()));
    LocalSet::new().block_on(&runtime(), async {
        let tasks: Vec<_> = scripts
            .into_iter()
            .map(|script| {
                let tally = Rc::clone(&tally);
                tokio::task::spawn_local(async move {
                    run_connection(Connection::open(address).await, script, tally).await
                })
            })
            .collect();
        let mut scripts = Vec::new();
        for task in tasks {
            scripts.push(task.await.expect("every request is answered well"));
        }
        scripts
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives an epoll")
}

/// Ends the count, and returns what was counted.
fn seen(tally: &mut ResponseTally, before: &CpuReadings, after: &CpuReadings) -> LoadResult {
    tally.is_over = true;
    let durations = std::mem::take(&mut tally.durations);
    let elapsed = after.time - before.time;
    let all: Vec<Duration> = durations.values().flatten().copied().collect();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 answers")]
    let answers = all.len() as f64;
    let cpu = after.server.saturating_sub(before.server).as_secs_f64();
    let databases = after.databases.saturating_sub(before.databases);
    let times = |(kind, durations)| (kind, ResponseTimes::new(durations, elapsed));
    LoadResult {
        all: ResponseTimes::new(all, elapsed),
        kinds: durations.into_iter().map(times).collect(),
        cpu_micros: cpu * 1e6 / answers,
        busy: cpu / elapsed.as_secs_f64(),
        database_micros: databases.as_secs_f64() * 1e6 / answers,
    }
}

async fn run_connection<S: RequestScript>(
    mut connection: Connection,
    mut script: S,
    tally: Rc<RefCell<ResponseTally>>,
) -> S {
    while !script.is_done() {
        let sent = Instant::now();
        let response = connection.ask(script.request()).await;
        assert!(script.accepts(response.status), "refused: {response}");
        script.on_response(response);
        let mut tally = tally.borrow_mut();
        if tally.is_over {
            break;
        }
        // Asked before the window or not: what is under way at its end is not counted either.
        if tally.is_counting {
            let durations = tally.durations.entry(script.kind()).or_default();
            durations.push(sent.elapsed());
        }
    }
    script
}

/// Returns a `GET`, with the token if there is one.
pub(crate) fn get(path: &str, token: Option<&str>) -> RepeatedRequest {
    let authorization = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    RepeatedRequest(
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n").into_bytes(),
    )
}

/// Returns a `POST` of JSON.
pub(crate) fn post(path: &str, json: &str) -> Vec<u8> {
    let length = json.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{json}"
    )
    .into_bytes()
}
