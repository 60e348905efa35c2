//! Parameters in the URL of a SQLite file.

/// Parameters that ask for what happens anyway.
const ACCEPTED: [(&str, &str); 5] = [
    ("mode", "rw"),
    ("mode", "rwc"),
    ("cache", "private"),
    ("immutable", "0"),
    ("immutable", "false"),
];

/// Refuses parameters with which the file could not be used as it must be.
pub(super) fn check(url: &str) -> Result<(), String> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.try_for_each(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if ACCEPTED.contains(&(name, value)) {
            return Ok(());
        }
        Err(format!("the database URL: {}", reason(name, value)))
    })
}

fn reason(name: &str, value: &str) -> &'static str {
    match name {
        "mode" if value == "memory" => {
            "a database in memory is a different one for each connection; name a file"
        }
        "mode" => "mode must be rw or rwc, because every login writes",
        "cache" => "cache is private, since connections that share one refuse each other",
        "immutable" => "the file changes, which immutable rules out",
        "vfs" => "a vfs is not chosen, since another one may not lock the file",
        _ => "it has a parameter that SQLite does not know; write a question mark in a path as %3F",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_asks_for_what_happens_anyway_or_is_refused_with_the_reason() {
        for good in [
            "sqlite://data/latchet.db",
            "sqlite:latchet.db?mode=rwc",
            "sqlite:///srv/latchet.db?mode=rw&cache=private",
            "sqlite://latchet.db?",
            "sqlite://why%3F/latchet.db?immutable=0",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (parameter, wanted) in [
            ("mode=ro", "every login writes"),
            ("mode=memory", "in memory"),
            ("mode", "every login writes"),
            ("cache=shared", "refuse each other"),
            ("mode=rwc&immutable=1", "the file changes"),
            ("immutable=true", "the file changes"),
            ("vfs=unix-none", "may not lock"),
            ("journal_mode=off", "%3F"),
            ("/latchet.db", "%3F"),
        ] {
            let why = check(&format!("sqlite://latchet.db?{parameter}")).unwrap_err();
            assert!(why.contains(wanted), "{parameter}: {why}");
        }
    }
}
