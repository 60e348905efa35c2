//! The notes of `examples/spa`, started by their one command, and used in Chromium.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tokio::net::TcpListener;

use super::program;
use crate::support::child::{Child, EndSignal};
use crate::support::http::Http;
use crate::support::server::BINARY;
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

/// Returns the one command. `variable` names the program, which is built already.
fn start(backend: &Backend, variable: &str, program: impl AsRef<OsStr>) -> Command {
    let log = std::fs::File::create(backend.folder.path().join("log")).unwrap();
    let mut command = Command::new("node");
    command
        .arg(folder().join("start.mjs"))
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(backend.settings())
        .env(variable, program)
        .current_dir(backend.folder.path())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

/// Returns everything that the command has printed.
fn printed(backend: &Backend) -> String {
    std::fs::read_to_string(backend.folder.path().join("log")).unwrap()
}

/// Uses the notes that a program serves, and stops them.
async fn assert_users_keep_their_notes(variable: &str, program: impl AsRef<OsStr>) {
    let listen = format!("127.0.0.1:{}", port::free());
    let pages = port::free().to_string();
    let backend = Backend::sqlite()
        .with("LATCHET_LISTEN", &listen)
        .with("PORT", &pages);
    let mut command = start(&backend, variable, program);
    let mut running = Child::start(&mut command, EndSignal::Interrupt);
    poll::until("the address to be printed", || {
        let printed = printed(&backend);
        assert!(running.ended().is_none(), "it ended: {printed}");
        printed.contains("sign in as")
    });
    let site = format!("http://127.0.0.1:{pages}");
    assert!(printed(&backend).contains(&site), "{}", printed(&backend));
    let service = Http::new(format!("http://{listen}"));
    let bob = service.person("bob").await;

    assert_passes_alone(
        browser_script("notes.mjs", &site)
            .env("OTHER_NAME", bob.name)
            .env("OTHER_PASSWORD", bob.password),
    );

    running.signal(Signal::INT);
    let status = running.wait(poll::DEADLINE);
    assert!(status.success(), "{}", printed(&backend));
    for http in [service, Http::new(site)] {
        assert!(http.get("/").try_send().await.is_err(), "{}", http.base());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_keep_their_notes_and_sessions() {
    assert_users_keep_their_notes("LATCHET", BINARY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_keep_their_notes_in_the_service_with_latchet_inside() {
    assert_users_keep_their_notes("NOTES_SERVICE", program("spa")).await;
}

#[test]
fn a_service_that_does_not_start_ends_the_command() {
    // The command ends with the code of the program: that of Latchet for refused settings is 2.
    for (variable, program, code) in [
        ("LATCHET", BINARY.into(), 2),
        ("NOTES_SERVICE", program("spa"), 1),
    ] {
        let backend = Backend::sqlite()
            .with("LATCHET_GRACE", "an hour")
            .with("LATCHET_LISTEN", &format!("127.0.0.1:{}", port::free()))
            .with("PORT", &port::free().to_string());
        let mut command = start(&backend, variable, program);

        let status = Child::start(&mut command, EndSignal::Interrupt).wait(poll::DEADLINE);

        assert_eq!(status.code(), Some(code), "{variable}");
        let printed = printed(&backend);
        assert!(printed.contains("an hour"), "{printed}");
    }
}

#[tokio::test]
async fn a_port_that_is_in_use_is_reported_with_another_choice() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap();
    for (name, value) in [
        ("LATCHET_LISTEN", taken.to_string()),
        ("PORT", taken.port().to_string()),
    ] {
        let backend = Backend::sqlite()
            .with("LATCHET_LISTEN", &format!("127.0.0.1:{}", port::free()))
            .with("PORT", &port::free().to_string())
            .with(name, &value);
        let mut command = start(&backend, "LATCHET", BINARY);

        let status = Child::start(&mut command, EndSignal::Interrupt).wait(poll::DEADLINE);

        assert_eq!(status.code(), Some(1), "{name}");
        let printed = printed(&backend);
        let port = format!("Port {}", taken.port());
        assert!(printed.contains(&port), "{printed}");
        assert!(printed.contains(&format!("{name}=")), "{printed}");
    }
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
