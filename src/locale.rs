//! Languages of texts for people: mails and pages.

use serde::{Deserialize, Serialize};

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Locale {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// German.
    #[serde(rename = "de")]
    German,
}

impl Locale {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Returns the code of the language (BCP 47).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Returns the language of a tag such as `de` or `de-AT`.
    pub fn parse(tag: &str) -> Option<Self> {
        let language = tag.trim().split(['-', '_']).next().unwrap_or_default();
        let mut known = Self::ALL.into_iter();
        known.find(|known| known.as_str().eq_ignore_ascii_case(language))
    }

    /// Returns the language that a client prefers among the known ones, by its header `Accept-Language` (RFC 9110,
    /// section 12.5.4); English if it names none of them.
    pub fn from_accept_language(header: &str) -> Self {
        // Of equal weights, the first counts.
        let mut best: Option<(Self, u16)> = None;
        for part in header.split(',').take(MAX_TAGS) {
            let (tag, weight) = weighted_tag(part);
            let is_better = |(_, than): (Self, u16)| weight > than;
            if let Some(locale) = Self::parse(tag)
                && weight > 0
                && best.is_none_or(is_better)
            {
                best = Some((locale, weight));
            }
        }
        best.map_or(Self::default(), |(locale, _)| locale)
    }
}

/// Most tags of a header that are read.
const MAX_TAGS: usize = 32;

/// Returns the tag of one part of the header, and its weight in thousandths.
fn weighted_tag(part: &str) -> (&str, u16) {
    let (tag, parameter) = part.split_once(';').unwrap_or((part, ""));
    let weight = parameter.trim().strip_prefix("q=").map_or(1000, |weight| {
        let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
        let thousandths = format!("{whole}{fraction:0<3}");
        thousandths
            .get(..4)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0)
    });
    (tag, weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_known_language_is_chosen() {
        for (header, locale) in [
            ("de", Locale::German),
            ("de-AT,de;q=0.9,en;q=0.8", Locale::German),
            ("en-GB,de;q=0.9", Locale::English),
            ("fr,de;q=0.5,en;q=0.4", Locale::German),
            ("fr;q=1.0, en;q=0.4, de;q=0.45", Locale::German),
            ("en;q=0.001, de;q=0", Locale::English),
            ("DE", Locale::German),
            ("de_CH", Locale::German),
            ("", Locale::English),
            ("*", Locale::English),
            ("fr", Locale::English),
            ("deu", Locale::English),
            ("de;q=é", Locale::English),
            ("de;q=", Locale::English),
        ] {
            assert_eq!(Locale::from_accept_language(header), locale, "{header}");
        }
    }

    #[test]
    fn codes_are_parsed_and_stored_as_they_are_written() {
        for locale in Locale::ALL {
            assert_eq!(Locale::parse(locale.as_str()), Some(locale));
            let json = serde_json::to_string(&locale).unwrap();
            assert_eq!(json, format!("\"{}\"", locale.as_str()));
        }
    }
}
