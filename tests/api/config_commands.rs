//! `latchet config check` and `latchet config example`, as the program runs them.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::scratch;
use crate::support::server::BINARY;

const SECRET: &str = "r7Jq2xW9vTz4LmN8bKc3PdHs6FgYtQaE";

/// Runs `latchet config …` in an empty folder and asserts that the folder stays empty.
fn config(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let folder = scratch::folder();
    let output = Command::new(BINARY)
        .arg("config")
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 0, "it creates nothing");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn valid_settings_are_printed_with_their_sources() {
    // Nothing listens there: a connection would fail.
    let env = [
        ("LATCHET_ROOT_SECRET", SECRET),
        (
            "DATABASE_URL",
            "postgres://latchet:hunter2@127.0.0.1:1/latchet",
        ),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
    ];

    let output = config(&["check", "--grace", "5s"], &env);

    let printed = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{printed}{}",
        text(&output.stderr)
    );
    assert!(printed.ends_with("\nsettings are valid\n"), "{printed}");
    assert!(
        !printed.contains("hunter2") && !printed.contains(SECRET),
        "{printed}"
    );
    let line = |name: &str| {
        let mut lines = printed.lines().filter_map(|line| line.split_once(' '));
        let (_, rest) = lines.find(|(first, _)| *first == name).unwrap();
        rest.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("grace"), "5s option --grace");
    assert_eq!(line("root_secret"), "******** variable LATCHET_ROOT_SECRET");
    assert_eq!(line("access_ttl"), "15m default");
    let columns: Vec<_> = printed
        .lines()
        .filter(|line| line.ends_with("  default"))
        .filter_map(|line| line.rfind("default"))
        .collect();
    assert!(
        columns.windows(2).all(|pair| pair[0] == pair[1]),
        "{printed}"
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    let env = [
        ("LATCHET_GRACE", "soon"),
        ("LATCHET_ACCESS_TTL", "1s"),
        ("LATCHET_TLS_CERT", "/nowhere/cert.pem"),
        ("LATCHET_TLS_KEY", "/nowhere/key.pem"),
        ("LATCHET_VERIFICATION_KEYS", "/nowhere/jwk"),
        ("LATCHET_GRACES", "1s"),
        ("LATCHET_CONFIG", "/nowhere/latchet.toml"),
    ];

    let output = config(&["check"], &env);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for problem in [
        "LATCHET_GRACE: `soon` is not a duration",
        "access_ttl is 1s",
        "/nowhere/cert.pem",
        "/nowhere/jwk",
        "unknown variable LATCHET_GRACES",
        "/nowhere/latchet.toml",
    ] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    assert!(!text(&output.stdout).contains("settings are valid"));
}

#[test]
fn programs_read_the_result_as_json_with_the_tables() {
    let folder = scratch::folder();
    let file = folder.path().join("latchet.toml");
    std::fs::write(
        &file,
        "grace = \"5s\"\n[token_services.mailer]\nsecret_file = \"/nowhere/secret\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();

    let output = config(&["check", "--json"], &[("LATCHET_CONFIG", file)]);

    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(
        report["tables"]["token_services"]["mailer"]["secret_file"],
        "/nowhere/secret"
    );
    assert!(
        report["problems"][0]
            .as_str()
            .unwrap()
            .contains("/nowhere/secret")
    );
    let settings = report["settings"].as_array().unwrap();
    let grace = settings.iter().find(|setting| setting["name"] == "grace");
    let source = serde_json::json!({"kind": "settings_file", "name": "grace", "path": file});
    assert_eq!(grace.unwrap()["value"], "5s");
    assert_eq!(grace.unwrap()["source"], source);
}

#[test]
fn the_example_is_a_valid_settings_file() {
    let folder = scratch::folder();
    let file = folder.path().join("latchet.toml");
    let example = config(&["example"], &[]);
    std::fs::write(&file, &example.stdout).unwrap();

    let output = config(&["check", "--config", file.to_str().unwrap()], &[]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
