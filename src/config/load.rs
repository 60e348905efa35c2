//! Merges flags, variables and the file. Variables and the file become defaults of the flags, so
//! that one parser (clap) reads all values and writes all messages.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use secrecy::{ExposeSecret, SecretString};

use super::listen_address::ListenAddress;
use super::profile_tables::TokenProfileTables;
use super::sources::{
    SettingInfo, SettingOrigin, SettingValue, SettingValues, SettingsFile, read_environment,
    read_file, variable_name,
};
use super::values::{redis_url_has_password, sqlite_url};

/// Refusal of the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag is wrong, or help was requested: clap prints the text and chooses the exit code.
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// A setting is unknown, malformed or unsafe; one sentence each.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

impl ConfigError {
    pub(super) fn refused(text: String) -> Self {
        Self::Refused(vec![text])
    }
}

/// Reads `T`, which holds the options of [`super::Config`], from the arguments, the environment and
/// the file that either names; and the tables of that file.
///
/// # Errors
/// When a setting is unknown or malformed, or when help was requested.
pub fn load<T: CommandFactory + FromArgMatches>(
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> Result<(T, TokenProfileTables), ConfigError> {
    let settings = settings(&T::command());
    let mut sources = read_sources::<T>(args, env, &settings);
    if !sources.faults.is_empty() {
        return Err(ConfigError::Refused(sources.faults));
    }
    let first = parse::<T>(args, &sources.values)?;
    refuse_secrets_as_flags(&first)?;
    derive_defaults(&first, &mut sources.values);
    let second = parse::<T>(args, &sources.values)?;
    let tables = TokenProfileTables::read(sources.tables, &sources.file_name)?;
    Ok((T::from_arg_matches(&second)?, tables))
}

/// The settings outside the command line.
pub(super) struct Sources {
    pub(super) values: SettingValues,
    /// The tables of the settings file, and its name.
    pub(super) tables: toml::Table,
    pub(super) file_name: String,
    pub(super) faults: Vec<String>,
}

/// Reads the environment, and the settings file that `args` or `env` names.
pub(super) fn read_sources<T: CommandFactory>(
    args: &[OsString],
    env: &[(OsString, OsString)],
    settings: &[SettingInfo],
) -> Sources {
    let (from_env, mut faults) = read_environment(env, settings);
    let path = file_name::<T>(args, &from_env);
    let file = match &path {
        Some(path) => read_file(path, settings),
        None => SettingsFile::default(),
    };
    faults.extend(file.faults);
    let mut values = file.values;
    for (name, given) in from_env {
        // `PORT` is for any program that the platform runs; the file is for Latchet.
        let is_port = given.origin == SettingOrigin::Variable("PORT".to_owned());
        if !is_port || !values.contains_key(&name) {
            values.insert(name, given);
        }
    }
    Sources {
        values,
        tables: file.tables,
        file_name: path.map_or_else(String::new, |path| path.display().to_string()),
        faults,
    }
}

pub(super) fn settings(command: &Command) -> Vec<SettingInfo> {
    let options = command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some() && !arg.is_positional())
        .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()));
    let settings = options.map(|arg| SettingInfo {
        name: arg.get_id().to_string(),
        is_path: arg.get_value_parser().type_id() == TypeId::of::<PathBuf>(),
        is_list: arg.get_value_delimiter().is_some(),
    });
    settings.collect()
}

/// Turns the settings into options of every command.
fn make_settings_global(command: Command) -> Command {
    let settings = settings(&command);
    command.mut_args(|arg| {
        let is_setting = settings
            .iter()
            .any(|setting| setting.name == arg.get_id().as_str());
        arg.global(is_setting)
    })
}

fn parse<T: CommandFactory>(
    args: &[OsString],
    setting_values: &SettingValues,
) -> Result<ArgMatches, ConfigError> {
    try_parse::<T>(args, setting_values).map_err(|error| {
        let malformed = malformed_value::<T>(&error, setting_values);
        malformed.map_or_else(|| error.into(), |(_, fault)| ConfigError::refused(fault))
    })
}

pub(super) fn try_parse<T: CommandFactory>(
    args: &[OsString],
    setting_values: &SettingValues,
) -> Result<ArgMatches, clap::Error> {
    let command = make_settings_global(T::command()).mut_args(|arg| {
        let name = arg.get_id().to_string();
        if !arg.is_global_set() {
            return arg;
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let arg = arg.long_help(format!("{help} [env: {}]", variable_name(&name)));
        match setting_values.get(&name) {
            Some(given) => {
                let values: Vec<OsStr> = given.values.iter().map(OsStr::from).collect();
                arg.default_values(values).hide_default_value(true)
            }
            None => arg,
        }
    });
    let hidden: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set() && arg.get_help_heading() != Some(super::STORAGE))
        .map(|arg| arg.clone().hide(true))
        .collect();
    hide_in_subcommands(command, &hidden).try_get_matches_from(args)
}

/// Commands accept every option, but their help lists only the options that locate the data.
fn hide_in_subcommands(command: Command, hidden: &[Arg]) -> Command {
    command.mut_subcommands(|sub| match sub.get_name() {
        "serve" => sub,
        _ => sub.args(hidden),
    })
}

/// Returns the setting whose value is malformed, and the fault with the name of the variable or file that holds
/// the value, which clap reports as a flag's default. The value itself is left out: it may be a secret.
pub(super) fn malformed_value<T: CommandFactory>(
    error: &clap::Error,
    setting_values: &SettingValues,
) -> Option<(String, String)> {
    if !matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    ) {
        return None;
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let command = T::command();
    let name = command
        .get_arguments()
        .find(|arg| {
            arg.get_long()
                .is_some_and(|long| shown.split_whitespace().next() == Some(&format!("--{long}")))
        })
        .map(|arg| arg.get_id().to_string())?;
    let given = setting_values.get(&name)?;
    let why = match (
        std::error::Error::source(error),
        error.get(ContextKind::ValidValue),
    ) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(valid))) => {
            format!("it must be one of: {}", valid.join(", "))
        }
        _ => "the value is malformed".to_owned(),
    };
    Some((name, format!("{}: {why}", given.origin)))
}

/// Other users of a machine can read the command lines of its processes.
pub(super) fn refuse_secrets_as_flags(matches: &ArgMatches) -> Result<(), ConfigError> {
    let is_flag = |name: &str| {
        let known = matches.try_contains_id(name).unwrap_or(false);
        known && matches.value_source(name) == Some(ValueSource::CommandLine)
    };
    let database = is_flag("database_url")
        && matches
            .get_one::<super::DatabaseUrl>("database_url")
            .is_some_and(super::DatabaseUrl::has_password);
    let redis = is_flag("redis_url")
        && matches
            .get_one::<SecretString>("redis_url")
            .is_some_and(|url| redis_url_has_password(url.expose_secret()));
    let smtp = is_flag("smtp_url")
        && matches
            .get_one::<SecretString>("smtp_url")
            .is_some_and(|url| url.expose_secret().contains('@'));
    let faults = [
        (
            is_flag("root_secret"),
            "--root-secret",
            "LATCHET_ROOT_SECRET",
        ),
        (
            is_flag("root_secret_previous"),
            "--root-secret-previous",
            "LATCHET_ROOT_SECRET_PREVIOUS",
        ),
        (
            database,
            "the password in --database-url",
            "LATCHET_DATABASE_URL",
        ),
        (redis, "the password in --redis-url", "LATCHET_REDIS_URL"),
        (smtp, "the password in --smtp-url", "LATCHET_SMTP_URL"),
    ];
    let faults: Vec<String> = faults
        .into_iter()
        .filter(|(is_secret, ..)| *is_secret)
        .map(|(_, what, variable)| {
            format!(
                "{what} would be readable by other users of this machine; set {variable}, or {variable}_FILE to the name of a file"
            )
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Refused(faults))
    }
}

/// Sets the defaults that follow from other settings.
pub(super) fn derive_defaults(matches: &ArgMatches, setting_values: &mut SettingValues) {
    let mut fill = |name: &str, value: &dyn Fn(&ArgMatches) -> Option<String>| -> Option<String> {
        if matches.try_contains_id(name).ok()? {
            return None;
        }
        let value = value(matches)?;
        let given = SettingValue {
            values: vec![value.clone()],
            origin: SettingOrigin::DerivedDefault(name.to_owned()),
        };
        setting_values.insert(name.to_owned(), given);
        Some(value)
    };
    let public_url = fill("public_url", &default_public_url);
    let issuer = fill("issuer", &|matches| {
        let configured = matches.get_one::<super::WebOrigin>("public_url");
        configured.map(ToString::to_string).or(public_url.clone())
    });
    fill("audience", &|matches| {
        let configured = matches.get_one::<String>("issuer");
        configured.cloned().or(issuer.clone())
    });
    fill("database_url", &|matches| {
        let folder = matches.get_one::<PathBuf>("data_dir")?;
        Some(sqlite_url(&folder.join("latchet.db")))
    });
}

fn default_public_url(matches: &ArgMatches) -> Option<String> {
    let listen = matches.get_one::<ListenAddress>("listen")?.local_address();
    let scheme = match matches.get_one::<PathBuf>("tls_cert") {
        Some(_) => "https",
        None => "http",
    };
    Some(format!("{scheme}://{listen}"))
}

/// Finds the settings file, which must be known before the flags are parsed with its values as defaults.
fn file_name<T: CommandFactory>(args: &[OsString], from_env: &SettingValues) -> Option<PathBuf> {
    let from_flag = parse_leniently::<T>(args)
        .and_then(|matches| matches.get_one::<PathBuf>("config").cloned());
    let from_env = || from_env.get("config")?.values.first().map(PathBuf::from);
    from_flag.or_else(from_env)
}

/// Parses the arguments alone, and ignores those that are wrong.
pub fn parse_leniently<T: CommandFactory>(args: &[OsString]) -> Option<ArgMatches> {
    let command = make_settings_global(T::command()).ignore_errors(true);
    command.try_get_matches_from(args).ok()
}
