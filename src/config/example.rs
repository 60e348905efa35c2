//! The example of a settings file, generated from the definitions of the settings.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::Config;
use super::sources::variable_name;

/// Longest line of a comment.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Settings of Latchet, each with its default. A line that begins with `#` and a letter is a setting:
# remove the `#` to set it. The variable of a setting wins over this file.
";

/// Example of the tables, which have no options. Each key of the tables is in it.
const TABLES: &str = r#"
# == Tables ==

# Tokens for third parties: the profile `iterable` is for `POST /v1/tokens/iterable`.
#[token_profiles.iterable]
# Algorithm of the signature: HS256, EdDSA, ES256 or RS256.
#algorithm = "HS256"
# File with the secret for HS256 (at least 32 bytes), or with a private key in PEM.
#key_file = "/etc/latchet/iterable-key"
# Lifetime of a token; 1s to 365d.
#lifetime = "1h"
# Claims of a token; one of them must name the user.
#claims = { email = { user = "username" }, plan = { constant = "free" } }
# Claims `iss` and `aud`, if the third party requires them.
#issuer = "https://auth.example.org"
#audience = "https://api.example.com"
# Users that may request a token for themselves: "any", { role = "NAME" } or "none" (default).
#users = "any"
# Services that may request a token for any user.
#services = ["mailer"]

# A service: a program that gets tokens for itself (`client_credentials`), or third-party tokens for
# users.
#[token_services.mailer]
# Hashes of one or two secrets, as `latchet service secret` prints them.
#secret_hashes = ["uNf6BlTn0a3FgHRpvzTC9cJtXhHcbqoFnCzAdIDnkcU"]
# Or a file with the secret (at least 32 bytes).
#secret_file = "/etc/latchet/mailer-secret"
# Scopes that its own tokens may have.
#scopes = ["orders:read"]
# May it introspect tokens?
#introspection = false
# Refuse it, without removing it?
#disabled = false
"#;

/// Returns a settings file with every setting, as a comment.
pub fn example() -> String {
    let command = Config::command();
    let mut text = HEAD.to_owned();
    let mut heading = "";
    for setting in command.get_arguments() {
        // The name of the file itself, and the help, have no heading.
        let Some(own_heading) = setting.get_help_heading() else {
            continue;
        };
        if own_heading != heading {
            heading = own_heading;
            // Writing to a string does not fail.
            let _ = write!(text, "\n# == {heading} ==\n");
        }
        push_setting(&mut text, &command, setting);
    }
    text.push_str(TABLES);
    text
}

fn push_setting(text: &mut String, command: &Command, setting: &Arg) {
    let name = setting.get_id().as_str();
    let (help, derived_default) = help_and_default(setting);
    let list = setting.get_value_delimiter().map_or("", |_| "list: ");
    let values: Vec<String> = setting
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let kind = match values.as_slice() {
        // Those of a boolean are in its name.
        [] => value_kind(setting).to_owned(),
        values => values.join(" or "),
    };
    let default = match (static_default(setting), derived_default) {
        (Some(default), _) | (None, Some(default)) => default,
        (None, None) => "none".to_owned(),
    };
    text.push('\n');
    push_comment(text, &help);
    let variable = variable_name(name);
    push_comment(
        text,
        &format!("{variable}; {list}{kind}; default: {default}"),
    );
    let value = toml_value(setting, &sample(command, setting));
    // Writing to a string does not fail.
    let _ = writeln!(text, "#{name} = {value}");
}

fn push_comment(text: &mut String, comment: &str) {
    let mut line = "#".to_owned();
    for word in comment.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Splits `Text [default: other]` into the text and the default.
fn help_and_default(setting: &Arg) -> (String, Option<String>) {
    let help = setting.get_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    match help.split_once(" [default: ") {
        Some((help, default)) => {
            let default = default.trim_end_matches(']');
            (help.to_owned(), Some(default.to_owned()))
        }
        None => (help, None),
    }
}

fn static_default(setting: &Arg) -> Option<String> {
    let value = setting.get_default_values().first()?;
    Some(value.to_string_lossy().into_owned())
}

/// Returns a value that the setting accepts: the default if there is one.
fn sample(command: &Command, setting: &Arg) -> String {
    let (help, derived_default) = help_and_default(setting);
    if let Some(default) = static_default(setting) {
        return default;
    }
    if let Some(default) = derived_default {
        if default.bytes().all(|byte| byte.is_ascii_digit()) {
            return default;
        }
        let other = default
            .strip_prefix("--")
            .map(|flag| flag.replace('-', "_"));
        let other = other.and_then(|name| {
            let mut settings = command.get_arguments();
            settings.find(|setting| setting.get_id().as_str() == name)
        });
        if let Some(other) = other {
            return sample(command, other);
        }
    }
    if let Some((_, example)) = help.split_once("such as ") {
        let end = example.find([' ', ',', ';']).unwrap_or(example.len());
        return example[..end].trim_matches('`').to_owned();
    }
    match value_kind(setting) {
        "file" | "folder" => format!("/etc/latchet/{}", setting.get_id()),
        "number" => "4".to_owned(),
        "secret" => "the output of `latchet secret`".to_owned(),
        _ => "alice".to_owned(),
    }
}

/// Writes a value in TOML.
fn toml_value(setting: &Arg, value: &str) -> String {
    let text = toml::Value::String(value.to_owned());
    match value_kind(setting) {
        "boolean" | "number" | "number of bytes" | "number of KiB" => value.to_owned(),
        _ if setting.get_value_delimiter().is_some() => toml::Value::Array(vec![text]).to_string(),
        _ => text.to_string(),
    }
}

/// Returns the type and the unit of a setting, in words.
pub fn value_kind(setting: &Arg) -> &'static str {
    let names = setting.get_value_names().unwrap_or_default();
    let name = names.first().map_or("", |name| name.as_str());
    match name.trim_end_matches(",…") {
        "ADDR:PORT" => "address",
        "BOOL" => "boolean",
        "BYTES" => "number of bytes",
        "CIDR" => "network",
        "DIR" => "folder",
        "FILE" => "file",
        "KIB" => "number of KiB",
        "N" | "NUMBER" => "number",
        "N/TIME" => "rate",
        "SECRET" => "secret",
        "SIZE" => "size",
        "TIME" => "duration",
        "URL" => "URL",
        _ => "name",
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{load, profile_tables::TokenProfileTables};

    fn load_text(text: &str) -> (Config, TokenProfileTables) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchet.toml");
        std::fs::write(&file, text).unwrap();
        let args = ["latchet".into(), "--config".into(), OsString::from(&file)];
        let (config, tables) = load::<Config>(&args, &[]).unwrap();
        let config = Config {
            config: None,
            ..config
        };
        (config, tables)
    }

    /// Returns the example with every setting set.
    fn uncommented() -> String {
        let text = example();
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_equals_the_defaults() {
        let (config, tables) = load_text(&example());

        let (default, _) = load::<Config>(&["latchet".into()], &[]).unwrap();
        assert_eq!(format!("{config:?}"), format!("{default:?}"));
        assert!(tables.profiles.is_empty() && tables.services.is_empty());
    }

    #[test]
    fn every_line_of_the_example_is_accepted_and_no_setting_is_missing() {
        let text = uncommented();

        let (_, tables) = load_text(&text);

        assert_eq!(tables.profiles.len(), 1);
        assert_eq!(tables.services.len(), 1);
        let table: toml::Table = text.parse().unwrap();
        let command = Config::command();
        for setting in command.get_arguments() {
            let name = setting.get_id().as_str();
            let is_there = table.contains_key(name);
            assert_eq!(is_there, setting.get_help_heading().is_some(), "{name}");
        }
    }

    #[test]
    fn a_line_is_not_longer_than_the_width() {
        for line in example().lines() {
            assert!(line.chars().count() <= WIDTH + 2, "{line}");
        }
    }
}
