//! The pages of `docs/reference`: each is generated from the program, and the checked-in page is up to date.
//!
//! `UPDATE_REFERENCE=1 cargo test --all-features --locked --test api reference` writes them.

use std::fmt::Write;

use crate::support::tool::root;

mod cli;
mod error_codes;
mod events;
mod http_api;
mod metrics;
mod settings;
mod source;

const UPDATE: &str = "UPDATE_REFERENCE";

/// Compares a checked-in page with the generated one, or writes it.
#[track_caller]
fn assert_up_to_date(page: &str, generated: &str) {
    let path = root().join("docs/reference").join(page);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "docs/reference/{page} is out of date; \
         run: {UPDATE}=1 cargo test --all-features --locked --test api reference"
    );
}

/// Returns the beginning of a page: title, note and introduction.
fn page(title: &str, introduction: &str) -> String {
    let introduction = introduction.trim();
    format!(
        "# {title}\n\n<!-- Generated from the program by tests/api/reference.rs: do not edit. -->\n\n{introduction}\n"
    )
}

/// Appends a table in Markdown.
fn push_table(page: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    page.push('\n');
    page.push_str(&line(&head));
    page.push_str(&line(&vec!["---".to_owned(); head.len()]));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        page.push_str(&line(&cells));
    }
}

fn push_heading(page: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "\n## {text}");
}

/// Returns a text for a cell: on one line, without the separator of cells.
fn escaped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// Returns a text as a sentence: with a full stop, and a capital letter unless it begins with a name such as
/// `sqlite:`.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let end = if text.ends_with(['.', '?']) { "" } else { "." };
    let word = text.split_whitespace().next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if word.chars().all(char::is_alphanumeric) => {
            format!("{}{}{end}", first.to_uppercase(), letters.as_str())
        }
        _ => format!("{text}{end}"),
    }
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    assert_up_to_date("settings.md", &settings::generate());
}

#[test]
fn the_page_of_the_command_line_is_up_to_date() {
    assert_up_to_date("cli.md", &cli::generate());
}

#[test]
fn the_page_of_error_codes_is_up_to_date() {
    assert_up_to_date("error-codes.md", &error_codes::generate());
}

#[test]
fn the_page_of_events_is_up_to_date() {
    assert_up_to_date("events.md", &events::generate());
}

#[test]
fn the_page_of_the_http_api_is_up_to_date() {
    assert_up_to_date("http-api.md", &http_api::generate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_metrics_is_up_to_date() {
    assert_up_to_date("metrics.md", &metrics::generate().await);
}

#[test]
fn a_help_text_becomes_a_sentence() {
    assert_eq!(sentence("life of a token"), "Life of a token.");
    assert_eq!(
        sentence("sqlite: or postgres: URL"),
        "sqlite: or postgres: URL."
    );
    assert_eq!(sentence("`iss` of the tokens."), "`iss` of the tokens.");
}
