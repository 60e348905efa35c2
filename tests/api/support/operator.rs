//! A Debian machine as an operator sees it, for the lines of a guide. `sudo`, `apt-get` and `systemctl` are scripts
//! that record their arguments; everything else is real.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::scratch;
use super::server::BINARY;

/// The machine: `/etc` and `/var/lib` are folders of the test.
#[derive(Debug)]
pub(crate) struct OperatorMachine {
    folder: TempDir,
}

impl OperatorMachine {
    /// Returns a machine with `settings` in `/etc/latchet/latchet.toml`.
    pub(crate) fn new(settings: &str) -> Self {
        let folder = scratch::folder();
        let machine = Self { folder };
        for name in ["bin", "etc/latchet", "etc/caddy", "var/lib/latchet"] {
            std::fs::create_dir_all(machine.path().join(name)).expect("the folder is ours");
        }
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(machine.path().join("var/lib/latchet"), private)
            .expect("the folder is ours");
        machine.add_program("sudo", "[ \"$1\" != -u ] || shift 2\nexec \"$@\"");
        machine.add_program("apt-get", "echo apt-get \"$@\" >> \"$MACHINE/calls\"");
        machine.add_program(
            "systemctl",
            "echo systemctl \"$@\" >> \"$MACHINE/calls\"\n\
             [ \"$1\" != start ] || [ ! -e \"$MACHINE/bin/on-start\" ] || on-start",
        );
        let settings = machine.local(settings);
        let file = machine.path().join("etc/latchet/latchet.toml");
        std::fs::write(&file, settings).expect("the folder is ours");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("it is ours");
        machine
    }

    /// Returns the folder that stands for `/`.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces paths of a Debian machine by those of this one.
    pub(crate) fn local(&self, text: &str) -> String {
        let root = self.path().display();
        text.replace("/etc/", &format!("{root}/etc/"))
            .replace("/var/lib/", &format!("{root}/var/lib/"))
    }

    /// Adds a program, or replaces it. What is called `on-start` runs at `systemctl start`.
    pub(crate) fn add_program(&self, name: &str, script: &str) {
        let path = self.path().join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\nset -eu\n{script}\n"))
            .expect("the folder is ours");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
    }

    /// Returns a shell that runs `script` as [`Self::local`] changes it, with the program of this run.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let built = Path::new(BINARY).parent().expect("it is in a folder");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = [self.path().join("bin"), built.to_owned()];
        let paths = paths.into_iter().chain(std::env::split_paths(&path));
        let paths = std::env::join_paths(paths).expect("no path has a colon");
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", &self.local(script)])
            .env("PATH", paths)
            .env("MACHINE", self.path())
            .current_dir(self.path());
        shell
    }

    /// Runs `script` with `typed` as its input, and returns its output; panics when it fails.
    #[track_caller]
    pub(crate) fn run(&self, script: &str, typed: &str) -> String {
        let mut shell = self
            .shell(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let mut input = shell.stdin.take().expect("it is piped");
        // A script that reads nothing may have ended.
        drop(input.write_all(typed.as_bytes()));
        drop(input);
        let output = shell.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("output is text");
        assert!(output.status.success(), "{script}: {said}");
        said
    }

    /// Returns the calls of `apt-get` and `systemctl` since the last time.
    pub(crate) fn calls(&self) -> String {
        let file = self.path().join("calls");
        let calls = std::fs::read_to_string(&file).unwrap_or_default();
        drop(std::fs::remove_file(file));
        calls
    }
}
