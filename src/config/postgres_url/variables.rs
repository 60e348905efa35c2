//! Variables of libpq, which say what a URL leaves out.
//!
//! They become parameters of the URL, so that one parser reads both: the driver would ignore most of these
//! variables, and values that it does not understand.

use std::collections::BTreeSet;
use std::ffi::OsString;

use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::super::values::PATH_ESCAPES;
use super::address::UrlAddress;
use super::{PostgresUrl, address, after_scheme, url_parameters};

/// Variables and their parameters. `PGPASSWORD`, `PGPASSFILE` and `PGOPTIONS` are missing because the driver
/// reads them; others because they change nothing here (`PGTZ`, `PGDATESTYLE`, `PGCLIENTENCODING`, `PGGEQO`,
/// those of GSSAPI).
const VARIABLES: [(&str, &str); 28] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGSSLMODE", "sslmode"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLSNI", "sslsni"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGMINPROTOCOLVERSION", "min_protocol_version"),
    ("PGMAXPROTOCOLVERSION", "max_protocol_version"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGSERVICE", "service"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGAPPNAME", "application_name"),
];

/// Appends the variables that count to a URL.
pub(super) fn complete(text: &str, env: &[(OsString, OsString)]) -> Result<String, String> {
    let address = address::parse(after_scheme(text)?)?;
    let said = said(&address)?;
    let mut additions = Vec::new();
    for (variable, parameter) in VARIABLES {
        let found = env.iter().find(|(name, _)| name == variable);
        let value = found.map(|(_, value)| value);
        let Some(value) = value.filter(|value| !value.is_empty() && !said.contains(parameter))
        else {
            continue;
        };
        let value = value
            .to_str()
            .ok_or_else(|| format!("{variable}: it is not UTF-8"))?;
        additions.push((variable, format!("{parameter}={}", escaped(value))));
    }
    let all = appended(text, additions.iter().map(|(_, pair)| pair.as_str()));
    let Err(why) = PostgresUrl::parse(&all) else {
        return Ok(all);
    };
    let alone = additions.iter().find_map(|(variable, pair)| {
        let refused = PostgresUrl::parse(&appended(text, [pair.as_str()].into_iter()));
        refused.err().map(|why| format!("{variable}: {why}"))
    });
    let variables: Vec<&str> = additions.iter().map(|(variable, _)| *variable).collect();
    Err(alone.unwrap_or_else(|| format!("{}: {why}", variables.join(", "))))
}

/// Returns the names of the parameters that the URL itself gives.
fn said(address: &UrlAddress<'_>) -> Result<BTreeSet<String>, String> {
    let pairs = url_parameters::pairs(address.query)?;
    let mut said: BTreeSet<String> = pairs.into_iter().map(|(name, _)| name).collect();
    let has_host = address.hosts.iter().any(|host| host.name.is_some());
    if has_host || said.contains("host") || said.contains("hostaddr") {
        said.extend(["host", "hostaddr"].map(str::to_owned));
    }
    let facts = [
        ("port", address.hosts.iter().any(|host| host.port.is_some())),
        ("user", address.user.is_some()),
        ("dbname", address.database.is_some()),
        ("sslmode", said.contains("ssl")),
        (
            "requiressl",
            said.contains("ssl") || said.contains("sslmode"),
        ),
    ];
    let parameters = facts.into_iter().filter(|(_, is_given)| *is_given);
    said.extend(parameters.map(|(name, _)| name.to_owned()));
    Ok(said)
}

fn appended<'a>(text: &str, pairs: impl Iterator<Item = &'a str>) -> String {
    let mut url = text.to_owned();
    for pair in pairs {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(pair);
    }
    url
}

fn escaped(value: &str) -> String {
    // A comma separates the items of a list.
    const ESCAPED: &AsciiSet = &PATH_ESCAPES.remove(b',');
    utf8_percent_encode(value, ESCAPED).to_string()
}
