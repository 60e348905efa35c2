//! `docs/reference/settings.md`

use std::any::TypeId;
use std::fmt::Write;
use std::path::PathBuf;

use clap::{Arg, CommandFactory};
use latchet::config::{Config, value_kind};

use super::source::members;
use super::{page, push_heading, push_table, sentence};

const INTRODUCTION: &str = "
Each setting is an option of the command line (`--access-ttl`), a variable (`LATCHET_ACCESS_TTL`) and a key of a TOML
file (`access_ttl`); `LATCHET_CONFIG` or `--config` names the file. The option wins over the variable, the variable
over the file, and the file over the default.

- **Values from files.** A variable with `_FILE` at the end of its name (`LATCHET_ROOT_SECRET_FILE`) names a file that
  holds the value. Settings that name a file or a folder themselves have no such variable. Files are UTF-8; a byte order
  mark is ignored.
- **Variables of platforms.** `DATABASE_URL`, `REDIS_URL`, and both with `_FILE`, count where Latchet's own variables
  are not set. `PORT` counts where neither an option nor `LATCHET_LISTEN` nor the file has an address. Variables that
  Kubernetes creates for Services (`LATCHET_PORT=tcp://10.43.0.9:8080`) are ignored.
- **Secrets.** The root secret and URLs with a password are refused as options: other users of the machine could read
  them. Use a variable or a file.
- **Errors.** An unknown, malformed or unsafe setting stops the start with a message that says how to fix it. An empty
  variable counts as not set.

| value | written as |
| --- | --- |
| address | `127.0.0.1:8080`, `[::]:8080`, `localhost:8080`, an address or a port alone, or `:8080` |
| boolean | `true`, `yes`, `on` or `1`; `false`, `no`, `off` or `0` |
| duration | `250ms`, `90s`, `15m`, `12h`, `30d`, a sequence such as `1h30m`, or a number of seconds |
| list | values separated by commas; in the file an array of texts |
| network | `10.0.0.0/8`, or one address |
| rate | number of attempts and duration, such as `10/15m` |
| size | `65536`, `64KiB`, `1MiB`, `64kB` or `1MB` |
";

const TABLES: &str = "
Tokens for third parties are configured in tables of the file; they have no options and no variables. `NAME` is the
name in `POST /v1/tokens/{profile}`, or the name of a service.
";

pub(super) fn generate() -> String {
    let mut text = page("Settings", INTRODUCTION);
    let command = Config::command();
    let mut headings: Vec<&str> = command.get_arguments().map(heading).collect();
    headings.dedup();
    for name in headings {
        push_heading(&mut text, name);
        let settings = command
            .get_arguments()
            .filter(|setting| heading(setting) == name);
        let rows: Vec<_> = settings.map(row).collect();
        push_table(
            &mut text,
            &["setting", "value", "default", "meaning"],
            &rows,
        );
    }
    push_heading(&mut text, "Tables of the file");
    text.push_str(TABLES);
    for (table, declaration) in [
        ("token_profiles", "struct ProfileSettings"),
        ("token_services", "struct ServiceSettings"),
    ] {
        let rows: Vec<_> = members(declaration)
            .into_iter()
            .map(|field| {
                let is_optional = field.rest.starts_with(": Option<")
                    || field.attributes.contains("serde(default)");
                let need = if is_optional { "optional" } else { "required" };
                vec![
                    format!("`{}`", field.name),
                    need.to_owned(),
                    sentence(&field.doc),
                ]
            })
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n### `[{table}.NAME]`");
        push_table(&mut text, &["key", "", "meaning"], &rows);
    }
    text
}

fn heading(setting: &Arg) -> &str {
    setting.get_help_heading().unwrap_or("File")
}

fn row(setting: &Arg) -> Vec<String> {
    let name = setting.get_id().as_str();
    let flag = name.replace('_', "-");
    let help = setting.get_help().unwrap().to_string();
    let (help, derived_default) = match help.split_once(" [default: ") {
        Some((help, default)) => (help, Some(default.trim_end_matches(']'))),
        None => (help.as_str(), None),
    };
    let (help, range) = split_range(help);
    let defaults = setting.get_default_values().iter();
    let default = match defaults.map(|value| value.to_str().unwrap()).next() {
        Some(default) => format!("`{default}`"),
        None => derived_default.unwrap_or("none").to_owned(),
    };
    let values = setting.get_possible_values();
    let mut meaning = sentence(help);
    for value in &values {
        let help = value.get_help().unwrap().to_string();
        // Writing to a string does not fail.
        let _ = write!(meaning, " `{}`: {}", value.get_name(), sentence(&help));
    }
    vec![
        format!("`--{flag}`<br>`LATCHET_{}`", name.to_ascii_uppercase()),
        value(setting, range),
        default,
        meaning,
    ]
}

/// Splits `text; 1 to 1000` into the text and the range.
fn split_range(help: &str) -> (&str, Option<&str>) {
    let Some((text, end)) = help.rsplit_once("; ") else {
        return (help, None);
    };
    let is_range = end
        .split_once(" to ")
        .is_some_and(|(least, most)| !least.contains(' ') && !most.contains(' '));
    if is_range {
        (text, Some(end))
    } else {
        (help, None)
    }
}

/// Returns the type, the unit and the range of a setting.
fn value(setting: &Arg, range: Option<&str>) -> String {
    let kind = value_kind(setting);
    let is_path = setting.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    assert_eq!(is_path, ["file", "folder"].contains(&kind), "{setting}");
    let list = match setting.get_value_delimiter() {
        Some(_) => "list: ",
        None => "",
    };
    let range = range.map(|range| format!(", {range}")).unwrap_or_default();
    format!("{list}{kind}{range}")
}

#[test]
fn a_range_at_the_end_of_a_help_text_is_split_off() {
    assert_eq!(split_range("Most; 1 to 1000"), ("Most", Some("1 to 1000")));
    assert_eq!(split_range("Life of a token"), ("Life of a token", None));
    assert_eq!(
        split_range("One; then go to it"),
        ("One; then go to it", None)
    );
}

/// Returns `10s` as `9s` or `11s`; `None` where it is the name of another setting, or below zero.
fn shifted(value: &str, step: i64) -> Option<String> {
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    let number = digits.parse::<i64>().ok()? + step;
    (number >= 0).then(|| format!("{number}{unit}"))
}

#[test]
fn documented_ranges_are_those_that_are_enforced() {
    let is_accepted = |setting: &Arg, value: &str| {
        let name = format!("LATCHET_{}", setting.get_id().as_str().to_ascii_uppercase());
        let others = [
            ("DATABASE_URL", "postgres://latchet@localhost/latchet"),
            ("LATCHET_ROOT_SECRET", "r7Jq2xW9vTz4LmN8bKc3PdHs6FgYtQaE"),
            ("LATCHET_ARGON2_MEMORY_KIB", "47104"),
            ("LATCHET_ARGON2_PASSES", "5"),
        ];
        let others = others.into_iter().filter(|(other, _)| *other != name);
        Config::load(["latchet"], others.chain([(name.as_str(), value)])).is_ok()
    };
    let command = Config::command();
    let mut count = 0;

    for setting in command.get_arguments() {
        let help = setting.get_help().unwrap().to_string();
        let help = help.split(" [default: ").next().unwrap();
        let Some((least, most)) = split_range(help)
            .1
            .and_then(|range| range.split_once(" to "))
        else {
            continue;
        };
        count += 1;
        assert!(is_accepted(setting, most), "{setting} {most}");
        let above = shifted(most, 1).unwrap();
        assert!(!is_accepted(setting, &above), "{setting} {above}");
        if let Some(below) = shifted(least, -1) {
            assert!(is_accepted(setting, least), "{setting} {least}");
            assert!(!is_accepted(setting, &below), "{setting} {below}");
        }
    }
    assert!(count > 5, "{count}");
}
