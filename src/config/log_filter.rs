//! The setting `log_level`. The filter library takes a word that is no level for the name of a module,
//! and logs that module alone; here such a word is refused.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Names that other programs use for our levels.
const SYNONYMS: [(&str, &str); 9] = [
    ("warning", "warn"),
    ("err", "error"),
    ("critical", "error"),
    ("fatal", "error"),
    ("notice", "info"),
    ("information", "info"),
    ("verbose", "debug"),
    ("all", "trace"),
    ("none", "off"),
];

/// A filter of the log: `info`, or `info,latchet=debug`. All modules without a level of their own have
/// `info`, unless the filter contains another level alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Returns the filter that passes warnings and errors.
    pub fn warnings() -> Self {
        Self("warn".to_owned())
    }

    /// Returns the filter in the syntax of the filter library.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(directive);
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        if parts.iter().all(|part| part.contains('=')) {
            // The filter library would log these modules alone.
            parts.insert(0, "info".to_owned());
        }
        let filter = Self(parts.join(","));
        EnvFilter::try_new(filter.as_str()).map_err(|error| error.to_string())?;
        Ok(filter)
    }
}

/// Reads `LEVEL` or `MODULE=LEVEL`.
fn directive(text: &str) -> Result<String, String> {
    let Some((part, level)) = text.rsplit_once('=') else {
        return level_of(text);
    };
    let (part, level) = (part.trim(), level_of(level)?);
    let first = part.split([':', '[']).next().unwrap_or_default();
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let path = part.split('[').next().unwrap_or_default();
    if part.is_empty() || !path.chars().all(is_path) {
        return Err(format!("`{text}` names no module of the program"));
    }
    if first != "latchet" && strsim::jaro_winkler(&first.to_lowercase(), "latchet") > 0.85 {
        return Err(format!(
            "there is no module `{first}`; did you mean `latchet`?"
        ));
    }
    Ok(format!("{part}={level}"))
}

fn level_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !text.is_empty() && text.parse::<LevelFilter>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    let lower = text.to_ascii_lowercase();
    let synonym = SYNONYMS.iter().find(|(name, _)| *name == lower);
    let nearest = || {
        let likeness = |level: &&str| strsim::jaro_winkler(&lower, level);
        let nearest = LEVELS
            .into_iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        nearest.filter(|level| likeness(level) > 0.75)
    };
    let suggestion = synonym.map(|(_, level)| *level).or_else(nearest);
    let suggestion = suggestion.map(|level| format!("; did you mean `{level}`?"));
    Err(format!(
        "`{text}` is no log level; the levels are {}{}",
        LEVELS.join(", "),
        suggestion.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_levels_of_modules_are_accepted() {
        let table = [
            ("info", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            ("3", "3"),
            ("info,latchet=debug", "info,latchet=debug"),
            // Modules that are not named keep the default.
            ("sqlx=warn", "info,sqlx=warn"),
            ("hyper=debug,sqlx=off", "info,hyper=debug,sqlx=off"),
            (
                " info , latchet::server = Trace ",
                "info,latchet::server=trace",
            ),
            (
                "warn,sqlx=off,hyper_util=error",
                "warn,sqlx=off,hyper_util=error",
            ),
        ];

        for (text, filter) in table {
            assert_eq!(text.parse(), Ok(LogFilter(filter.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn filters_that_would_silence_the_log_are_refused_with_a_suggestion() {
        let table = [
            ("warning", "did you mean `warn`?"),
            ("Warning", "did you mean `warn`?"),
            ("errors", "did you mean `error`?"),
            ("fatal", "did you mean `error`?"),
            ("inof", "did you mean `info`?"),
            ("dbug", "did you mean `debug`?"),
            ("latchet", "is no log level"),
            ("7", "is no log level"),
            ("", "is no log level"),
            ("info,", "is no log level"),
            ("info;latchet=debug", "module"),
            ("info latchet=debug", "names no module"),
            ("latchet=loud", "is no log level"),
            ("=debug", "names no module"),
            ("latchett=debug", "did you mean `latchet`?"),
            ("Latchet=debug", "did you mean `latchet`?"),
            ("latchte::server=debug", "did you mean `latchet`?"),
            ("\"info\"", "did you mean `info`?"),
        ];

        for (text, reason) in table {
            let refused = text.parse::<LogFilter>();
            assert!(
                refused.as_ref().is_err_and(|why| why.contains(reason)),
                "{text:?}: {refused:?}"
            );
        }
    }
}
