//! The checker as a program: it reads a file, prints the broken promises, and sets its exit code.

#![expect(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use std::process::{Command, Output};

const HEAD: &str = r#"{"line":"run_settings","topology":"c","seed":1,"seconds":0,"grace":2000000,"recovery":2000000,"guesses":50}"#;
const LOGIN: &str = r#"{"line":"operation","sender":"honest","user":"alice","action":{"kind":"log_in","password":0},"session":"a","replica":0,"start":1,"end":2,"outcome":{"was":"ok"}}"#;
const LOGOUT: &str = r#"{"line":"operation","sender":"honest","user":"alice","action":{"kind":"log_out"},"session":"a","replica":0,"start":3,"end":4,"outcome":{"was":"ok"}}"#;
const CHECK: &str = r#"{"line":"operation","sender":"honest","user":"alice","action":{"kind":"check"},"session":"a","replica":0,"start":5,"end":6,"outcome":{"was":"ok"}}"#;

const FAULT: &str =
    r#"{"line":"injected_fault","name":"FlushRedis","start":7,"end":8,"blackout":null}"#;

fn check(lines: &[&str]) -> Output {
    check_all(&[lines])
}

fn check_all(histories: &[&[&str]]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_check"));
    for (number, lines) in histories.iter().enumerate() {
        let file = folder.path().join(format!("{number}.ndjson"));
        std::fs::write(&file, lines.join("\n")).unwrap();
        command.arg(file);
    }
    command.output().unwrap()
}

#[test]
fn a_kept_promise_ends_well() {
    let output = check(&[HEAD, LOGIN, CHECK]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_broken_promise_is_named_and_ends_badly() {
    let output = check(&[HEAD, LOGIN, LOGOUT, CHECK]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("I1 ")).unwrap();
    assert!(line.contains("BROKEN 1 times"), "{text}");
    assert!(
        text.contains("answered after its end: Honest Check by alice"),
        "{text}"
    );
}

#[test]
fn several_histories_are_judged_each_alone_and_counted_together() {
    let ended = [HEAD, LOGIN, LOGOUT, FAULT];
    let output = check_all(&[&ended, &[HEAD, LOGIN, CHECK, FAULT]]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("        4 requests\n"), "{text}");
    assert!(text.contains("        2 × FlushRedis\n"), "{text}");

    let broken = check_all(&[&[HEAD, LOGIN, LOGOUT, CHECK], &ended]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
}

#[test]
fn what_is_no_history_is_no_kept_promise() {
    for lines in [&[][..], &[LOGIN], &[HEAD, "{"]] {
        let output = check(lines);
        assert!(!output.status.success(), "{lines:?}");
    }
}
