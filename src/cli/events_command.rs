//! `latchet events`

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::event_feed::EventFeed;
use super::signals::StopSignals;
use super::{CliError, Installation};
use crate::api::event_json;
use crate::config::parse_duration;
use crate::error::{ApiError, error_chain};
use crate::logging::UntrustedText;
use crate::security_events::EventKind;
use crate::store::{EventFilter, SecurityEvent, StoreError, UserReference};
use latchet_guard::clock::Time;

/// Number of events that are read at once.
const PAGE: u64 = 500;

/// Pause between two reads of new events.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct EventsArguments {
    /// Continue with new events, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// One JSON object per line, as in `GET /v1/events`
    #[arg(long)]
    json: bool,
    /// Only events since then: a time ago such as 2h or 7d, or a time such as 2026-11-30T06:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,
    /// Only events of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = kinds())]
    kinds: Vec<EventKind>,
    /// Only events that concern this user or were caused by this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Beginning of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(Time),
}

impl Since {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(duration) = parse_duration(text) {
            return Ok(Self::Ago(duration));
        }
        let time: jiff::Timestamp = text.trim().parse().map_err(|_| {
            format!(
                "`{text}` is neither a time ago such as 2h nor a time such as 2026-11-30T06:00:00Z"
            )
        })?;
        Ok(Self::At(Time::from_millis(time.as_millisecond())))
    }

    fn time(self, now: Time) -> Time {
        match self {
            Self::Ago(duration) => now - duration,
            Self::At(time) => time,
        }
    }
}

fn kinds() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str))
        .try_map(|name| name.parse::<EventKind>())
}

/// Prints events, oldest first.
pub(super) async fn run(
    installation: &Installation,
    arguments: EventsArguments,
) -> Result<(), CliError> {
    // Before the first event: a signal must not end the program within a line.
    let stop = StopSignals::listen()?;
    let format = if arguments.json { json_line } else { text_line };
    let reader = EventReader {
        installation,
        filter: filter(installation, &arguments).await?,
        format,
    };
    let mut feed = EventFeed::default();
    let work = async {
        let printed = reader.print_new(&mut feed).await;
        if arguments.follow {
            printed?;
            reader.follow(&mut feed).await
        } else {
            printed
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = stop.wait_for_first() => Ok(()),
        () = reader_is_gone(), if arguments.follow => Ok(()),
    };
    match done {
        Err(EventsError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(EventsError::Output(error)) => Err(CliError::system("write the output")(error)),
        Err(EventsError::Store(error)) => Err(ApiError::from(error).into()),
        Ok(()) => Ok(()),
    }
}

async fn filter(
    installation: &Installation,
    arguments: &EventsArguments,
) -> Result<EventFilter, CliError> {
    let user = match &arguments.user {
        Some(name) => {
            let user = installation.store.user_by_name(name).await;
            let user = user.map_err(ApiError::from)?;
            let missing = || CliError::Other(format!("there is no user named {name}"));
            Some(user.ok_or_else(missing)?.id)
        }
        None => None,
    };
    let now = installation.clock.now();
    Ok(EventFilter {
        since: arguments.since.map(|since| since.time(now)),
        kinds: arguments.kinds.clone(),
        user,
    })
}

/// Reason for which the output ends.
#[derive(Debug)]
enum EventsError {
    Store(StoreError),
    Output(io::Error),
}

impl From<StoreError> for EventsError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Reads events and prints them.
struct EventReader<'a> {
    installation: &'a Installation,
    filter: EventFilter,
    format: fn(SecurityEvent) -> String,
}

impl EventReader<'_> {
    /// Prints new events without end. A database that fails is read again until it responds.
    async fn follow(&self, feed: &mut EventFeed) -> Result<(), EventsError> {
        let mut is_failing = false;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.print_new(feed).await {
                Ok(()) if is_failing => {
                    is_failing = false;
                    note("the database responds again; no event was skipped");
                }
                Ok(()) => {}
                Err(EventsError::Store(error @ StoreError::Unavailable(_))) => {
                    if !is_failing {
                        let cause = error_chain(&error).join(": ");
                        note(&format!("cannot read events, trying again: {cause}"));
                    }
                    is_failing = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Prints the events that were not printed before.
    async fn print_new(&self, feed: &mut EventFeed) -> Result<(), EventsError> {
        let began = Instant::now();
        let mut after = feed.start_of_pass();
        loop {
            let store = &self.installation.store;
            let page = store.events_after(after, &self.filter, PAGE).await?;
            let now = self.installation.clock.now();
            let is_last = u64::try_from(page.len()).is_ok_and(|rows| rows < PAGE);
            let mut text = String::new();
            for event in page {
                after = event.id;
                if feed.report(&event, now) {
                    text.push_str(&(self.format)(event));
                    text.push('\n');
                }
            }
            print(&text).map_err(EventsError::Output)?;
            if is_last {
                feed.end_pass(began, Instant::now());
                return Ok(());
            }
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Resolves when nobody reads standard output any more. Without new events no write would notice it.
async fn reader_is_gone() {
    // A file has no reader that could go, and cannot be watched.
    #[expect(
        deprecated,
        reason = "the descriptor could be closed while it is watched, which standard output never is; the alternative is unsafe"
    )]
    let watched = AsyncFd::with_interest(io::stdout(), Interest::ERROR);
    let Ok(output) = watched else {
        return std::future::pending().await;
    };
    if output.ready(Interest::ERROR).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn note(text: &str) {
    // Standard error may be closed; the events are on standard output.
    let _ = writeln!(io::stderr(), "latchet: {text}");
}

fn json_line(event: SecurityEvent) -> String {
    event_json(event).to_string()
}

fn text_line(event: SecurityEvent) -> String {
    let mut line = format!("{}  {:<21}", event.at, event.kind.as_str());
    let name = |user: UserReference| {
        let name = user.username.unwrap_or_else(|| user.id.to_string());
        UntrustedText(&name).to_string()
    };
    let fields = [
        ("user", event.user.map(name)),
        ("session", event.session.map(|session| session.to_string())),
        ("by", event.actor.map(name)),
        ("ip", event.ip),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = write!(line, "  {name}={value}");
        }
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_a_time_ago_or_at_a_time() {
        let now = Time::from_secs(1_800_000_000);
        for (text, time) in [
            ("2h", now - Duration::from_hours(2)),
            ("90", now - Duration::from_secs(90)),
            ("1970-01-01T00:00:01Z", Time::from_secs(1)),
            ("1970-01-01T01:00:01+01:00", Time::from_secs(1)),
        ] {
            assert_eq!(Since::parse(text).unwrap().time(now), time, "{text}");
        }
        for text in ["", "yesterday", "2026-11-30", "2 fortnights"] {
            assert!(Since::parse(text).is_err(), "{text}");
        }
    }
}
