//! SQLite files that cannot be written to.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::child::{Child, EndSignal, program};
use crate::support::http::{Http, HttpResponse};
use crate::support::server::{BINARY, run};
use crate::support::{Backend, poll, port};

use super::diagnosis::bad_findings;

/// Makes all writes to files fail, as a full disk does. The limit is a signal too, unless that is ignored.
const NO_WRITES: [&str; 3] = ["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""];
/// Makes such a limit an error and no signal, for when it comes.
const MAY_BE_LIMITED: [&str; 3] = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
/// Takes away what lets root write to any file.
const LIKE_ANYBODY: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];

/// The program with another in front, and what it has printed.
struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    fn start(backend: &Backend, front: &[&str], arguments: &[&str]) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let words: Vec<&str> = front.iter().copied().chain([BINARY]).collect();
        let mut process = Command::new(program(words[0]));
        process
            .args(&words[1..])
            .args(arguments)
            .env_clear()
            .envs(backend.settings())
            .current_dir(backend.folder.path())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        Self {
            child: Child::start(&mut process, EndSignal::Kill),
            said: collect(reader),
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits for the process to fail, and returns what it has printed.
    fn failure(mut self) -> String {
        let status = self.child.wait(poll::DEADLINE);
        // The thread ends with the pipe, and with it its share of the text.
        poll::until("the output to end", || Arc::strong_count(&self.said) == 1);
        assert!(!status.success(), "{}", self.said());
        self.said()
    }

    /// Sets how long files may become, in bytes.
    fn limit_files(&self, current: Option<u64>) {
        let id = i32::try_from(self.child.id()).unwrap();
        let limit = Rlimit {
            current,
            maximum: getrlimit(Resource::Fsize).maximum,
        };
        prlimit(Pid::from_raw(id), Resource::Fsize, limit).unwrap();
    }
}

fn collect(reader: PipeReader) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let copy = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            copy.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    said
}

/// A server that may be limited, which is ready.
async fn server(backend: Backend, front: &[&str]) -> (Process, Http, Backend) {
    let address = format!("127.0.0.1:{}", port::free());
    let backend = backend.with("LATCHET_LISTEN", &address);
    let process = Process::start(&backend, front, &[]);
    let http = Http::new(format!("http://{address}"));
    http.ready().await;
    (process, http, backend)
}

async fn not_ready(http: &Http) {
    poll::until_some("readyz to refuse", async || {
        let answer = http.get("/readyz").try_send().await.ok()?;
        let is_failing = answer.status == 503 && answer.json()["database"] == "failing";
        is_failing.then_some(())
    })
    .await;
}

#[track_caller]
fn assert_one_bad_finding(said: &str, wanted: &str) {
    let bad = bad_findings(said);
    assert_eq!(bad.len(), 1, "{said}");
    assert!(bad[0].contains(wanted), "{said}");
}

#[track_caller]
fn assert_try_later(answer: HttpResponse) {
    let answer = answer.expect_problem(503, "unavailable");
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!(wait > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_checks_go_on_and_writes_are_asked_to_come_again() {
    let (process, http, _backend) = server(Backend::sqlite(), &MAY_BE_LIMITED).await;
    let alice = http.person("alice").await;
    let session = alice.login().await;

    process.limit_files(Some(0));

    session.check().await.expect(200);
    not_ready(&http).await;
    not_ready(&http).await;
    assert_try_later(session.refresh().await);
    assert_try_later(alice.try_login(&alice.password).await);
    poll::until("both to be logged", || {
        process.said().matches("request failed for now").count() == 2
    });
    let log = process.said();
    let lines = log
        .lines()
        .filter(|line| line.contains("request failed for now"));
    for line in lines {
        assert!(line.contains("disk I/O error"), "{line}");
    }
    let reason = "nothing can be written beside the database file";
    assert_eq!(log.matches(reason).count(), 1, "{log}");
    process.limit_files(None);
    http.ready().await;
    session.rotate().await.check().await.expect(200);
    alice.login().await;
    poll::until("that to be logged", || {
        process.said().contains("the database can serve again")
    });
}

#[test]
fn a_full_disk_is_called_so_at_the_start_and_by_the_doctor() {
    let reason = "nothing can be written beside the database file";
    let new = Backend::sqlite().with("LATCHET_LISTEN", "127.0.0.1:0");
    let used = Backend::sqlite().with("LATCHET_LISTEN", "127.0.0.1:0");
    run(&used, &["migrate"]);
    run(&used, &["key", "list"]);

    let doctor = Process::start(&used, &NO_WRITES, &["doctor"]).failure();
    assert_one_bad_finding(&doctor, reason);
    for backend in [&new, &used] {
        let said = Process::start(backend, &NO_WRITES, &[]).failure();
        assert!(said.contains(reason), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    run(&used, &["user", "list"]);
}

/// Paths that become read-only: the path, its mode then, its usual mode, and the reported reason.
fn read_only(data: &Path) -> [(PathBuf, u32, u32, &'static str); 2] {
    [
        (
            data.join("latchet.db"),
            0o400,
            0o600,
            "latchet.db cannot be written to",
        ),
        (
            data.to_owned(),
            0o500,
            0o700,
            "nothing can be written beside the database file",
        ),
    ]
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_only_be_read_is_called_so_everywhere() {
    let is_root = rustix::process::geteuid().is_root();
    let front: &[&str] = if is_root { &LIKE_ANYBODY } else { &["env"] };
    let (process, http, backend) = server(Backend::sqlite(), front).await;
    let table = read_only(&backend.folder.path().join("data"));
    for (path, mode, normal, reason) in &table {
        set_mode(path, *mode);
        not_ready(&http).await;
        let said = Process::start(&backend, front, &["doctor"]).failure();
        set_mode(path, *normal);
        http.ready().await;
        assert_one_bad_finding(&said, reason);
        poll::until("the reason to be logged", || {
            process.said().contains(reason)
        });
    }
    drop(process);
    for (path, mode, normal, reason) in &table {
        set_mode(path, *mode);

        let said = Process::start(&backend, front, &[]).failure();

        set_mode(path, *normal);
        assert!(said.contains(reason), "{said}");
    }
}
