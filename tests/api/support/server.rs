//! The server under test.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::backend::Backend;
use super::child::{Child, EndSignal};
use super::http::Http;
use super::{poll, port};
use rustix::process::Signal;

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_latchet");

/// The real program as a child process.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) http: Http,
    log: PathBuf,
    child: Child,
    backend: Backend,
}

impl Replica {
    /// Starts the program on `backend` and waits until it is ready.
    pub(crate) async fn start(backend: &Backend) -> Self {
        let path = backend.folder.path().join(format!("{}.log", port::free()));
        let file = std::fs::File::create(&path).expect("the folder is ours");
        let copy = file.try_clone().expect("files can be cloned");
        let mut replica = Self::start_into(backend, copy.into(), file.into()).await;
        replica.log = path;
        replica
    }

    /// Starts like [`Self::start`], with other outputs of the program.
    pub(crate) async fn start_into(backend: &Backend, stdout: Stdio, stderr: Stdio) -> Self {
        let port = port::free();
        let log = PathBuf::from("/dev/null");
        let mut command = command(backend);
        command
            .env("LATCHET_LISTEN", format!("127.0.0.1:{port}"))
            .stdout(stdout)
            .stderr(stderr);
        let mut replica = Self {
            http: Http::new(format!("http://127.0.0.1:{port}")),
            log,
            child: Child::start(&mut command, EndSignal::Kill),
            backend: backend.clone(),
        };
        replica.ready().await;
        replica
    }

    /// Returns the output of the server up to this call. The server writes it in the background.
    pub(crate) async fn log(&self) -> String {
        complete_log(&self.http, &self.log).await
    }

    /// Returns the output of the server that is written already: for messages of tests, and after
    /// the server has ended.
    pub(crate) fn written_log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is ours")
    }

    /// Waits for the line of the log that contains `text`, and returns it.
    pub(crate) async fn log_line(&self, text: &str) -> String {
        poll::until_some(&format!("a log line with {text:?}"), async || {
            let log = self.written_log();
            log.lines()
                .find(|line| line.contains(text))
                .map(str::to_owned)
        })
        .await
    }

    /// Returns the link that makes the first administrator, as the command line prints it.
    pub(crate) fn setup_link(&self) -> String {
        let mut command = command(&self.backend);
        command.env("LATCHET_LISTEN", self.http.address());
        let printed = output(command.arg("setup-link"));
        let link = printed
            .split_whitespace()
            .find(|word| word.contains("/setup#"));
        link.expect("a link").to_owned()
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server with `SIGKILL`.
    pub(crate) fn kill(mut self) {
        self.child.signal(Signal::KILL);
        self.child.wait(poll::DEADLINE);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Asks the server to stop.
    pub(crate) fn terminate(&self) {
        self.child.signal(Signal::TERM);
    }

    /// Waits for the server to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait(poll::DEADLINE)
    }

    async fn ready(&mut self) {
        let ready = poll::until_some("the server to be ready", async || {
            if self.child.ended().is_some() {
                return Some(false);
            }
            let answer = self.http.get("/readyz").try_send().await.ok()?;
            (answer.status == 200).then_some(true)
        });
        assert!(
            ready.await,
            "the server ended at once:\n{}",
            self.written_log()
        );
    }
}

/// Returns what a running server has logged in `path` up to this call.
///
/// The log is written in the order of its lines, so a line of a later request is the last to arrive.
pub(crate) async fn complete_log(http: &Http, path: &Path) -> String {
    let refused = http.get("/no-such-page").send().await;
    let id = refused.expect_problem(404, "not_found").field("request_id");
    poll::until_some("the log of a request", async || {
        let log = std::fs::read_to_string(path).expect("the log is ours");
        log.contains(&id).then_some(log)
    })
    .await
}

/// Returns the program with the settings of `backend` and nothing of this process's environment.
pub(crate) fn command(backend: &Backend) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .envs(backend.settings())
        .current_dir(backend.folder.path());
    command
}

/// Runs a subcommand on `backend` and returns what it printed; panics when it fails.
pub(crate) fn run(backend: &Backend, arguments: &[&str]) -> String {
    output(command(backend).args(arguments))
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("latchet starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("latchet prints UTF-8")
}
