//! `latchet config …`: the settings, without a connection to anything.

use std::ffi::OsString;
use std::io::Write;

use serde_json::{Value, json};

use super::{Cli, CliError, print};
use crate::config::{
    Config, PrintableValue, Resolution, ResolvedSetting, RootSecret, SettingSource,
    parse_leniently, resolve,
};
use crate::error::error_chain;
use crate::installation::check_verification_keys;
use crate::mail::MailSender;
use crate::serve::TlsCertificate;
use latchet_guard::clock::Clock;

/// Widest column of values; longer values move the source of their line.
const WIDEST_VALUE: usize = 50;

/// Format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputFormat {
    Text,
    Json,
}

/// Returns the format if the arguments are those of `latchet config check`. They are recognised before the
/// settings are loaded, which would end with the first fault.
pub(super) fn requested_check(args: &[OsString]) -> Option<OutputFormat> {
    let matches = parse_leniently::<Cli>(args)?;
    let config = matches.subcommand_matches("config")?;
    let check = config.subcommand_matches("check")?;
    Some(if check.get_flag("json") {
        OutputFormat::Json
    } else {
        OutputFormat::Text
    })
}

/// Prints every setting with its source, and every fault.
pub(super) fn check(
    args: &[OsString],
    env: &[(OsString, OsString)],
    format: OutputFormat,
) -> Result<(), CliError> {
    let Resolution {
        parsed,
        tables,
        settings,
        written_tables,
        mut faults,
    } = resolve::<Cli>(args, env)?;
    let mut notes = Vec::new();
    match parsed.config.complete(tables, env) {
        Ok(config) => {
            add_faults(&config, &mut faults);
            notes = config.settings_without_effect();
        }
        Err(error) => faults.push(error.to_string()),
    }
    match format {
        OutputFormat::Json => {
            let settings: Vec<Value> = settings.iter().map(setting_json).collect();
            let report = json!({
                "valid": faults.is_empty(),
                "settings": settings,
                "tables": written_tables,
                "problems": faults,
                "notes": notes,
            });
            print(&format!("{report:#}\n"))?;
        }
        OutputFormat::Text => print_text(&settings, &written_tables, &faults, &notes)?,
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(CliError::Logged(2))
    }
}

/// Adds what a start would refuse, as far as it can be known without a connection.
fn add_faults(config: &Config, faults: &mut Vec<String>) {
    let mut add = |fault: String| {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    };
    match config.check() {
        // Templates, and certificates of a private authority.
        Ok(()) => {
            if let Err(error) = MailSender::open(config, &Clock::system()) {
                add(error_chain(&error).join(": "));
            }
        }
        Err(crate::config::ConfigError::Refused(refused)) => refused.into_iter().for_each(&mut add),
        Err(error @ crate::config::ConfigError::Usage(_)) => add(error.to_string()),
    }
    if let Err(error) = RootSecret::find(config) {
        add(error_chain(&error).join(": "));
    }
    if let (Some(chain), Some(key)) = (&config.tls_cert, &config.tls_key)
        && let Err(error) = TlsCertificate::load(chain, key)
    {
        add(error_chain(&error).join(": "));
    }
    for error in check_verification_keys(config) {
        add(error_chain(&error).join(": "));
    }
}

fn print_text(
    settings: &[ResolvedSetting],
    tables: &toml::Table,
    faults: &[String],
    notes: &[&str],
) -> Result<(), CliError> {
    let mut text = table(settings);
    if !tables.is_empty() {
        text.push('\n');
        text.push_str(&tables.to_string());
    }
    if faults.is_empty() {
        text.push_str("\nsettings are valid\n");
    }
    print(&text)?;
    let mut screen = std::io::stderr();
    for line in notes
        .iter()
        .copied()
        .chain(faults.iter().map(String::as_str))
    {
        // Standard error may be closed; the exit code says the same.
        let _ = writeln!(screen, "latchet: {line}");
    }
    Ok(())
}

fn table(settings: &[ResolvedSetting]) -> String {
    let values: Vec<String> = settings
        .iter()
        .map(|setting| value_text(&setting.value))
        .collect();
    let names = settings.iter().map(|setting| setting.name.chars().count());
    let name_width = names.max().unwrap_or_default();
    let value_width = values.iter().map(|value| value.chars().count());
    let value_width = value_width
        .filter(|width| *width <= WIDEST_VALUE)
        .max()
        .unwrap_or_default();
    let lines = settings.iter().zip(values).map(|(setting, value)| {
        let ResolvedSetting { name, source, .. } = setting;
        format!("{name:<name_width$}  {value:<value_width$}  {source}\n")
    });
    lines.collect()
}

fn value_text(value: &PrintableValue) -> String {
    let text = match value {
        PrintableValue::NotSet => "(not set)".to_owned(),
        PrintableValue::Malformed => "(malformed)".to_owned(),
        PrintableValue::List(values) if values.is_empty() => "(none)".to_owned(),
        PrintableValue::List(values) => values.join(","),
        PrintableValue::Text(text) => text.clone(),
    };
    // A value must not begin a line of its own, or change the terminal.
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text
    }
}

fn setting_json(setting: &ResolvedSetting) -> Value {
    let value = match &setting.value {
        PrintableValue::NotSet | PrintableValue::Malformed => Value::Null,
        PrintableValue::Text(text) => json!(text),
        PrintableValue::List(values) => json!(values),
    };
    let source = match &setting.source {
        SettingSource::Default => json!({"kind": "default"}),
        SettingSource::Option(option) => json!({"kind": "option", "name": option}),
        SettingSource::Variable(name) => json!({"kind": "variable", "name": name}),
        SettingSource::VariableFile { variable, path } => {
            json!({"kind": "file_of_variable", "name": variable, "path": path})
        }
        SettingSource::SettingsFile { key, path } => {
            json!({"kind": "settings_file", "name": key, "path": path})
        }
    };
    json!({"name": setting.name, "value": value, "source": source})
}
