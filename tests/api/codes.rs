//! Problem codes: each code of the program is documented, with the same status.

use std::collections::BTreeMap;

use latchet::problem_codes::PROBLEM_CODES;

use crate::support::tool::root;

/// Where codes are given to refusals.
const SOURCES: [&str; 3] = [
    "guard/src/error.rs",
    "src/error.rs",
    "src/middleware/error_reply.rs",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Returns each text that follows the name of a status, as in `(StatusCode::NOT_FOUND, "not_found")`,
/// with that name.
fn codes_in(source: &str) -> Vec<(String, String)> {
    let parts: Vec<_> = source.split('"').collect();
    let pairs = parts.windows(2).filter_map(|pair| {
        let before = pair[0].trim_end().strip_suffix(',')?;
        let status = before
            .rsplit(|c: char| c != '_' && !c.is_ascii_alphabetic())
            .next()?;
        let is_status = before.ends_with(&format!("StatusCode::{status}"));
        let is_code = pair[1].chars().all(|c| c == '_' || c.is_ascii_lowercase());
        (is_code && (is_status || status == "unauthorized"))
            .then(|| (pair[1].to_owned(), status.to_ascii_uppercase()))
    });
    pairs.collect()
}

/// Returns the documented codes, and the names of their statuses.
fn documented() -> BTreeMap<String, String> {
    let codes = PROBLEM_CODES.iter().map(|problem| {
        let name = problem.status.canonical_reason().unwrap();
        let name = name.replace(' ', "_").to_ascii_uppercase();
        (problem.code.to_owned(), name)
    });
    codes.collect()
}

#[test]
fn every_code_is_documented_with_its_status() {
    let texts = SOURCES.map(read);

    let codes: BTreeMap<_, _> = texts.iter().flat_map(|text| codes_in(text)).collect();

    assert_eq!(documented().len(), PROBLEM_CODES.len());
    assert!(codes.len() > 25, "{codes:?}");
    assert_eq!(codes, documented());
}

#[test]
fn every_code_of_the_api_document_is_one_of_them() {
    let document: serde_json::Value = serde_yaml_ng::from_str(&read("openapi.yaml")).unwrap();
    let documented = documented();

    let examples = document["components"]["examples"].as_object().unwrap();

    assert!(examples.len() > 20, "{}", examples.len());
    for code in examples.keys() {
        assert!(documented.contains_key(code), "{code}");
    }
}
