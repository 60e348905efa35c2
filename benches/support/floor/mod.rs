//! The floors: the least that the work of a row could cost, each played by this program as a child.

use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::process::{Cores, Process};

mod by_hand;
mod crypto;
pub(crate) mod handler;
pub(crate) mod sql;

/// The argument that begins a role.
pub(crate) const ROLE: &str = "role";

/// Connections and sessions that the floors of refresh work with: as many as the load has.
const PARALLEL: usize = crate::support::load::CONNECTIONS;

/// Plays a floor until the parent ends.
pub(crate) fn run_role(role: &[String]) {
    let role: Vec<&str> = role.iter().map(String::as_str).collect();
    match *role.as_slice() {
        ["handler", "empty"] => handler::empty(),
        ["handler", "waiting"] => handler::waiting(),
        ["handler", "guarded", "memory"] => handler::guarded_memory(),
        ["handler", "guarded", "hs256"] => handler::guarded_hs256(),
        ["handler", "by hand", "eddsa"] => by_hand::eddsa(),
        ["handler", "by hand", "hs256"] => by_hand::hs256(),
        ["handler", "guarded", "redis", redis, sql] => handler::guarded_copy(Some(redis), sql),
        ["handler", "guarded", "following", sql] => handler::guarded_copy(None, sql),
        ["handler", "mget", redis] => handler::mget(redis),
        ["argon2", memory_kib, passes, memory] => crypto::argon2(memory_kib, passes, memory),
        ["hmac"] => crypto::hmac(),
        ["eddsa"] => crypto::eddsa(),
        ["updates", database] => sql::updates(database),
        ["batches", database] => sql::batches(database),
        _ => panic!("there is no floor {role:?}"),
    }
}

/// A floor that serves HTTP.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    /// Access tokens that it accepts; none when it asks for none.
    pub(crate) tokens: Vec<String>,
}

impl Floor {
    /// Starts this program in that role.
    pub(crate) fn start(role: &[&str]) -> Self {
        use std::io::{BufRead, BufReader};

        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Cores::Server.run(program.to_str().expect("the path is UTF-8"));
        command
            .arg(ROLE)
            .arg("handler")
            .args(role)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command, Signal::KILL);
        let output = process.child().stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the floor says where it listens");
        let mut words = line.split_whitespace().map(str::to_owned);
        let address = words.next().expect("the floor says where it listens");
        Self {
            address: address.parse().expect("it is an address"),
            process,
            tokens: words.collect(),
        }
    }

    /// Returns what [`load::run`](crate::support::load::run) needs to know of a server.
    pub(crate) fn target(&self) -> (SocketAddr, &Process) {
        (self.address, &self.process)
    }
}
