//! Child processes: on which core they run, what they use, and that none outlives the bench.

use std::fs;
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Where a process runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cores {
    /// Where what is measured runs: the server, or the floor.
    Server,
    /// Where everything else runs: the load, and databases that are processes of their own.
    Load,
    /// Wherever the system likes.
    All,
}

impl Cores {
    /// Returns the cores as `taskset` names them; `None` where there is only one anyway.
    fn list(self) -> Option<String> {
        let last = cores().checked_sub(1).filter(|last| *last > 0)?;
        Some(match self {
            Self::Server => "0".to_owned(),
            Self::Load => format!("1-{last}"),
            Self::All => format!("0-{last}"),
        })
    }

    /// Returns the command that runs `program` on these cores.
    pub(crate) fn run(self, program: &str) -> Command {
        let Some(list) = self.list() else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &list, program]);
        command
    }
}

/// Counts the cores once, before this process confines itself to some of them.
fn cores() -> usize {
    static CORES: std::sync::LazyLock<usize> =
        std::sync::LazyLock::new(|| available_parallelism().map_or(1, NonZero::get));
    *CORES
}

/// Moves this process, which makes the load, to the cores for that.
pub(crate) fn pin_self() {
    let Some(list) = Cores::Load.list() else {
        return;
    };
    let pinned = Command::new("taskset")
        .args([
            "--pid",
            "--cpu-list",
            &list,
            &std::process::id().to_string(),
        ])
        .stdout(Stdio::null())
        .status()
        .expect("`taskset` of util-linux is installed");
    assert!(pinned.success(), "taskset: {pinned}");
}

/// A child that is killed and waited for when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    signal: Signal,
    /// Ends the child when this process dies without dropping it.
    watchdog: Child,
}

impl Process {
    /// Starts `command`; `signal` will end it.
    pub(crate) fn start(command: &mut Command, signal: Signal) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let script = format!("cat; kill -{} {}", signal.as_raw(), child.id());
        let watchdog = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`sh` starts");
        Self {
            child,
            signal,
            watchdog,
        }
    }

    /// Returns the child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        // The kernel counts in hundredths of a second on every architecture that matters here.
        const TICK: Duration = Duration::from_millis(10);
        let stat = self.proc("stat");
        // The program's name, in parentheses, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').expect("stat holds the name");
        let mut times = fields.split_whitespace().skip(11).take(2);
        let mut ticks = || -> u32 {
            let field = times.next().expect("stat has the times");
            field.parse().expect("times are numbers")
        };
        TICK * (ticks() + ticks())
    }

    /// Returns the resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: f64 = kib
            .and_then(|kib| kib.parse().ok())
            .expect("status holds VmRSS");
        kib / 1024.0
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .expect("the child has not been waited for, and this is Linux")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // First the watchdog: once the child was waited for, its id may be another's.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            let _ = kill_process(pid, self.signal);
            drop(self.child.wait());
        }
    }
}
