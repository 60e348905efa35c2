//! Flask apps, as they are migrated to Latchet.

use std::process::Command;

use super::child::{Child, EndSignal};
use super::http::Http;
use super::tool::{installed, root};
use super::{poll, port, scratch};

/// A Flask app as a child process.
#[derive(Debug)]
pub(crate) struct Flask {
    pub(crate) http: Http,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Flask {
    /// Starts a script of `tests/interop` in a virtual environment and waits until it answers.
    pub(crate) async fn start(environment: &str, script: &str, settings: &[(&str, &str)]) -> Self {
        let port = port::free().to_string();
        let folder = scratch::folder();
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).expect("the folder is ours");
        let mut command = Command::new(installed(&format!("{environment}/bin/python")));
        command
            .arg(root().join("tests/interop").join(script))
            .env_clear()
            .env("PORT", &port)
            .envs(settings.iter().copied())
            .stdout(file.try_clone().expect("files can be cloned"))
            .stderr(file);
        let http = Http::new(format!("http://127.0.0.1:{port}"));
        let mut child = Child::start(&mut command, EndSignal::Kill);
        let said = || std::fs::read_to_string(&log).expect("the log is ours");
        poll::until_some("the Flask app to answer", async || {
            assert!(child.ended().is_none(), "it ended at once: {}", said());
            let answer = http.get("/ready").try_send().await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        Self {
            http,
            _child: child,
            _folder: folder,
        }
    }
}
