//! Values from the environment and from the TOML file, before anybody knows what they mean.

use std::collections::BTreeMap;
use std::path::Path;

use super::ConfigError;
use super::profiles::{TABLES, Tables};

const PREFIX: &str = "LATCHET_";

/// A value that stands outside the command line, and where it stands.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) values: Vec<String>,
    pub(super) origin: String,
}

pub(super) type Givens = BTreeMap<String, Given>;

pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

pub(super) fn read_file(path: &Path, names: &[String]) -> Result<(Givens, Tables), ConfigError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::refused(format!("cannot read the settings in {shown}: {error}"))
    })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| ConfigError::refused(format!("{shown} is not TOML: {error}")))?;
    let (tables, values): (toml::Table, toml::Table) = table
        .into_iter()
        .partition(|(name, _)| TABLES.contains(&name.as_str()));
    let mut faults = Vec::new();
    let mut givens = Givens::new();
    for (name, value) in values {
        if name == "config" || !names.contains(&name) {
            let known = names.iter().map(String::as_str).chain(TABLES);
            let hint = did_you_mean(&name, known);
            faults.push(format!("{shown}: unknown key `{name}`{hint}"));
            continue;
        }
        let origin = format!("`{name}` in {shown}");
        match scalar_texts(value) {
            Some(values) => {
                givens.insert(name, Given { values, origin });
            }
            None => faults.push(format!(
                "{origin} must be a text, a number, true, false or a list of texts"
            )),
        }
    }
    if faults.is_empty() {
        Ok((givens, Tables::read(tables, &shown)?))
    } else {
        Err(ConfigError::Refused(faults))
    }
}

fn scalar_texts(value: toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(answer) => Some(vec![answer.to_string()]),
        toml::Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

pub(super) fn read_env(env: &[(String, String)], names: &[String]) -> Result<Givens, ConfigError> {
    let mut faults = Vec::new();
    let mut givens = Givens::new();
    // An empty variable is an unset one: compose files cannot leave one out.
    for (key, value) in env.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(suffix) = key.strip_prefix(PREFIX) else {
            continue;
        };
        match resolve(suffix, names) {
            Some((name, Indirect::No)) => put(&mut givens, &mut faults, name, (key, value.clone())),
            Some((name, Indirect::File)) => match std::fs::read_to_string(value) {
                Ok(text) => {
                    let text = text.trim_end_matches(['\r', '\n']).to_owned();
                    put(&mut givens, &mut faults, name, (key, text));
                }
                Err(error) => faults.push(format!("{key}: cannot read {value}: {error}")),
            },
            None if is_service_link(suffix) => {}
            None => {
                let known: Vec<String> = names.iter().map(|name| variable(name)).collect();
                let hint = did_you_mean(key, known.iter().map(String::as_str));
                faults.push(format!("unknown variable {key}{hint}"));
            }
        }
    }
    for (key, name) in [("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url")] {
        let value = env.iter().find(|(k, v)| k == key && !v.is_empty());
        if let Some((_, value)) = value
            && !givens.contains_key(name)
        {
            put(&mut givens, &mut faults, name, (key, value.clone()));
        }
    }
    if faults.is_empty() {
        Ok(givens)
    } else {
        Err(ConfigError::Refused(faults))
    }
}

/// Whether a variable holds the value or the name of a file with it.
enum Indirect {
    No,
    File,
}

fn resolve<'a>(suffix: &str, names: &'a [String]) -> Option<(&'a str, Indirect)> {
    let find = |wanted: &str| {
        names
            .iter()
            .find(|name| name.to_ascii_uppercase() == wanted)
            .map(String::as_str)
    };
    match find(suffix) {
        Some(name) => Some((name, Indirect::No)),
        None => find(suffix.strip_suffix("_FILE")?).map(|name| (name, Indirect::File)),
    }
}

/// Kubernetes gives every pod variables such as `LATCHET_SERVICE_HOST` and `LATCHET_PORT_80_TCP`
/// when a service in its namespace is called `latchet`.
fn is_service_link(suffix: &str) -> bool {
    suffix == "PORT" || suffix.starts_with("PORT_") || suffix.starts_with("SERVICE_")
}

fn put(givens: &mut Givens, faults: &mut Vec<String>, name: &str, (key, text): (&str, String)) {
    let given = Given {
        values: vec![text],
        origin: key.to_owned(),
    };
    if let Some(other) = givens.insert(name.to_owned(), given) {
        let other = other.origin;
        faults.push(format!("{key} and {other} are both set; unset one"));
    }
}

pub(super) fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(
            || "; `latchet --help` lists the settings".to_owned(),
            |(_, name)| format!("; did you mean `{name}`?"),
        )
}
