use std::path::PathBuf;

use super::*;
use crate::config::ConfigError;

fn parse(args: &[&str]) -> Result<Cli, ConfigError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    load(&args, &[]).map(|(cli, _)| cli)
}

fn message(args: &[&str]) -> String {
    match parse(args) {
        Ok(cli) => panic!("accepted: {cli:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn no_command_means_serve_and_options_may_precede_or_follow_a_command() {
    assert!(parse(&["latchet"]).unwrap().command.is_none());
    for args in [
        ["latchet", "--data-dir", "/srv", "user", "list"],
        ["latchet", "user", "list", "--data-dir", "/srv"],
    ] {
        let cli = parse(&args).unwrap();

        assert_eq!(cli.config.data_dir, PathBuf::from("/srv"));
        assert_eq!(cli.config.database_url.expose(), "sqlite:///srv/latchet.db");
    }
}

#[test]
fn the_help_of_a_command_lists_its_own_options() {
    let serve = message(&["latchet", "--help"]);
    let add = message(&["latchet", "user", "add", "--help"]);

    assert!(serve.contains("--access-ttl") && serve.contains("Examples:"));
    assert!(add.contains("--admin") && add.contains("--database-url"));
    assert!(!add.contains("--access-ttl"), "{add}");
}

#[test]
fn a_mistyped_option_or_command_gets_a_suggestion() {
    assert!(message(&["latchet", "--acess-ttl", "1m"]).contains("--access-ttl"));
    assert!(message(&["latchet", "usr", "list"]).contains("user"));
}

#[test]
fn an_invalid_role_is_refused_before_the_database_is_opened() {
    assert!(message(&["latchet", "user", "roles", "alice", "Ad min"]).contains("a role must have"));
}
