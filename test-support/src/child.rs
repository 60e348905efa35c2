//! A child process that never outlives the test run, however that ends.

use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Way to end a child process when its owner is dropped or dies.
#[derive(Clone, Copy, Debug)]
pub enum EndSignal {
    /// `SIGKILL`: it has no children of its own.
    Kill,
    /// `SIGQUIT`: what PostgreSQL calls immediate shutdown, which takes its backends along.
    Quit,
    /// `SIGINT`, as Ctrl-C: it ends its own children.
    Interrupt,
}

impl EndSignal {
    const fn signal(self) -> (Signal, &'static str) {
        match self {
            Self::Kill => (Signal::KILL, "KILL"),
            Self::Quit => (Signal::QUIT, "QUIT"),
            Self::Interrupt => (Signal::INT, "INT"),
        }
    }
}

/// A running child process; killed and waited for when dropped.
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// Waits for the end of its standard input, which comes when this process dies, and then ends
    /// the child. The kernel's parent-death signal would not do: it follows the thread that started
    /// the child, and test threads come and go.
    watchdog: Process,
    ending: EndSignal,
}

impl Child {
    /// Starts `command`, with a watchdog beside it.
    pub fn start(command: &mut Command, ending: EndSignal) -> Self {
        let process = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (_, signal) = ending.signal();
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(format!("cat; kill -{signal} {}", process.id()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`sh` starts");
        Self {
            process,
            watchdog,
            ending,
        }
    }

    /// Returns the id of the child.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal)
            .expect("the child has not been waited for, so its id is still its own");
    }

    /// Stops the child until [`thaw`](Self::thaw), and waits until its last thread has stopped: before
    /// that, a thread may still finish a system call, such as sending a message.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let child = WaitId::Pid(Pid::from_child(&self.process));
        waitid(child, WaitIdOptions::STOPPED).expect("a running child can be stopped");
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Returns how the child ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process
            .try_wait()
            .expect("the child can be waited for")
    }

    /// Waits for the child to end by itself; panics after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                start.elapsed() < limit,
                "the child still runs after {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The watchdog first: the child's id may belong to a stranger once it has been waited for.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        if self.ended().is_none() {
            self.signal(self.ending.signal().0);
            drop(self.process.wait());
        }
    }
}

/// Returns the path of a program that the tests need, looking where packages hide it.
pub fn program(name: &str) -> std::path::PathBuf {
    let hidden = [
        "/usr/lib/postgresql/*/bin",
        "/usr/sbin",
        "/opt/homebrew/opt/postgresql*/bin",
        "/usr/local/opt/postgresql*/bin",
    ];
    let script = format!(
        "command -v {name} || ls -d {} 2>/dev/null | sort -V | tail -n 1",
        hidden.map(|folder| format!("{folder}/{name}")).join(" ")
    );
    let found = Command::new("sh")
        .arg("-c")
        .arg(script)
        .output()
        .expect("`sh` starts");
    let path = String::from_utf8(found.stdout).expect("paths are UTF-8");
    assert!(
        !path.trim().is_empty(),
        "`{name}` is not installed; run the tests by `scripts/test`, which installs what they need"
    );
    path.trim().into()
}
