//! One process of Latchet: starts, is asked whether it is ready, and ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use test_support::child::{Child, EndSignal};
use test_support::poll;
use test_support::proxy::{NetworkFault, Proxy};

/// One process of Latchet, and its own way to the databases.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) url: String,
    pub(crate) to_postgres: Option<Proxy>,
    pub(crate) to_redis: Option<Proxy>,
    pub(crate) settings: BTreeMap<&'static str, String>,
    pub(crate) root_secrets: Mutex<RootSecrets>,
    /// Time that access tokens live that it issues, in seconds.
    pub(crate) access_ttl: AtomicU64,
    pub(crate) log: PathBuf,
    pub(crate) child: Mutex<Option<Child>>,
}

/// The root secret of a replica, and the one that takes turns with it.
#[derive(Clone, Debug)]
pub(crate) struct RootSecrets {
    pub(crate) current: String,
    pub(crate) other: String,
    /// The other secret is set as the previous one.
    pub(crate) reads_other: bool,
}

impl RootSecrets {
    /// Returns the steps that make the other secret the current one: each is set on every replica in turn.
    pub(crate) fn rotation(&self) -> [Self; 2] {
        let reading = Self {
            reads_other: true,
            ..self.clone()
        };
        let rotated = Self {
            current: self.other.clone(),
            other: self.current.clone(),
            reads_other: true,
        };
        [reading, rotated]
    }
}

impl Replica {
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.settings);
        let life = self.access_ttl.load(Ordering::Relaxed);
        command.env("LATCHET_ACCESS_TTL", format!("{life}s"));
        let secrets = self.root_secrets();
        command.env("LATCHET_ROOT_SECRET", secrets.current);
        if secrets.reads_other {
            command.env("LATCHET_ROOT_SECRET_PREVIOUS", secrets.other);
        }
        command.current_dir(self.log.parent().expect("the log is in a folder"));
        command
    }

    pub(crate) fn start(&self, program: &Path) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log);
        let log = log.expect("the folder is ours");
        let mut command = self.command(program);
        command
            .stdout(log.try_clone().expect("files can be cloned"))
            .stderr(log);
        *self.child() = Some(Child::start(&mut command, EndSignal::Kill));
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("no holder panics")
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        let client = reqwest::Client::new();
        poll::until_some("a replica to be ready", async || {
            let ended = self.child().as_mut().and_then(Child::ended);
            assert!(
                ended.is_none(),
                "a replica ended, {ended:?}:\n{}",
                self.log()
            );
            let answer = client
                .get(format!("{}/readyz", self.url))
                .send()
                .await
                .ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Sets how long access tokens live that it issues from its next start on.
    pub(crate) fn set_access_ttl(&self, life: Duration) {
        self.access_ttl.store(life.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn root_secrets(&self) -> RootSecrets {
        self.root_secrets.lock().expect("no holder panics").clone()
    }

    /// Sets the root secrets that it has from its next start on.
    pub(crate) fn set_root_secrets(&self, secrets: &RootSecrets) {
        self.root_secrets
            .lock()
            .expect("no holder panics")
            .clone_from(secrets);
    }

    /// Waits until it is ready, which gives nothing, or has ended, which gives its exit code.
    pub(crate) async fn ready_or_ended(&self) -> Option<i32> {
        poll::until_some("a replica to be ready or to end", async || {
            let ended = self.child().as_mut().and_then(Child::ended);
            if let Some(ended) = ended {
                return Some(Some(ended.code().unwrap_or(-1)));
            }
            self.is_ready().await.then_some(None)
        })
        .await
    }

    /// Asks once whether it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let asked = reqwest::get(format!("{}/readyz", self.url)).await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = self.child().as_ref() {
            child.signal(signal);
        }
    }

    /// Ends it by a signal, and waits for that.
    pub(crate) fn end(&self, signal: Signal) {
        if let Some(mut child) = self.child().take()
            && child.ended().is_none()
        {
            child.signal(signal);
            child.wait(poll::DEADLINE);
        }
    }

    /// Sets the fault of its network to both databases.
    pub(crate) fn network(&self, network_fault: NetworkFault) {
        for proxy in [&self.to_postgres, &self.to_redis].into_iter().flatten() {
            proxy.set(network_fault);
        }
    }
}
