//! Comparison of `pages/de.js` with the texts of the pages. /admin and /docs are in English only.

use std::collections::{BTreeMap, BTreeSet};

use super::{FILES, PAGES, SCRIPT_TYPE};
use crate::error::ApiError;
use crate::password::Weakness;

const DICTIONARY: &str = include_str!("pages/de.js");
const REFUSAL: &str = include_str!("account/unknown_site.html");
/// Name of the product, which has no translation.
const NAME: &str = "Latchet";

/// Returns the dictionary: German texts by their English form.
fn dictionary() -> BTreeMap<&'static str, &'static str> {
    let entry = |line: &'static str| {
        let texts = line.trim().strip_prefix('\'')?.strip_suffix("',")?;
        texts.split_once("': '")
    };
    DICTIONARY.lines().filter_map(entry).collect()
}

fn is_translated(path: &str) -> bool {
    !path.starts_with("/admin") && !path.starts_with("/docs")
}

/// Returns the texts of a page that `language.js` translates.
fn texts_of_html(html: &'static str) -> Vec<&'static str> {
    // Browsers show those in `noscript` where no script can translate them.
    let parts = html
        .split("<noscript>")
        .filter_map(|part| part.rsplit("</noscript>").next());
    let elements = parts.flat_map(|part| part.split('<'));
    let mut texts = Vec::new();
    for (tag, text) in elements.filter_map(|element| element.split_once('>')) {
        for name in ["aria-label", "placeholder", "title"] {
            let attribute = tag.split_once(format!(" {name}=\"").as_str());
            texts.extend(attribute.and_then(|(_, value)| value.split('"').next()));
        }
        let is_language = tag.starts_with("button") && tag.contains(" lang=");
        if !is_language && !tag.starts_with("code") && !tag.contains(" translate=\"no\"") {
            texts.extend(text.trim().split(" · "));
        }
    }
    texts.retain(|text| *text != NAME && text.chars().any(char::is_alphabetic));
    texts
}

/// Returns the texts that a script passes to the function `t`.
fn texts_of_script(script: &'static str) -> Vec<&'static str> {
    let is_call = |at: usize| {
        let before = script[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"_.".contains(before))
    };
    let calls = script.match_indices("t('").filter(|(at, _)| is_call(*at));
    calls
        .filter_map(|(at, call)| script[at + call.len()..].split('\'').next())
        .collect()
}

#[test]
fn every_text_of_the_pages_has_a_german_form() {
    let dictionary = dictionary();
    let pages = PAGES.into_iter().map(|(path, _, html)| (path, html));
    let pages = pages.chain([("the refusal", REFUSAL)]);
    let texts_of_pages = pages
        .filter(|(path, _)| is_translated(path))
        .flat_map(|(path, html)| {
            texts_of_html(html)
                .into_iter()
                .map(move |text| (path, text))
        });
    let scripts = FILES
        .into_iter()
        .filter(|(_, content_type, _)| *content_type == SCRIPT_TYPE);
    let texts_of_scripts =
        scripts
            .filter(|(path, ..)| is_translated(path))
            .flat_map(|(path, _, text)| {
                texts_of_script(text)
                    .into_iter()
                    .map(move |text| (path, text))
            });

    let mut count = 0;
    for (path, text) in texts_of_pages.chain(texts_of_scripts) {
        assert!(dictionary.contains_key(text), "{path}: {text}");
        count += 1;
    }
    assert!(count > 100, "{count} texts: some are missing");
}

#[test]
fn a_german_text_stands_for_one_english_text() {
    let dictionary = dictionary();
    let lines = DICTIONARY.lines().filter(|line| line.starts_with("  '"));

    assert_eq!(
        dictionary.len(),
        lines.count(),
        "an entry is given twice or has another form"
    );
    let german: BTreeSet<_> = dictionary.values().collect();
    assert_eq!(german.len(), dictionary.len());
    for (english, german) in &dictionary {
        let is_own = german == english;
        assert!(is_own || !dictionary.contains_key(german), "{german}");
    }
}

#[test]
fn frequent_refusals_have_a_german_form() {
    let weaknesses = [
        Weakness::TooShort(15),
        Weakness::TooLong,
        Weakness::Repetition,
        Weakness::Username,
        Weakness::Common,
        Weakness::Breached,
        Weakness::Context,
        Weakness::Guessable,
    ];
    let errors = weaknesses.map(ApiError::WeakPassword).into_iter().chain([
        ApiError::InvalidCredentials,
        ApiError::WrongCurrentPassword,
        ApiError::InvalidCode,
    ]);

    let dictionary = dictionary();
    for error in errors {
        let sentence = sentence(&error.to_string());
        assert!(dictionary.contains_key(&*sentence), "{sentence}");
    }
}

/// Returns a text of the server as `pages.js` looks it up: as a sentence, and with a placeholder for its number.
fn sentence(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    let words = rest.split(' ').map(|word| {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            "{number}"
        } else {
            word
        }
    });
    let rest: Vec<_> = words.collect();
    format!("{}{}.", first.to_uppercase(), rest.join(" "))
}
