//! People who log in, and people who ask for something cheap meanwhile.

use super::connection::HttpResponse;
use super::load::{RepeatedRequest, RequestScript};

/// Kind of the requests of those who ask.
pub(crate) const ASKED: &str = "asked";

/// Either of those who use the server during a storm.
pub(crate) enum StormClient {
    LogsIn(RepeatedRequest),
    Asks(RepeatedRequest),
}

impl RequestScript for StormClient {
    fn request(&mut self) -> &[u8] {
        let (Self::LogsIn(request) | Self::Asks(request)) = self;
        request.request()
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::LogsIn(_) => "login",
            Self::Asks(_) => ASKED,
        }
    }

    fn on_response(&mut self, _response: HttpResponse<'_>) {}
}

/// Returns those who log in and those who ask, with a connection each.
pub(crate) fn people(
    logins: Vec<RepeatedRequest>,
    asking: Vec<RepeatedRequest>,
) -> Vec<StormClient> {
    let logins = logins.into_iter().map(StormClient::LogsIn);
    logins
        .chain(asking.into_iter().map(StormClient::Asks))
        .collect()
}
