//! The load: keep-alive connections, each of which sends one request at a time.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::support::process::Process;

/// Connections of every row that does not say otherwise.
pub(crate) const CONNECTIONS: usize = 64;

/// Not counted: connecting, filling caches, finding a rhythm.
pub(crate) const WARM_UP: Duration = Duration::from_millis(250);

/// What one connection says.
pub(crate) trait Script: 'static {
    /// Returns the next request.
    fn request(&mut self) -> &[u8];
    /// Takes the body of the answer, which was a success.
    fn answered(&mut self, body: &[u8]);
}

/// One request, over and over.
#[derive(Clone, Debug)]
pub(crate) struct Repeat(pub(crate) Vec<u8>);

impl Script for Repeat {
    fn request(&mut self) -> &[u8] {
        &self.0
    }

    fn answered(&mut self, _body: &[u8]) {}
}

/// What was seen within the window.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Answers per second.
    pub(crate) per_second: f64,
    /// Processor time of the server per answer, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Part of one core that the server used.
    pub(crate) busy: f64,
    latencies: Vec<Duration>,
}

impl Seen {
    /// Returns the latency that this part of the answers did not exceed.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index between 0 and the length"
        )]
        let index = (part * (self.latencies.len() - 1) as f64).round() as usize;
        self.latencies[index]
    }
}

#[derive(Default)]
struct Tally {
    is_counting: bool,
    is_over: bool,
    latencies: Vec<Duration>,
}

/// Runs each script on a connection of its own for `window`, and gives the scripts back.
pub(crate) fn run<S: Script>(
    server: (SocketAddr, &Process),
    scripts: Vec<S>,
    window: Duration,
) -> (Seen, Vec<S>) {
    let (address, process) = server;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives an epoll");
    let tally = Rc::new(RefCell::new(Tally::default()));
    LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = scripts
            .into_iter()
            .map(|script| tokio::task::spawn_local(talk(address, script, Rc::clone(&tally))))
            .collect();
        tokio::time::sleep(WARM_UP).await;
        let (start, cpu) = (Instant::now(), process.cpu());
        tally.borrow_mut().is_counting = true;
        tokio::time::sleep(window).await;
        let (elapsed, cpu) = (start.elapsed(), process.cpu().saturating_sub(cpu));
        tally.borrow_mut().is_over = true;
        let latencies = std::mem::take(&mut tally.borrow_mut().latencies);
        let mut scripts = Vec::new();
        for task in tasks {
            scripts.push(task.await.expect("every request is answered well"));
        }
        (seen(latencies, elapsed, cpu), scripts)
    })
}

fn seen(mut latencies: Vec<Duration>, elapsed: Duration, cpu: Duration) -> Seen {
    assert!(!latencies.is_empty(), "no answer within {elapsed:?}");
    latencies.sort();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 answers")]
    let answers = latencies.len() as f64;
    Seen {
        per_second: answers / elapsed.as_secs_f64(),
        cpu_micros: cpu.as_secs_f64() * 1e6 / answers,
        busy: cpu.as_secs_f64() / elapsed.as_secs_f64(),
        latencies,
    }
}

async fn talk<S: Script>(address: SocketAddr, mut script: S, tally: Rc<RefCell<Tally>>) -> S {
    let mut connection = Connection::open(address).await;
    loop {
        let sent = Instant::now();
        let body = connection.exchange(script.request()).await;
        script.answered(body);
        let mut tally = tally.borrow_mut();
        if tally.is_over {
            return script;
        }
        // Asked before the window or not: what is under way at its end is not counted either.
        if tally.is_counting {
            tally.latencies.push(sent.elapsed());
        }
    }
}

/// A connection that speaks as much HTTP/1.1 as servers here answer: `Content-Length`, no chunks.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("TCP has this option");
        Self {
            stream,
            buffer: vec![0; 16 << 10],
        }
    }

    /// Sends a request and returns the body of the answer, which must be a success.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream
            .write_all(request)
            .await
            .expect("the server reads");
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]);
            let read = read.await.expect("the server writes");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if let Some((start, end)) = body(&self.buffer[..filled]) {
                return &self.buffer[start..end];
            }
        }
    }
}

/// Returns where the body of a complete answer begins and ends.
fn body(answer: &[u8]) -> Option<(usize, usize)> {
    let start = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = &answer[..start];
    let length = head
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked(15)?;
            name.eq_ignore_ascii_case(b"content-length:")
                .then(|| value.trim_ascii())
        })
        .map_or(0, |value| {
            let text = std::str::from_utf8(value).expect("lengths are digits");
            text.parse().expect("lengths are numbers")
        });
    let end = start + length;
    if answer.len() < end {
        return None;
    }
    assert!(
        head.starts_with(b"HTTP/1.1 2"),
        "refused: {}",
        String::from_utf8_lossy(answer)
    );
    Some((start, end))
}

/// Returns a `GET`, with the token if there is one.
pub(crate) fn get(path: &str, token: Option<&str>) -> Repeat {
    let authorization = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    Repeat(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n").into_bytes())
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
