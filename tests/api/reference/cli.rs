//! `docs/reference/cli.md`

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};
use latchet::cli;
use latchet::config::Config;

use super::{page, push_heading, push_table, sentence};

const INTRODUCTION: &str = "
Without a command `latchet` serves. Every command takes the [settings](settings.md) as options too; most commands use
only those of the data folder, the databases and the root secret. A command writes its result to standard output, and
messages to standard error.

| exit status | meaning |
| --- | --- |
| 0 | The command succeeded. |
| 1 | The command failed; standard error or the log has the reason. |
| 2 | A command, an option, a variable or a key of the settings file was refused. |
";

pub(super) fn generate() -> String {
    let mut command = cli::command();
    command.build();
    let mut text = page("Command line", INTRODUCTION);
    let examples = command.get_after_help().unwrap().to_string();
    let (_, examples) = examples.split_once("Examples:\n").unwrap();
    let lines = examples.lines();
    let lines: Vec<_> = lines
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .collect();
    // Writing to a string does not fail.
    let _ = write!(text, "\n```text\n{}\n```\n", lines.join("\n").trim_end());
    push_commands(&mut text, &mut command);
    text
}

/// Appends the commands that can be run, in the order of the help.
fn push_commands(text: &mut String, command: &mut Command) {
    let subcommands = command.get_subcommands_mut();
    for sub in subcommands.filter(|sub| sub.get_name() != "help") {
        if sub.has_subcommands() {
            push_commands(text, sub);
        } else {
            push_command(text, sub);
        }
    }
}

fn push_command(text: &mut String, command: &mut Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = command.get_bin_name().unwrap();
    push_heading(text, &format!("`{name}`"));
    let about = sentence(&command.get_about().unwrap().to_string());
    // Writing to a string does not fail.
    let _ = write!(text, "\n{about}\n\n```text\n{usage}\n```\n");
    let rows: Vec<_> = own_arguments(command)
        .map(|argument| {
            let help = argument.get_help().unwrap().to_string();
            vec![format!("`{argument}`"), sentence(&help)]
        })
        .collect();
    if !rows.is_empty() {
        push_table(text, &["argument", "meaning"], &rows);
    }
}

/// Returns the arguments of a command that are neither settings nor `--help`.
fn own_arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let config = Config::command();
    let is_setting = move |argument: &Arg| {
        let mut settings = config.get_arguments();
        settings.any(|setting| setting.get_id() == argument.get_id())
    };
    command.get_arguments().filter(move |argument| {
        !["help", "version"].contains(&argument.get_id().as_str()) && !is_setting(argument)
    })
}
