//! `docs/reference/http-api.md`

use std::fmt::Write;

use serde_json::Value;

use super::{page, push_heading, push_table, sentence};
use crate::support::tool::root;

const INTRODUCTION: &str = "
The routes of the server. [`openapi.yaml`](../../openapi.yaml) has the parameters, the bodies and the responses of
each; a running server serves it at `/openapi.json` and `/openapi.yaml` and, for reading and for trying requests, at
`/docs`. [Error codes](error-codes.md) are the same for all routes. Two optional routes are not in it: `/metrics`, at
the address of [`LATCHET_METRICS_LISTEN`](metrics.md), and `POST /auth`, with
[`LATCHET_COMPAT_FLASK_JWT`](settings.md#moving-over-from-flask).
";

const LIMITS: &str = "
| limit | value | beyond it |
| --- | --- | --- |
| head of a request | 16 KiB and 64 headers | 414 `uri_too_long` or 431 `headers_too_large` |
| body of a request | `LATCHET_BODY_LIMIT` | 413 `payload_too_large` |
| time for a body to arrive | `LATCHET_REQUEST_TIMEOUT` | 408 `request_timeout` |
| unfinished bodies of one process together | 16 MiB, or four times `LATCHET_BODY_LIMIT` if that is more | 503 `unavailable` |
| time for the server to respond | `LATCHET_REQUEST_TIMEOUT` | 503 `unavailable` |
| requests of one HTTP/2 connection at once | 32 | the client waits |
| `Idempotency-Key` | 16 to 255 visible ASCII characters | 400 `validation_failed` |
";

/// Returns the API document.
pub(super) fn document() -> Value {
    let text = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

pub(super) fn generate() -> String {
    let document = document();
    let mut text = page("HTTP API", INTRODUCTION);
    for tag in document["tags"].as_array().unwrap() {
        let name = tag["name"].as_str().unwrap();
        push_heading(&mut text, name);
        let description = sentence(tag["description"].as_str().unwrap());
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{description}");
        let rows = routes(&document, name);
        assert!(!rows.is_empty(), "{name}");
        push_table(&mut text, &["route", "purpose", "credentials"], &rows);
    }
    push_heading(&mut text, "Limits");
    text.push_str(LIMITS);
    text
}

/// Returns the rows of the operations with one tag.
fn routes(document: &Value, tag: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["tags"][0] == tag {
                let summary = operation["summary"].as_str().unwrap();
                rows.push(vec![
                    format!("`{} {path}`", method.to_ascii_uppercase()),
                    sentence(summary),
                    credentials(operation),
                ]);
            }
        }
    }
    rows
}

/// Returns the credentials that an operation accepts.
fn credentials(operation: &Value) -> String {
    let alternatives = operation["security"].as_array().unwrap().iter();
    let names = alternatives.map(|alternative| {
        let schemes = alternative.as_object().unwrap().keys();
        let mut schemes: Vec<&str> = schemes.map(|name| scheme(name)).collect();
        schemes.sort_unstable_by(|a, b| b.cmp(a));
        match schemes.as_slice() {
            [] => "refresh token in the body".to_owned(),
            schemes => schemes.join(" with "),
        }
    });
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", or ")
}

fn scheme(name: &str) -> &'static str {
    match name {
        "password" | "accessToken" => "access token",
        "refreshToken" => "refresh token in `Authorization`",
        "refreshCookie" => "refresh cookie",
        "csrfToken" => "CSRF header",
        "serviceSecret" => "name and secret of a service",
        other => panic!("describe the security scheme {other} here"),
    }
}
