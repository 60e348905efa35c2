//! Merges flags, variables and the file. Variables and the file become defaults of the flags, so
//! that one parser (clap) reads every value and writes every message.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};

const PREFIX: &str = "LATCHET_";

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag is wrong, or help was asked for: clap knows what to print and how to exit.
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// A setting is unknown, malformed or unsafe; one sentence each.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

impl ConfigError {
    fn refused(text: String) -> Self {
        Self::Refused(vec![text])
    }
}

/// A value that stands outside the command line, and where it stands.
#[derive(Debug)]
struct Given {
    values: Vec<String>,
    origin: String,
}

type Givens = BTreeMap<String, Given>;

/// Reads `T`, which holds the options of [`super::Config`], from the arguments, the environment and
/// the file that either names.
///
/// # Errors
/// When a setting is unknown or malformed, or when help was asked for.
pub fn load<T: CommandFactory + FromArgMatches>(
    args: &[OsString],
    env: &[(String, String)],
) -> Result<T, ConfigError> {
    let names = option_names(&T::command());
    let from_env = read_env(env, &names)?;
    let mut givens = match file_name::<T>(args, &from_env) {
        Some(path) => read_file(&path, &names)?,
        None => Givens::new(),
    };
    givens.extend(from_env);

    let first = parse::<T>(args, &givens)?;
    refuse_secrets_as_flags(&first)?;
    derive_defaults(&first, &mut givens);
    let second = parse::<T>(args, &givens)?;
    Ok(T::from_arg_matches(&second)?)
}

fn option_names(command: &Command) -> Vec<String> {
    command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some() && !arg.is_positional())
        .map(|arg| arg.get_id().to_string())
        .filter(|name| name != "help" && name != "version")
        .collect()
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

fn parse<T: CommandFactory>(args: &[OsString], givens: &Givens) -> Result<ArgMatches, ConfigError> {
    let command = T::command();
    let names = option_names(&command);
    let command = command.mut_args(|arg| {
        let name = arg.get_id().to_string();
        if !names.contains(&name) {
            return arg;
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let arg = arg
            .global(true)
            .long_help(format!("{help} [env: {}]", variable(&name)));
        match givens.get(&name) {
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
    hide_in_subcommands(command, &hidden)
        .try_get_matches_from(args)
        .map_err(|error| name_the_place::<T>(error, givens))
}

/// Commands take every option, but their help lists those only that find the data.
fn hide_in_subcommands(command: Command, hidden: &[Arg]) -> Command {
    command.mut_subcommands(|sub| {
        if sub.get_name() == "serve" {
            return sub;
        }
        let sub = if sub.has_subcommands() {
            sub
        } else {
            sub.args(hidden)
        };
        hide_in_subcommands(sub, hidden)
    })
}

/// Says which variable or file holds a malformed value, which clap takes for a flag's default. The
/// value itself is left out: it may be a secret.
fn name_the_place<T: CommandFactory>(error: clap::Error, givens: &Givens) -> ConfigError {
    if !matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    ) {
        return error.into();
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error.into();
    };
    let command = T::command();
    let name = command
        .get_arguments()
        .find(|arg| {
            arg.get_long()
                .is_some_and(|long| shown.split_whitespace().next() == Some(&format!("--{long}")))
        })
        .map(|arg| arg.get_id().to_string());
    let Some(given) = name.and_then(|name| givens.get(&name)) else {
        return error.into();
    };
    let why = match (
        std::error::Error::source(&error),
        error.get(ContextKind::ValidValue),
    ) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(valid))) => {
            format!("it must be one of: {}", valid.join(", "))
        }
        _ => "the value is malformed".to_owned(),
    };
    ConfigError::refused(format!("{}: {why}", given.origin))
}

/// Other users of a machine can read the command lines of its processes.
fn refuse_secrets_as_flags(matches: &ArgMatches) -> Result<(), ConfigError> {
    let known = matches.try_contains_id("root_secret").unwrap_or(false);
    if known && matches.value_source("root_secret") == Some(ValueSource::CommandLine) {
        return Err(ConfigError::refused(
            "--root-secret would be readable by other users of this machine; set LATCHET_ROOT_SECRET, or LATCHET_ROOT_SECRET_FILE to the name of a file"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Fills in the defaults that follow from other settings.
fn derive_defaults(matches: &ArgMatches, givens: &mut Givens) {
    let mut fill = |name: &str, value: &dyn Fn(&ArgMatches) -> Option<String>| -> Option<String> {
        if matches.try_contains_id(name).ok()? {
            return None;
        }
        let value = value(matches)?;
        let given = Given {
            values: vec![value.clone()],
            origin: format!("the default of `{name}`"),
        };
        givens.insert(name.to_owned(), given);
        Some(value)
    };
    let public_url = fill("public_url", &default_public_url);
    let issuer = fill("issuer", &|matches| {
        let configured = matches.get_one::<super::Origin>("public_url");
        configured.map(ToString::to_string).or(public_url.clone())
    });
    fill("audience", &|matches| {
        let configured = matches.get_one::<String>("issuer");
        configured.cloned().or(issuer.clone())
    });
    fill("database_url", &|matches| {
        let folder = matches.get_one::<PathBuf>("data_dir")?;
        Some(format!("sqlite://{}/latchet.db", folder.display()))
    });
}

fn default_public_url(matches: &ArgMatches) -> Option<String> {
    let listen = matches.get_one::<SocketAddr>("listen")?;
    let scheme = match matches.get_one::<PathBuf>("tls_cert") {
        Some(_) => "https",
        None => "http",
    };
    Some(format!("{scheme}://{listen}"))
}

/// The file must be known before the flags can be read with its values as defaults.
fn file_name<T: CommandFactory>(args: &[OsString], from_env: &Givens) -> Option<PathBuf> {
    let from_flag = T::command()
        .ignore_errors(true)
        .try_get_matches_from(args)
        .ok()
        .and_then(|matches| matches.get_one::<PathBuf>("config").cloned());
    let from_env = || from_env.get("config")?.values.first().map(PathBuf::from);
    from_flag.or_else(from_env)
}

fn read_file(path: &Path, names: &[String]) -> Result<Givens, ConfigError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::refused(format!("cannot read the settings in {shown}: {error}"))
    })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| ConfigError::refused(format!("{shown} is not TOML: {error}")))?;
    let mut faults = Vec::new();
    let mut givens = Givens::new();
    for (name, value) in table {
        if name == "config" || !names.contains(&name) {
            let hint = did_you_mean(&name, names.iter().map(String::as_str));
            faults.push(format!("{shown}: unknown key `{name}`{hint}"));
            continue;
        }
        let origin = format!("`{name}` in {shown}");
        match scalar_texts(value) {
            Some(values) => {
                givens.insert(name, Given { values, origin });
            }
            None => faults.push(format!(
                "{origin} must be a text, a number or a list of texts"
            )),
        }
    }
    if faults.is_empty() {
        Ok(givens)
    } else {
        Err(ConfigError::Refused(faults))
    }
}

fn scalar_texts(value: toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn read_env(env: &[(String, String)], names: &[String]) -> Result<Givens, ConfigError> {
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

fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(
            || "; `latchet --help` lists the settings".to_owned(),
            |(_, name)| format!("; did you mean `{name}`?"),
        )
}
