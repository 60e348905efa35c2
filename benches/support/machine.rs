//! Description of the machine on which the figures were measured.

use std::fs;
use std::process::Command;

use latchet_guard::clock::Clock;

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
