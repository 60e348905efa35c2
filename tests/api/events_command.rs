//! `latchet events` beside a running server.

use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::child::{Child, EndSignal};
use crate::support::local::InProcessServer;
use crate::support::postgres::Postgres;
use crate::support::server::{command, run};
use crate::support::{Backend, on_both, poll};

on_both! {
    events_are_listed_oldest_first_in_the_format_of_the_api,
    events_are_filtered,
    new_events_are_followed_each_once,
}

async fn events_are_listed_oldest_first_in_the_format_of_the_api(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    server.http.person("alice").await;
    let admin = server.http.admin().login().await;
    let response = server
        .http
        .get("/v1/events")
        .bearer(&admin.access)
        .send()
        .await;
    let mut expected = response.expect(200).json()["items"]
        .as_array()
        .unwrap()
        .clone();
    expected.reverse();

    let printed = run(&backend, &["events", "--json"]);

    let events: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!events.is_empty());
    assert_eq!(events, expected);
    let lines = run(&backend, &["events"]);
    let last = lines.lines().last().unwrap();
    let start = format!(
        "{}  user_created",
        expected.last().unwrap()["at"].as_str().unwrap()
    );
    assert!(
        last.starts_with(&start) && last.contains("  user=alice"),
        "{last}"
    );
}

async fn events_are_filtered(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    server.http.person("alice").await;
    server.http.person("bob").await;
    run(&backend, &["user", "disable", "bob"]);
    let list = |arguments: &[&str]| {
        let printed = run(&backend, &[&["events"], arguments].concat());
        printed.lines().count()
    };

    assert_eq!(list(&["--kind", "user_created"]), 2);
    assert_eq!(
        list(&["--kind", "user_created", "--kind", "user_disabled"]),
        3
    );
    assert_eq!(list(&["--user", "bob"]), 2);
    assert_eq!(list(&["--user", "bob", "--kind", "user_created"]), 1);
    assert_eq!(list(&["--since", "2100-01-01T00:00:00Z"]), 0);
    assert_eq!(list(&["--since", "1970-01-01T00:00:00Z"]), list(&[]));
    let unknown = command(&backend)
        .args(["events", "--user", "carol"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
}

/// `latchet events --follow`, with the events that it prints.
struct Follower {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(backend: &Backend) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let log = std::fs::File::create(backend.folder.path().join("follower")).unwrap();
        let mut command = command(backend);
        command
            .args(["events", "--follow", "--json", "--kind", "user_created"])
            .stdout(writer)
            .stderr(log);
        let process = Child::start(&mut command, EndSignal::Kill);
        // Otherwise this process holds the pipe open.
        drop::<Command>(command);
        let stdout = ChildStdout::from(std::os::fd::OwnedFd::from(reader));
        Self {
            process,
            lines: BufReader::new(stdout).lines(),
        }
    }

    fn next_user(&mut self) -> String {
        let line = self.lines.next().expect("the command still runs").unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        event["username"].as_str().unwrap().to_owned()
    }
}

async fn new_events_are_followed_each_once(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    server.http.person("first").await;
    let mut follower = Follower::start(&backend);
    assert_eq!(follower.next_user(), "first");

    server.http.person("second").await;
    assert_eq!(follower.next_user(), "second");
    server.http.person("third").await;
    assert_eq!(follower.next_user(), "third");

    follower.process.signal(Signal::INT);
    assert!(follower.process.wait(poll::DEADLINE).success());
    assert!(follower.lines.next().is_none(), "no event is printed twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_ends_when_nobody_reads_any_more() {
    let backend = Backend::sqlite();
    let server = InProcessServer::start(&backend).await;
    server.http.person("alice").await;
    let mut follower = Follower::start(&backend);
    assert_eq!(follower.next_user(), "alice");

    drop(follower.lines);

    assert!(follower.process.wait(poll::DEADLINE).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_survives_a_restart_of_the_database() {
    let postgres = Postgres::start();
    let backend = Backend::on(&postgres);
    run(&backend, &["migrate"]);
    let database = backend.database();
    let insert = |name: &str| {
        let user = format!(
            "INSERT INTO events (at, kind, user_id) VALUES (1000, 'user_created', '{name}')"
        );
        postgres.sql(&database, &user);
    };
    insert("before");
    let mut command = command(&backend);
    let log = backend.folder.path().join("follower");
    let printed = backend.folder.path().join("events");
    command
        .args(["events", "--follow", "--json"])
        .stdout(std::fs::File::create(&printed).unwrap())
        .stderr(std::fs::File::create(&log).unwrap())
        .stdin(Stdio::null());
    let mut follower = Child::start(&mut command, EndSignal::Kill);
    let has = |file: &std::path::Path, text: &str| {
        let text = text.to_owned();
        let file = file.to_owned();
        move || std::fs::read_to_string(&file).unwrap().contains(&text)
    };
    poll::until("the first event", has(&printed, "\"before\""));

    postgres.kill();
    poll::until("a message", has(&log, "cannot read events, trying again"));
    postgres.resume();
    insert("after");

    poll::until("the next event", has(&printed, "\"after\""));
    poll::until("a message", has(&log, "the database responds again"));
    follower.signal(Signal::TERM);
    assert!(follower.wait(poll::DEADLINE).success());
    let events = std::fs::read_to_string(&printed).unwrap();
    assert_eq!(
        events.matches("\"user_id\":\"before\"").count(),
        1,
        "{events}"
    );
    assert_eq!(
        events.matches("\"user_id\":\"after\"").count(),
        1,
        "{events}"
    );
}
