//! The notes of `examples/spa`, started by their one command, and used in Chromium.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::program;
use crate::support::child::{Child, EndSignal};
use crate::support::http::Http;
use crate::support::tool::{assert_passes, assert_passes_alone, browser_script, root};
use crate::support::{Backend, poll, port, scratch};

/// Returns the folder of the example, where `scripts/test` has installed its packages.
fn folder() -> PathBuf {
    let folder = root().join("examples/spa");
    assert!(
        folder.join("node_modules/vite").exists(),
        "its packages are missing; run the tests by `scripts/test`, which installs what they need"
    );
    folder
}

/// Returns the one command, with a service that is built already.
fn start(backend: &Backend, service: PathBuf) -> Command {
    let log = std::fs::File::create(backend.folder.path().join("log")).unwrap();
    let mut command = Command::new("node");
    command
        .arg(folder().join("start.mjs"))
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(backend.settings())
        .env("NOTES_SERVICE", service)
        .current_dir(backend.folder.path())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_keep_their_notes_and_sessions() {
    let listen = format!("127.0.0.1:{}", port::free());
    let pages = port::free().to_string();
    let backend = Backend::sqlite()
        .with("LATCHET_LISTEN", &listen)
        .with("PORT", &pages);
    let printed = || std::fs::read_to_string(backend.folder.path().join("log")).unwrap();
    let mut command = start(&backend, program("spa"));
    let mut running = Child::start(&mut command, EndSignal::Interrupt);
    poll::until("the address to be printed", || {
        assert!(running.ended().is_none(), "it ended: {}", printed());
        printed().contains("sign in as")
    });
    let site = format!("http://127.0.0.1:{pages}");
    assert!(printed().contains(&site), "{}", printed());
    let service = Http::new(format!("http://{listen}"));
    let bob = service.person("bob").await;

    assert_passes_alone(
        browser_script("notes.mjs", &site)
            .env("OTHER_NAME", bob.name)
            .env("OTHER_PASSWORD", bob.password),
    );

    running.signal(Signal::INT);
    assert!(running.wait(poll::DEADLINE).success(), "{}", printed());
    for http in [service, Http::new(site)] {
        assert!(http.get("/").try_send().await.is_err(), "{}", http.base());
    }
}

#[test]
fn a_service_that_does_not_start_ends_the_command() {
    let backend = Backend::sqlite().with("LATCHET_GRACE", "an hour");
    let mut command = start(&backend, program("spa"));

    let status = Child::start(&mut command, EndSignal::Interrupt).wait(poll::DEADLINE);

    assert_eq!(status.code(), Some(1));
    let printed = std::fs::read_to_string(backend.folder.path().join("log")).unwrap();
    assert!(printed.contains("an hour"), "{printed}");
}

#[test]
fn the_example_pages_type_check_and_build() {
    let built = scratch::folder();
    let run = |tool: &str| {
        let mut command = Command::new(folder().join("node_modules/.bin").join(tool));
        command.current_dir(folder());
        command
    };

    assert_passes(&mut run("tsc"));
    assert_passes(
        run("vite")
            .args(["build", "--emptyOutDir", "--outDir"])
            .arg(built.path()),
    );

    let page = std::fs::read_to_string(built.path().join("index.html")).unwrap();
    assert!(page.contains("<title>Notes</title>"), "{page}");
}
