//! Runs clients and a nemesis against real processes, and holds what was seen against the promises.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a harness that cannot go on ends the run, and the text says what did not hold"
)]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chaos::check::{self, History, Report, Rule};
use chaos::history::RunSettings;
use clap::Parser;

use cluster::{Cluster, Topology};
use recorder::Recorder;

mod admin;
mod client;
mod clock;
mod cluster;
mod deliberate_bugs;
mod demoted_admin;
mod device;
mod disk;
mod faults;
mod flood;
mod guessed_account;
mod html_report;
mod many_sessions;
mod mutual_disabling;
mod nemesis;
mod recorder;
mod replica;
mod request_spec;
mod sentinel;
mod session_limit_user;
mod shim;
mod workload;
mod wrong_clock;

/// Grace period in these runs: short, so that thefts are seen.
const GRACE: Duration = Duration::from_secs(2);
/// Lifetime of an access token in these runs.
const ACCESS_TTL: Duration = Duration::from_secs(10);
/// Time that it lives while the setting is another one: longer than the runs in which that is seen.
const LONG_ACCESS_TTL: Duration = Duration::from_mins(4);
/// Sessions that one user may have at once in these runs.
const MAX_SESSIONS: usize = 12;

/// Runs clients and faults against real processes of Latchet, and checks what the clients saw.
///
/// The history is kept as JSON lines; `check` reads it again. Exits with 1 when a promise was broken.
#[derive(Debug, Parser)]
struct Arguments {
    /// A: 3 replicas, PostgreSQL, Redis. B: the same with a Sentinel and two Redis servers. C: one process
    /// on SQLite.
    #[arg(long, value_enum, ignore_case = true, default_value = "A")]
    topology: Topology,

    /// Length of the run in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// Seed of all choices; the same seed gives the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Devices that people use at once; 12 ask about 300 times a second, a machine of their own takes more.
    #[arg(long, default_value_t = 12)]
    devices: usize,

    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    only: String,

    /// A deliberate bug of `chaos/bugs.patch` to switch on.
    #[arg(long, conflicts_with = "all_bugs")]
    bug: Option<String>,

    /// Switches on each bug in turn, and fails where one is not found.
    #[arg(long)]
    all_bugs: bool,

    /// Time in which the service must recover after a fault, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    recovery: u64,

    /// The program to run [default: the one beside this, built first]
    #[arg(long)]
    latchet: Option<PathBuf>,

    /// Folder for the history and the page about it.
    #[arg(long, default_value = "target/chaos")]
    out: PathBuf,
}

/// Plan of a run.
#[derive(Clone, Debug)]
struct RunPlan {
    topology: Topology,
    seconds: u64,
    seed: u64,
    devices: usize,
    only: String,
    bug: Option<String>,
    recovery: Duration,
    /// The run has presented what it is for when one of these is seen broken, and ends.
    until: &'static [Rule],
    program: PathBuf,
    /// Where the history goes.
    file: PathBuf,
}

impl RunPlan {
    /// Attempts to log in that an account takes. People lose some too, when their account is shut or the
    /// database is away, and none comes back while a run lasts: so a long one has more of them.
    fn guesses(&self) -> usize {
        const LEAST_GUESSES: u64 = 50;
        // A hunt for unbounded guesses must exceed the limit on a busy machine too, in half a minute.
        const LEAST_IN_A_HUNT: u64 = 20;
        let least = if self.until.contains(&Rule::I11) {
            LEAST_IN_A_HUNT
        } else {
            LEAST_GUESSES
        };
        usize::try_from(least.max(self.seconds / 4)).expect("runs are short")
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    flood::allow_connections();
    std::fs::create_dir_all(&arguments.out).expect("the folder of --out can be created");
    let has_bugs = arguments.all_bugs || arguments.bug.is_some();
    let build = if has_bugs { build_with_bugs } else { build };
    let program = arguments.latchet.clone().unwrap_or_else(build);
    let name = format!("{:?}-{}", arguments.topology, arguments.seed).to_lowercase();
    let plan = RunPlan {
        topology: arguments.topology,
        seconds: arguments.seconds,
        seed: arguments.seed,
        devices: arguments.devices,
        only: arguments.only,
        bug: arguments.bug,
        recovery: Duration::from_millis(arguments.recovery),
        until: &[],
        program: program
            .canonicalize()
            .expect("the program of --latchet is there"),
        file: arguments.out.join(format!("{name}.ndjson")),
    };
    let is_good = if arguments.all_bugs {
        deliberate_bugs::find_all(&plan).await
    } else {
        let report = run(&plan).await;
        print!("{report}");
        println!("history: {}", plan.file.display());
        report.violations.is_empty()
    };
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Makes a run, and holds its history against the promises, as `check` does from the file alone.
async fn run(plan: &RunPlan) -> Report {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).expect("runs are short");
    let head = RunSettings {
        topology: format!("{:?}", plan.topology).to_lowercase(),
        seed: plan.seed,
        seconds: plan.seconds,
        grace: micros(GRACE),
        recovery: micros(plan.recovery),
        guesses: plan.guesses(),
        shortest_life: Some(micros(ACCESS_TTL)),
        max_sessions: Some(MAX_SESSIONS),
        administrators: vec![cluster::ADMIN.0.to_owned()],
    };
    let cluster = Arc::new(Cluster::start(plan).await);
    let recorder = Arc::new(Recorder::start(&plan.file, head));
    let whole = async {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let people = workload::start(&cluster, &recorder, &mut random, plan).await;
        let misled = wrong_clock::outsider(&cluster, &recorder, people.end);
        let faults = nemesis::run(&cluster, &recorder, random.fork(), &plan.only, people.end);
        tokio::join!(misled, faults);
        people.finish(&cluster, &recorder).await;
        for leak in cluster.find_leaked_secrets(device::CANARY) {
            recorder.leak(leak);
        }
    };
    let (history, report) = tokio::select! {
        () = whole => read_and_check(&recorder, u64::MAX),
        seen = wait_for_violation(&recorder, plan) => seen,
    };
    let page = html_report::render(&history, &report);
    std::fs::write(plan.file.with_extension("html"), page).expect("the page can be written");
    report
}

/// Holds what was over at `time` against the promises.
fn read_and_check(recorder: &Recorder, time: u64) -> (History, Report) {
    let mut history = History::parse(&*recorder.read()).expect("it was written as it is read");
    history.until(time);
    let report = check::check(&history);
    (history, report)
}

/// Looks again and again, until a promise is seen broken that the run is for.
async fn wait_for_violation(recorder: &Recorder, plan: &RunPlan) -> (History, Report) {
    if plan.until.is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (history, report) = read_and_check(recorder, recorder.complete_until());
        if plan.until.iter().any(|rule| report.broken().contains(rule)) {
            return (history, report);
        }
    }
}

/// Builds the program as this one was built, and returns where it is.
fn build() -> PathBuf {
    let mut command = Command::new("cargo");
    command.args([
        "build",
        "--quiet",
        "--package",
        "latchet",
        "--bin",
        "latchet",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.status().expect("`cargo` is there");
    assert!(status.success(), "latchet cannot be built");
    let this = std::env::current_exe().expect("this program has a path");
    this.with_file_name("latchet")
}

/// Builds a copy of the program that has the deliberate bugs, and returns where it is.
fn build_with_bugs() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/build-with-bugs");
    let mut command = Command::new(script);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("the script can be run");
    assert!(
        output.status.success(),
        "`chaos/bugs.patch` cannot be applied or built"
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
