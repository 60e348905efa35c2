//! Every setting with its value and its source, for people who look for a mistake. Unlike a start, which ends
//! with the first kind of fault, this collects all of them.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches};
use secrecy::SecretString;

use super::load::{
    Sources, derive_defaults, malformed_value, read_sources, refuse_secrets_as_flags, settings,
    try_parse,
};
use super::profile_tables::TokenProfileTables;
use super::sources::SettingOrigin;
use super::{ConfigError, DatabaseUrl};

const MASK: &str = "********";

/// The settings as a start would use them, and the reasons to refuse them.
#[derive(Debug)]
pub struct Resolution<T> {
    /// The parsed settings. A malformed value is replaced by the default.
    pub parsed: T,
    /// The parsed tables; empty if they are malformed.
    pub tables: TokenProfileTables,
    /// Each setting, in the order of the help.
    pub settings: Vec<ResolvedSetting>,
    /// The tables as they are written, with secrets masked.
    pub written_tables: toml::Table,
    /// The faults that were found so far.
    pub faults: Vec<String>,
}

/// A setting with its value and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedSetting {
    /// Name of the key in the settings file.
    pub name: String,
    /// The value, with secrets masked.
    pub value: PrintableValue,
    /// Its source.
    pub source: SettingSource,
}

/// A value that may be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintableValue {
    /// The setting is not set and has no default.
    NotSet,
    /// The value is malformed, and may be a secret in the wrong place.
    Malformed,
    /// A value.
    Text(String),
    /// The values of a list.
    List(Vec<String>),
}

/// Source of the value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// The default.
    Default,
    /// The option of this name on the command line.
    Option(String),
    /// A variable.
    Variable(String),
    /// The file that a variable names.
    VariableFile {
        /// Name of the variable.
        variable: String,
        /// Path of the file.
        path: String,
    },
    /// A key of the settings file.
    SettingsFile {
        /// Name of the key.
        key: String,
        /// Path of the file.
        path: String,
    },
}

impl From<&SettingOrigin> for SettingSource {
    fn from(origin: &SettingOrigin) -> Self {
        match origin.clone() {
            SettingOrigin::Variable(name) => Self::Variable(name),
            SettingOrigin::VariableFile { variable, path } => Self::VariableFile { variable, path },
            SettingOrigin::SettingsFile { key, path } => Self::SettingsFile { key, path },
            SettingOrigin::DerivedDefault(_) => Self::Default,
        }
    }
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Option(option) => write!(f, "option {option}"),
            Self::Variable(variable) => write!(f, "variable {variable}"),
            Self::VariableFile { variable, path } => write!(f, "file {path}, named by {variable}"),
            Self::SettingsFile { key, path } => write!(f, "key {key} in {path}"),
        }
    }
}

/// Resolves the settings of `T`, which holds the options of [`super::Config`].
///
/// # Errors
/// When an option of the command line is wrong, or when help was requested.
pub fn resolve<T: CommandFactory + FromArgMatches>(
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> Result<Resolution<T>, ConfigError> {
    let command = T::command();
    let infos = settings(&command);
    let mut sources = read_sources::<T>(args, env, &infos);
    let mut malformed = BTreeMap::new();
    let first = parse_well_formed::<T>(args, &mut sources, &mut malformed)?;
    if let Err(ConfigError::Refused(faults)) = refuse_secrets_as_flags(&first) {
        sources.faults.extend(faults);
    }
    derive_defaults(&first, &mut sources.values);
    let second = parse_well_formed::<T>(args, &mut sources, &mut malformed)?;
    let mut faults = std::mem::take(&mut sources.faults);
    let tables = TokenProfileTables::read(sources.tables.clone(), &sources.file_name);
    let tables = tables.unwrap_or_else(|error| {
        faults.push(error.to_string());
        TokenProfileTables::default()
    });
    let arguments = command.get_arguments();
    let arguments =
        arguments.filter(|arg| infos.iter().any(|info| info.name == arg.get_id().as_str()));
    let settings = arguments.map(|arg| match malformed.get(arg.get_id().as_str()) {
        Some(source) => ResolvedSetting {
            name: arg.get_id().to_string(),
            value: PrintableValue::Malformed,
            source: SettingSource::clone(source),
        },
        None => resolved_setting(arg, &second, &sources),
    });
    Ok(Resolution {
        settings: settings.collect(),
        parsed: T::from_arg_matches(&second)?,
        tables,
        written_tables: mask_table(sources.tables),
        faults,
    })
}

/// Parses the settings, and takes out those that are malformed.
fn parse_well_formed<T: CommandFactory>(
    args: &[OsString],
    sources: &mut Sources,
    malformed: &mut BTreeMap<String, SettingSource>,
) -> Result<ArgMatches, ConfigError> {
    loop {
        let error = match try_parse::<T>(args, &sources.values) {
            Ok(matches) => return Ok(matches),
            Err(error) => error,
        };
        let Some((name, fault)) = malformed_value::<T>(&error, &sources.values) else {
            return Err(error.into());
        };
        sources.faults.push(fault);
        if let Some(given) = sources.values.remove(&name) {
            malformed.insert(name, SettingSource::from(&given.origin));
        }
    }
}

fn resolved_setting(arg: &Arg, matches: &ArgMatches, sources: &Sources) -> ResolvedSetting {
    let name = arg.get_id().to_string();
    let is_option = matches.value_source(&name) == Some(ValueSource::CommandLine);
    let source = match sources.values.get(&name) {
        _ if is_option => SettingSource::Option(format!("--{}", name.replace('_', "-"))),
        Some(given) => SettingSource::from(&given.origin),
        None => SettingSource::Default,
    };
    let values = matches.get_raw(&name).into_iter().flatten();
    let mut values: Vec<String> = values
        .map(|value| masked(arg, &value.to_string_lossy()))
        .collect();
    let value = if arg.get_value_delimiter().is_some() {
        PrintableValue::List(values)
    } else {
        values
            .pop()
            .map_or(PrintableValue::NotSet, PrintableValue::Text)
    };
    ResolvedSetting {
        name,
        value,
        source,
    }
}

/// Returns a value without the secrets in it.
fn masked(arg: &Arg, value: &str) -> String {
    let kind = arg.get_value_parser().type_id();
    let is_secret = kind == TypeId::of::<SecretString>();
    if !is_secret && kind != TypeId::of::<DatabaseUrl>() {
        return value.to_owned();
    }
    let names = arg.get_value_names().unwrap_or_default();
    if names.first().is_some_and(|name| name.as_str() == "URL") {
        mask_url(value)
    } else {
        MASK.to_owned()
    }
}

/// Masks the password of a URL, and those in its parameters. If it is not clear where the password ends, more is
/// masked: a password may contain characters that should have been escaped.
fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        return if rest.contains(['@', '?']) {
            format!("{scheme}:{MASK}")
        } else {
            url.to_owned()
        };
    };
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:{MASK}@"), address),
            None => (format!("{login}@"), address),
        },
        None => (String::new(), rest),
    };
    let (address, query) = match address.split_once('?') {
        Some((address, query)) => {
            let pairs: Vec<String> = query.split('&').map(mask_parameter).collect();
            (address, format!("?{}", pairs.join("&")))
        }
        None => (address, String::new()),
    };
    format!("{scheme}://{login}{address}{query}")
}

fn mask_parameter(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default();
    if is_secret_name(name) {
        format!("{name}={MASK}")
    } else {
        pair.to_owned()
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "secret", "token", "%"]
        .iter()
        .any(|part| name.contains(part))
}

/// Masks what looks like a secret: the tables have no such keys, but somebody may have written one.
fn mask_table(table: toml::Table) -> toml::Table {
    let masked = table.into_iter().map(|(key, value)| {
        let value = match value {
            toml::Value::Table(inner) => toml::Value::Table(mask_table(inner)),
            toml::Value::String(_)
                if !key.ends_with("_file") && (is_secret_name(&key) || key.contains("key")) =>
            {
                toml::Value::String(MASK.to_owned())
            }
            value => value,
        };
        (key, value)
    });
    masked.collect()
}

#[cfg(test)]
mod tests;
