//! `docs/reference/events.md`

use latchet::security_events::EventKind;

use super::source::{files, members};
use super::{page, push_heading, push_table, sentence};
use crate::generated::snake;

const INTRODUCTION: &str = "
Latchet reports in two places: security events are rows of the database, for administrators; log lines go to standard
error, for operators and their programs.
";

const SECURITY_EVENTS: &str = "
`GET /v1/events`, `/admin` and `latchet events` list them, each with the account that it concerns, the actor and the
address. They are kept for 90 days, or as `LATCHET_EVENT_RETENTION` says. An event is written in the transaction of the change that it reports. Logins, refreshes and logouts are not
security events: the log has them.
";

const LOG_EVENTS: &str = "
Programs recognise a log line by its field `event`; the texts of these lines and the order of their fields are stable.
`client.address` is the address of the client, behind trusted proxies too. `user.name` and `service.name` are texts
from the client: control characters are escaped, and the text is cut after 64 characters. `budget` is the budget of the
throttle that is used up, `setting` the setting that limits it, and `retry_after_s` the waiting time in seconds.
";

/// A log line with the field `event`.
#[derive(Debug)]
struct LogEvent {
    name: String,
    level: String,
    message: String,
    fields: Vec<String>,
    /// The comment in front of the field `event`, where the message alone is not enough.
    condition: String,
}

pub(super) fn generate() -> String {
    let mut text = page("Events", INTRODUCTION);
    push_heading(&mut text, "Security events");
    text.push_str(SECURITY_EVENTS);
    let rows: Vec<_> = members("enum EventKind")
        .into_iter()
        .map(|kind| {
            let name = snake(&kind.name);
            assert!(name.parse::<EventKind>().is_ok(), "{name} is no event");
            vec![format!("`{name}`"), sentence(&kind.doc)]
        })
        .collect();
    push_table(&mut text, &["event", "meaning"], &rows);

    push_heading(&mut text, "Log lines");
    text.push_str(LOG_EVENTS);
    let mut events = log_events();
    events.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Vec<_> = events
        .into_iter()
        .map(|event| {
            let meaning = match event.condition.as_str() {
                "" => event.message.as_str(),
                comment => comment,
            };
            let meaning = sentence(meaning);
            let fields: Vec<_> = event
                .fields
                .iter()
                .map(|field| format!("`{field}`"))
                .collect();
            vec![
                format!("`{}`", event.name),
                event.level,
                meaning,
                event.message.replace("{}", "…"),
                fields.join(", "),
            ]
        })
        .collect();
    push_table(
        &mut text,
        &["event", "level", "meaning", "message", "fields"],
        &rows,
    );
    text
}

/// Returns the log lines of the program that have the field `event`.
fn log_events() -> Vec<LogEvent> {
    let mut events = Vec::new();
    let mut expected = 0;
    for (_, text) in files() {
        expected += text.matches(" event = \"").count() + text.matches("(event = \"").count();
        for (at, macro_path) in text.match_indices("tracing::") {
            let call = &text[at + macro_path.len()..];
            let call = call.split_once("!(");
            let call = call.filter(|(level, _)| level.chars().all(char::is_alphabetic));
            if let Some((level, arguments)) = call {
                events.extend(log_event(level, &split_arguments(arguments)));
            }
        }
    }
    assert_eq!(events.len(), expected, "{events:?}");
    events
}

/// Reads the arguments of a log macro, where one of them is `event`.
fn log_event(level: &str, arguments: &[String]) -> Option<LogEvent> {
    let message = arguments
        .iter()
        .position(|argument| argument.starts_with('"'))?;
    let mut event = LogEvent {
        name: String::new(),
        level: level.to_owned(),
        message: arguments[message].trim_matches('"').to_owned(),
        fields: Vec::new(),
        condition: String::new(),
    };
    for argument in &arguments[..message] {
        let (comments, field): (Vec<&str>, Vec<&str>) = argument
            .lines()
            .map(str::trim)
            .partition(|line| line.starts_with("//"));
        let field = field.join(" ");
        let (name, value) = field.split_once('=').unwrap_or((field.as_str(), ""));
        let name = name.trim().trim_start_matches(['%', '?']);
        if name == "event" {
            value.trim().trim_matches('"').clone_into(&mut event.name);
            let comments = comments
                .iter()
                .map(|line| line.trim_start_matches('/').trim());
            event.condition = comments.collect::<Vec<_>>().join(" ");
        } else {
            event.fields.push(name.to_owned());
        }
    }
    (!event.name.is_empty()).then_some(event)
}

/// Splits what follows the opening bracket of a call at its commas, up to the closing bracket.
fn split_arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut in_text, mut in_comment) = (0, false, false);
    let mut previous = ' ';
    for letter in text.chars() {
        match letter {
            '\n' => in_comment = false,
            '/' if previous == '/' && !in_text => in_comment = true,
            '"' if previous != '\\' && !in_comment => in_text = !in_text,
            '(' | '[' | '{' if !in_text && !in_comment => depth += 1,
            ')' | ']' | '}' if !in_text && !in_comment && depth == 0 => break,
            ')' | ']' | '}' if !in_text && !in_comment => depth -= 1,
            _ => {}
        }
        previous = letter;
        match arguments.last_mut() {
            Some(last) if letter != ',' || depth > 0 || in_text || in_comment => last.push(letter),
            _ => arguments.push(String::new()),
        }
    }
    let trimmed = arguments.iter().map(|argument| argument.trim().to_owned());
    trimmed.filter(|argument| !argument.is_empty()).collect()
}

#[test]
fn a_log_event_is_read_with_its_comment_and_its_fields() {
    let call = "\n // Wrong (sic), and\n // more.\n event = \"failed\",\n client.address = %ip,\n \
                budget = budget.as_str(a, b),\n lines,\n \"it failed, {}\",\n x\n); next(1, 2)";

    let event = log_event("info", &split_arguments(call)).unwrap();

    assert_eq!(event.name, "failed");
    assert_eq!(event.message, "it failed, {}");
    assert_eq!(event.fields, ["client.address", "budget", "lines"]);
    assert_eq!(event.condition, "Wrong (sic), and more.");
}

#[test]
fn a_log_line_without_the_field_event_is_left_out() {
    assert!(log_event("info", &split_arguments("user.id = %user, \"stopped\")")).is_none());
}
