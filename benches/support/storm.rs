//! People who log in, and people who ask for something cheap meanwhile.

use std::time::Duration;

use super::load::{RepeatedRequest, RequestScript};

/// Either of those who use the server during a storm.
pub(crate) enum StormClient {
    LogsIn(RepeatedRequest),
    Asks(RepeatedRequest, Timing),
}

/// When those who ask were answered.
#[derive(Default)]
pub(crate) struct Timing {
    sent: Option<std::time::Instant>,
    took: Vec<Duration>,
}

impl RequestScript for StormClient {
    fn request(&mut self) -> &[u8] {
        match self {
            Self::LogsIn(request) => request.request(),
            Self::Asks(request, timing) => {
                timing.sent = Some(std::time::Instant::now());
                request.request()
            }
        }
    }

    fn on_response(&mut self, _body: &[u8]) {
        if let Self::Asks(
            _,
            Timing {
                sent: Some(sent),
                took,
            },
        ) = self
        {
            took.push(sent.elapsed());
        }
    }
}

/// Returns those who log in and those who ask, with a connection each.
pub(crate) fn people(
    logins: Vec<RepeatedRequest>,
    asking: Vec<RepeatedRequest>,
) -> Vec<StormClient> {
    let logins = logins.into_iter().map(StormClient::LogsIn);
    let asking = asking.into_iter();
    logins
        .chain(asking.map(|request| StormClient::Asks(request, Timing::default())))
        .collect()
}

/// Returns how long those who asked waited, the shortest first.
pub(crate) fn waits(people: Vec<StormClient>) -> Vec<Duration> {
    let mut all: Vec<Duration> = Vec::new();
    for person in people {
        if let StormClient::Asks(_, timing) = person {
            all.extend(timing.took);
        }
    }
    all.sort();
    all
}
