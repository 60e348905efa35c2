//! Description of the machine on which the figures were measured.

use std::fs;
use std::process::Command;

use latchet_guard::clock::Clock;
use serde_json::{Value, json};

/// Returns the machine, the programs and the time in a few lines.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpuinfo.matches("processor\t").count();
    let model = field(&cpuinfo, "model name");
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = field(&meminfo, "MemTotal");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{model}, {cores} cores, {memory}, Linux {}, load {} before, {}\n{}\n{}",
        kernel.trim(),
        load.join(" "),
        Clock::system().now(),
        version("redis-server"),
        version(&crate::support::backend::postgres_program("postgres")),
    )
}

/// Returns which program was measured: its version, and the commit of the sources.
pub(crate) fn program() -> Value {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    // Results, and what is made from them, are no part of the program.
    let sources = [":!benches/results", ":!docs"];
    let changes = git(&[&["status", "--porcelain", "--", "."], &sources[..]].concat());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": git(&["rev-parse", "--short=12", "HEAD"]),
        "is_changed": !changes.is_empty(),
    })
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value
        .map_or("unknown", |(_, value)| value.trim())
        .to_owned()
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(
        |_| format!("{program}: not installed"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
