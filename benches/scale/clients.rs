//! Requests of the clients, and several sizes measured in turns.

use std::collections::VecDeque;
use std::time::Duration;

use crate::findings::{Chart, Judgement, Line, ScaleResults, Series, number, power};
use crate::support::connection::HttpResponse;
use crate::support::load::{CONNECTIONS, RepeatedRequest, RequestScript, get, post};
use crate::support::report::{Target, median, median_ratio};
use crate::support::service::{Service, field};
use crate::support::side::BenchSide;

/// Many sessions behind one connection: refreshes one after the other, each with its newest token.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    tokens: VecDeque<String>,
    request: Vec<u8>,
}

impl RequestScript for Devices {
    fn request(&mut self) -> &[u8] {
        let token = self.tokens.front().expect("every answer brings the next");
        self.request = post("/v1/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#));
        &self.request
    }

    fn on_response(&mut self, response: HttpResponse<'_>) {
        let next = field(response.body, "refresh_token");
        let shown = self.tokens.pop_front();
        assert_ne!(
            shown.as_ref(),
            Some(&next),
            "a token used once has a successor"
        );
        self.tokens.push_back(next);
    }
}

/// Deals the tokens out to as many connections as every row has.
pub(crate) fn devices(tokens: Vec<String>) -> Vec<Devices> {
    let mut devices = vec![
        Devices {
            tokens: VecDeque::new(),
            request: Vec::new(),
        };
        CONNECTIONS
    ];
    for (number, token) in tokens.into_iter().enumerate() {
        devices[number % CONNECTIONS].tokens.push_back(token);
    }
    devices
}

/// Logins that are enough for checks: what grows is not the number of tokens.
const LOGINS: usize = 16;

/// Logs in, and returns for each connection the check of an access token.
pub(crate) fn checks(service: &Service) -> Vec<RepeatedRequest> {
    let tokens = service.login(LOGINS);
    let check = |number: usize| get("/v1/verify", Some(&tokens[number % LOGINS].access));
    (0..CONNECTIONS).map(check).collect()
}

/// The same asked at one size after the other.
pub(crate) struct Sizes<'a, S>(Vec<(u64, BenchSide<'a, S>)>);

impl<'a, S: RequestScript> Sizes<'a, S> {
    /// Returns sizes that were not measured yet, the least first.
    pub(crate) fn new(sides: impl Iterator<Item = (u64, BenchSide<'a, S>)>) -> Self {
        Self(sides.collect())
    }

    /// Measures each once.
    pub(crate) fn measure(&mut self, window: Duration) {
        for (_, side) in &mut self.0 {
            side.measure(window);
        }
    }

    /// Returns the rates at the largest size.
    pub(crate) fn largest(&self) -> &BenchSide<'a, S> {
        &self.0[self.0.len() - 1].1
    }

    /// Reports the rate of each size, and the largest's against the least.
    pub(crate) fn report(
        &self,
        what: &str,
        chart: &mut Chart,
        findings: &mut ScaleResults,
        least: f64,
    ) {
        let [(_, first), ..] = self.0.as_slice() else {
            return;
        };
        let mut points = Vec::new();
        for (index, (size, side)) in self.0.iter().enumerate() {
            let target = if index + 1 == self.0.len() {
                Target::AtLeast(least)
            } else {
                Target::None
            };
            findings.line(Line {
                what: what.to_owned(),
                at: power(*size),
                figure: side.summary(),
                judged: Judgement::by(median_ratio(&side.rates(), &first.rates()), target),
                note: format!(
                    "server {} busy, p99 {:.1} ms",
                    side.busy(),
                    side.percentile(0.99)
                ),
            });
            points.push((number(*size), median(side.rates())));
        }
        chart.series.push(Series {
            name: what.to_owned(),
            points,
        });
    }
}
