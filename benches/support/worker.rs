//! Floors that serve no HTTP: a child process that does one thing as often as it can, for a given time.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::floor::ROLE;
use crate::support::process::{Cores, Process};

/// Such a child.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Result of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Operations per second.
    pub(crate) per_second: f64,
    /// Its processor time per operation, in microseconds.
    pub(crate) cpu_micros: f64,
}

impl Worker {
    /// Starts this program in the role of that floor.
    pub(crate) fn start(cores: Cores, role: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = cores.run(program.to_str().expect("the path is UTF-8"));
        command
            .arg(ROLE)
            .args(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command, Signal::KILL);
        let input = process.child().stdin.take().expect("it is piped");
        let output = process.child().stdout.take().expect("it is piped");
        let mut worker = Self {
            process,
            input,
            output: BufReader::new(output),
        };
        assert_eq!(worker.line(), "ready", "{role:?}");
        worker
    }

    /// Lets it work for `window`.
    pub(crate) fn work(&mut self, window: Duration) -> Work {
        let (start, cpu) = (Instant::now(), self.process.cpu());
        writeln!(self.input, "{}", window.as_millis()).expect("the floor reads");
        let operations: f64 = self.line().parse().expect("the floor answers a number");
        let (elapsed, cpu) = (start.elapsed(), self.process.cpu().saturating_sub(cpu));
        Work {
            per_second: operations / elapsed.as_secs_f64(),
            cpu_micros: cpu.as_secs_f64() * 1e6 / operations,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the floor writes");
        line.trim_end().to_owned()
    }
}

/// Runs as the child: works for each line of its standard input, until that ends.
pub(crate) fn serve_commands(mut work: impl FnMut(Duration) -> u64) {
    println!("ready");
    for line in std::io::stdin().lines() {
        let millis = line.expect("orders are text");
        let window = Duration::from_millis(millis.parse().expect("orders are numbers"));
        println!("{}", work(window));
    }
}

/// Repeats `operation` for `window` and returns how often.
pub(crate) fn repeat(window: Duration, mut operation: impl FnMut()) -> u64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < window {
        operation();
        count += 1;
    }
    count
}
