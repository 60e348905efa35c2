//! Child processes: on which core they run, what they use, and that none outlives the bench.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

/// Distribution of all processes over the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// The server alone on the first core; the load and the databases on the others.
    OwnCore,
    /// Every process on all cores.
    Shared,
}

/// Layout of this run.
static LAYOUT: OnceLock<Layout> = OnceLock::new();

/// Sets the layout, once, and moves this process, which makes the load, to its cores.
pub(crate) fn arrange(layout: Layout) {
    LAYOUT.set(layout).expect("there is one layout in a run");
    pin_self();
}

/// Returns the number of cores of the server.
pub(crate) fn server_cores() -> usize {
    match LAYOUT.get() {
        Some(Layout::Shared) => cores(),
        _ => 1,
    }
}

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
        Some(match (LAYOUT.get(), self) {
            (Some(Layout::Shared), _) | (_, Self::All) => format!("0-{last}"),
            (_, Self::Server) => "0".to_owned(),
            (_, Self::Load) => format!("1-{last}"),
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

fn pin_self() {
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

    /// Samples what it does, with the callers of each function, until the recording is dropped.
    pub(crate) fn record(&self, file: &Path) -> Self {
        let mut command = Cores::Load.run("perf");
        command
            .args(["record", "--quiet", "--event=cpu-clock", "--freq=499"])
            .args(["--call-graph=dwarf,32768", "--output"])
            .arg(file)
            .args(["--pid", &self.child.id().to_string()]);
        Self::start(&mut command, Signal::INT)
    }

    /// Returns the child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the processor time used so far, by its children too.
    pub(crate) fn cpu(&self) -> Duration {
        tree(self.child.id()).into_iter().map(cpu).sum()
    }

    /// Returns how often its threads have gone to sleep, each of which a wake-up followed.
    pub(crate) fn wake_ups(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        let switches = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("status")).ok()?;
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            count.trim().parse::<f64>().ok()
        });
        switches.sum()
    }

    /// Returns the memory of it and its children in MiB; what they share is counted once.
    pub(crate) fn memory_mib(&self) -> f64 {
        let all = tree(self.child.id()).into_iter();
        all.filter_map(|id| kib(id, "smaps_rollup", "Pss:"))
            .sum::<f64>()
            / 1024.0
    }

    /// Waits until it does next to nothing by itself, as when what follows a start is done.
    pub(crate) fn wait_until_idle(&self) {
        const LOOK: Duration = Duration::from_secs(2);
        for _ in 0..100 {
            let before = self.cpu();
            std::thread::sleep(LOOK);
            if self.cpu().saturating_sub(before) < LOOK / 10 {
                return;
            }
        }
        panic!("{self:?} does not come to rest");
    }

    /// Returns the resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        kib(self.child.id(), "status", "VmRSS:").expect("the child has not been waited for")
            / 1024.0
    }

    /// Returns the most resident memory that there ever was, in MiB.
    pub(crate) fn most_resident_mib(&self) -> f64 {
        kib(self.child.id(), "status", "VmHWM:").expect("the child has not been waited for")
            / 1024.0
    }
}

/// Returns the resident memory of this process in MiB.
pub(crate) fn own_resident_mib() -> f64 {
    kib(std::process::id(), "status", "VmRSS:").expect("this is Linux") / 1024.0
}

/// Returns a process and all that it started; none of one that is gone.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(id) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{id}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    found
}

/// Returns the processor time of one process and of those of its children that have ended.
fn cpu(id: u32) -> Duration {
    // The kernel counts in hundredths of a second on every architecture that matters here.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The program's name, in parentheses, may hold spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(4);
    TICK * times.filter_map(|ticks| ticks.parse::<u32>().ok()).sum()
}

fn kib(id: u32, file: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
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
