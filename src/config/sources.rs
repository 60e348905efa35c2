//! Texts of settings from the environment and from the TOML file, before they are parsed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use super::profile_tables::TABLE_NAMES;
use super::service_links::is_service_link;
use crate::text_file;

const PREFIX: &str = "LATCHET_";

/// Variables without our prefix that platforms set, and the settings whose own variable they replace if
/// that is not set.
const PLATFORM_VARIABLES: [(&str, &str); 3] = [
    ("DATABASE_URL", "database_url"),
    ("REDIS_URL", "redis_url"),
    ("PORT", "listen"),
];

/// The properties of a setting that its sources need.
#[derive(Clone, Debug)]
pub(super) struct SettingInfo {
    pub(super) name: String,
    /// True if the value names a file or a folder.
    pub(super) is_path: bool,
    /// True if it may have several values.
    pub(super) is_list: bool,
}

/// A value from outside the command line, and its origin.
#[derive(Clone, Debug)]
pub(super) struct SettingValue {
    pub(super) values: Vec<String>,
    pub(super) origin: SettingOrigin,
}

/// Origin of a value from outside the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SettingOrigin {
    /// The variable of this name.
    Variable(String),
    /// The file that the variable names.
    VariableFile { variable: String, path: String },
    /// The key of the settings file.
    SettingsFile { key: String, path: String },
    /// The default of this setting, which depends on other settings.
    DerivedDefault(String),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(variable) | Self::VariableFile { variable, .. } => f.write_str(variable),
            Self::SettingsFile { key, path } => write!(f, "`{key}` in {path}"),
            Self::DerivedDefault(name) => write!(f, "the default of `{name}`"),
        }
    }
}

pub(super) type SettingValues = BTreeMap<String, SettingValue>;

pub(super) fn variable_name(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

/// The content of the settings file.
#[derive(Debug, Default)]
pub(super) struct SettingsFile {
    pub(super) values: SettingValues,
    /// The tables as they are written.
    pub(super) tables: toml::Table,
    /// The reasons to refuse the file.
    pub(super) faults: Vec<String>,
}

impl SettingsFile {
    fn refused(fault: String) -> Self {
        Self {
            faults: vec![fault],
            ..Self::default()
        }
    }
}

pub(super) fn read_file(path: &Path, settings: &[SettingInfo]) -> SettingsFile {
    let shown = path.display();
    let text = match text_file::read(path) {
        Ok(text) => text,
        Err(error) => {
            let fault = format!("cannot read the settings in {shown}: {error}");
            return SettingsFile::refused(fault);
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return SettingsFile::refused(format!("{shown} is not TOML: {error}")),
    };
    let (tables, values): (toml::Table, toml::Table) = table
        .into_iter()
        .partition(|(name, _)| TABLE_NAMES.contains(&name.as_str()));
    let mut file = SettingsFile {
        tables,
        ..SettingsFile::default()
    };
    for (name, value) in values {
        let known = settings.iter().find(|setting| setting.name == name);
        let Some(setting) = known.filter(|_| name != "config") else {
            let names = settings.iter().map(|setting| setting.name.as_str());
            let hint = did_you_mean(&name, names.chain(TABLE_NAMES));
            let fault = format!("{shown}: unknown key `{name}`{hint}");
            file.faults.push(fault);
            continue;
        };
        let origin = SettingOrigin::SettingsFile {
            key: name.clone(),
            path: shown.to_string(),
        };
        match texts_of_value(value) {
            Some(values) if values.len() != 1 && !setting.is_list => {
                let fault = format!("{origin} takes one value, not a list");
                file.faults.push(fault);
            }
            Some(values) => {
                file.values.insert(name, SettingValue { values, origin });
            }
            None => file.faults.push(format!(
                "{origin} must be a text, a number, true, false or a list of texts"
            )),
        }
    }
    file
}

fn texts_of_value(value: toml::Value) -> Option<Vec<String>> {
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

/// Returns the variables that are settings, and the faults: a variable has our prefix, or nearly our prefix, and
/// is no setting; a setting cannot be read.
pub(super) fn read_environment(
    env: &[(OsString, OsString)],
    settings: &[SettingInfo],
) -> (SettingValues, Vec<String>) {
    let mut reader = EnvironmentReader {
        settings,
        setting_values: SettingValues::new(),
        faults: Vec::new(),
    };
    // An empty variable is an unset one: compose files cannot leave one out.
    for (key, value) in env.iter().filter(|(_, value)| !value.is_empty()) {
        let key = key.to_string_lossy();
        match key.strip_prefix(PREFIX) {
            Some(suffix) => reader.read(&key, suffix, value),
            None => reader.refuse_misspelled(&key),
        }
    }
    for (key, name) in PLATFORM_VARIABLES {
        reader.read_platform_variable(key, name, env);
    }
    (reader.setting_values, reader.faults)
}

struct EnvironmentReader<'a> {
    settings: &'a [SettingInfo],
    setting_values: SettingValues,
    faults: Vec<String>,
}

impl EnvironmentReader<'_> {
    fn read(&mut self, key: &str, suffix: &str, value: &OsStr) {
        match self.resolve(suffix) {
            Some((setting, VariableContent::Value)) => self.put_value(&setting.name, key, value),
            Some((setting, VariableContent::FileName)) if setting.is_path => {
                let variable = variable_name(&setting.name);
                self.faults.push(format!(
                    "unknown variable {key}; did you mean `{variable}`, which names the file itself?"
                ));
            }
            Some((setting, VariableContent::FileName)) => self.put_file(&setting.name, key, value),
            None if value
                .to_str()
                .is_some_and(|value| is_service_link(suffix, value)) => {}
            None => {
                let hint = self.did_you_mean(key);
                self.faults.push(format!("unknown variable {key}{hint}"));
            }
        }
    }

    /// Reads a variable that other programs read too. The variable of the setting itself has precedence.
    fn read_platform_variable(&mut self, key: &str, name: &str, env: &[(OsString, OsString)]) {
        if self.setting_values.contains_key(name) {
            return;
        }
        let find = |wanted: &str| {
            let found = env
                .iter()
                .find(|(key, value)| key == wanted && !value.is_empty());
            found.map(|(_, value)| value)
        };
        if key == "PORT" {
            let port = find(key).map(|port| {
                let mut text = OsString::from(":");
                text.push(port);
                text
            });
            if let Some(port) = port {
                self.put_value(name, key, &port);
            }
            return;
        }
        if let Some(value) = find(key) {
            self.put_value(name, key, value);
        }
        let file = format!("{key}_FILE");
        if let Some(value) = find(&file) {
            self.put_file(name, &file, value);
        }
    }

    fn put_file(&mut self, name: &str, key: &str, value: &OsStr) {
        let path = Path::new(value);
        match text_file::read(path) {
            Ok(text) => match text_file::strip_line_end(&text) {
                "" => self
                    .faults
                    .push(format!("{key}: {} is empty", path.display())),
                text => {
                    let origin = SettingOrigin::VariableFile {
                        variable: key.to_owned(),
                        path: path.display().to_string(),
                    };
                    self.put(name, origin, text);
                }
            },
            Err(error) => {
                let path = path.display();
                self.faults
                    .push(format!("{key}: cannot read {path}: {error}"));
            }
        }
    }

    fn put_value(&mut self, name: &str, key: &str, value: &OsStr) {
        match text_file::decode(value.as_encoded_bytes()) {
            // Shells remove quotes; files with variables for containers keep them.
            Ok(text) if is_quoted(text) => self.faults.push(format!(
                "{key}: the value has quotes around it; leave them out where no shell reads the variable"
            )),
            Ok(text) => self.put(name, SettingOrigin::Variable(key.to_owned()), text),
            Err(error) => self.faults.push(format!("{key}: {error}")),
        }
    }

    fn put(&mut self, name: &str, origin: SettingOrigin, text: &str) {
        if let Some(other) = self.setting_values.get(name) {
            let other = &other.origin;
            self.faults
                .push(format!("{origin} and {other} are both set; unset one"));
        }
        let given = SettingValue {
            values: vec![text.to_owned()],
            origin,
        };
        self.setting_values.insert(name.to_owned(), given);
    }

    fn resolve(&self, suffix: &str) -> Option<(SettingInfo, VariableContent)> {
        let find = |wanted: &str| {
            let mut settings = self.settings.iter();
            settings.find(|setting| setting.name.to_ascii_uppercase() == wanted)
        };
        let found = match find(suffix) {
            Some(setting) => (setting, VariableContent::Value),
            None => (
                find(suffix.strip_suffix("_FILE")?)?,
                VariableContent::FileName,
            ),
        };
        Some((found.0.clone(), found.1))
    }

    /// Refuses the name of a setting with small letters or a mistake in the prefix. Other variables belong
    /// to other programs.
    fn refuse_misspelled(&mut self, key: &str) {
        let upper = key.to_ascii_uppercase().replace('-', "_");
        let shared = PLATFORM_VARIABLES.iter().any(|(name, _)| {
            *name != "PORT" && (upper == *name || upper.strip_suffix("_FILE") == Some(name))
        });
        let is_ours = upper.starts_with(PREFIX) || (self.has_nearly_our_prefix(&upper));
        let is_unlike = upper != key;
        if is_ours || (shared && is_unlike) {
            let hint = if shared {
                format!("; did you mean `{upper}`?")
            } else {
                self.did_you_mean(&upper)
            };
            self.faults.push(format!("unknown variable {key}{hint}"));
        }
    }

    /// `LATCHETT_GRACE`, `LATCH_GRACE`, `LATCHETGRACE`: nearly our prefix, and the name of a setting.
    fn has_nearly_our_prefix(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| {
            let name = setting.name.to_ascii_uppercase();
            let rest = key.strip_suffix("_FILE").unwrap_or(key);
            let prefix = rest.strip_suffix(&name);
            prefix.is_some_and(|prefix| {
                let prefix = prefix.trim_end_matches('_');
                prefix.starts_with('L') && strsim::osa_distance(prefix, "LATCHET") <= 2
            })
        })
    }

    fn did_you_mean(&self, key: &str) -> String {
        let shared = PLATFORM_VARIABLES
            .iter()
            .map(|(name, _)| (*name).to_owned());
        let own = self
            .settings
            .iter()
            .map(|setting| variable_name(&setting.name));
        let known: Vec<String> = own.chain(shared).collect();
        did_you_mean(key, known.iter().map(String::as_str))
    }
}

/// Content of a variable: the value itself, or the name of a file that holds it.
enum VariableContent {
    Value,
    FileName,
}

fn is_quoted(text: &str) -> bool {
    ['"', '\''].iter().any(|quote| {
        let inner = text.strip_prefix(*quote);
        inner.is_some_and(|inner| inner.ends_with(*quote))
    })
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
