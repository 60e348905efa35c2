//! Negotiation of the text format with a scraper (RFC 9110, 12.5.1).

use std::fmt;

use poem::http::HeaderMap;
use poem::http::header::ACCEPT;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// A text format of metrics. In the older format a counter has the same name as its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpositionFormat {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// Prometheus 0.0.4.
    Prometheus,
}

impl ExpositionFormat {
    /// Returns the preferred format; `OpenMetrics` if both have the same quality. A scraper that accepts
    /// neither gets the older format, which most scrapers can read.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter();
        let ranges: Vec<MediaRange<'_>> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(MediaRange::parse)
            .collect();
        if ranges.is_empty() {
            return Self::OpenMetrics;
        }
        let open = quality(&ranges, "application", "openmetrics-text");
        let plain = quality(&ranges, "text", "plain");
        if open > 0.0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }

    pub(super) fn encode(self, text: &mut String, registry: &Registry) -> fmt::Result {
        match self {
            Self::OpenMetrics => text::encode(text, registry),
            Self::Prometheus => prometheus_text::encode(text, registry),
        }
    }
}

/// A range of media types. Parameters other than `q` are ignored: there is one version of each format.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1.0), |(_, value)| value.trim().parse().ok())?;
        Some(Self {
            kind,
            subtype,
            quality,
        })
    }

    /// Returns the precision with which this range matches a type: 2 for that type alone, 0 for all types;
    /// `None` without a match.
    fn precision(&self, kind: &str, subtype: &str) -> Option<u8> {
        let is = |text: &str, other: &str| text.eq_ignore_ascii_case(other);
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if is(own, kind) => Some(1),
            (own, sub) if is(own, kind) && is(sub, subtype) => Some(2),
            _ => None,
        }
    }
}

/// Returns the quality of the range that matches a type most exactly. Of several such ranges, as for two
/// versions, the highest quality counts.
fn quality(ranges: &[MediaRange<'_>], kind: &str, subtype: &str) -> f32 {
    let named = ranges
        .iter()
        .filter_map(|range| Some((range.precision(kind, subtype)?, range.quality)));
    let best = named.reduce(|best, next| if next > best { next } else { best });
    best.map_or(0.0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(lines: &[&str]) -> ExpositionFormat {
        let lines = lines.iter().map(|line| (ACCEPT, line.parse().unwrap()));
        ExpositionFormat::accepted(&lines.collect())
    }

    #[test]
    fn a_scraper_gets_the_format_that_it_requests() {
        for (accept, format) in [
            ("text/plain;version=0.0.4", ExpositionFormat::Prometheus),
            ("text/plain", ExpositionFormat::Prometheus),
            (
                "TEXT/Plain; version=0.0.4; charset=utf-8",
                ExpositionFormat::Prometheus,
            ),
            (
                "text/plain;version=0.0.4;q=1,*/*;q=0.1",
                ExpositionFormat::Prometheus,
            ),
            ("text/*", ExpositionFormat::Prometheus),
            ("application/json", ExpositionFormat::Prometheus),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
                ExpositionFormat::Prometheus,
            ),
            (
                "application/openmetrics-text;q=0,*/*",
                ExpositionFormat::Prometheus,
            ),
            (
                "application/openmetrics-text;q=0.2,text/plain;q=0.5",
                ExpositionFormat::Prometheus,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                ExpositionFormat::OpenMetrics,
            ),
            (
                "application/openmetrics-text",
                ExpositionFormat::OpenMetrics,
            ),
            (
                "application/openmetrics-text; Q=0.9, text/plain; q=0.1",
                ExpositionFormat::OpenMetrics,
            ),
            ("*/*", ExpositionFormat::OpenMetrics),
            ("", ExpositionFormat::OpenMetrics),
        ] {
            assert_eq!(accepted(&[accept]), format, "{accept}");
        }
        assert_eq!(accepted(&[]), ExpositionFormat::OpenMetrics);
        let lines = ["text/plain;q=0.5", "application/openmetrics-text"];
        assert_eq!(accepted(&lines), ExpositionFormat::OpenMetrics);
    }
}
