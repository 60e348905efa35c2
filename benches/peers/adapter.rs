//! Requests and responses of a server: the files that `refresh-conformance/README.md` describes, where `refresh`
//! may be missing.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use crate::support::connection::HttpResponse;
use crate::support::service::field;

/// Values of the placeholders.
pub(crate) type Values = BTreeMap<String, String>;

/// A server's requests, and where its answers hold what the next ones carry.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Adapter {
    answer: BTreeMap<String, String>,
    pub(crate) login: Request,
    pub(crate) refresh: Option<Request>,
    pub(crate) check: Request,
    /// The profile of the caller; the check where that is the same.
    pub(crate) me: Option<Request>,
    /// Introspection of a token, by a service that asks for each request.
    pub(crate) introspect: Option<Request>,
    pub(crate) logout: Request,
}

/// A request with placeholders.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: BTreeMap<String, String>,
    json: Option<serde_json::Value>,
    form: Option<BTreeMap<String, String>>,
}

impl Adapter {
    /// Reads one.
    pub(crate) fn read(json: &str) -> Self {
        serde_json::from_str(json).expect("the adapter is sound")
    }

    /// Takes from a response to a login or a refresh what it gave.
    pub(crate) fn take(&self, answer: HttpResponse<'_>, values: &mut Values) {
        for (name, place) in &self.answer {
            let value = match place.split_once(' ') {
                Some(("json", name)) => field(answer.body, name),
                Some(("cookie", name)) => cookie(answer.head, name),
                _ => panic!("there is no place `{place}` in an answer"),
            };
            values.insert(name.clone(), value);
        }
    }
}

impl Request {
    /// Returns the request.
    pub(crate) fn bytes(&self, values: &Values) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let host = &values["host"];
        let _ = write!(head, "host: {host}\r\n");
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {}\r\n", filled(value, values));
        }
        for (name, value) in &self.cookies {
            let _ = write!(head, "cookie: {name}={}\r\n", filled(value, values));
        }
        let body = match (&self.json, &self.form) {
            (Some(json), _) => {
                head.push_str("content-type: application/json\r\n");
                filled(&json.to_string(), values)
            }
            (None, Some(form)) => {
                head.push_str("content-type: application/x-www-form-urlencoded\r\n");
                let mut text = form_urlencoded::Serializer::new(String::new());
                for (name, value) in form {
                    text.append_pair(name, &filled(value, values));
                }
                text.finish()
            }
            (None, None) => String::new(),
        };
        if self.method != "GET" {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}

fn filled(text: &str, values: &Values) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        let placeholder = format!("{{{name}}}");
        if text.contains(&placeholder) {
            text = text.replace(&placeholder, value);
        }
    }
    text
}

fn cookie(head: &[u8], name: &str) -> String {
    let head = String::from_utf8_lossy(head);
    let cookies = head.lines().filter_map(|line| {
        let (header, value) = line.split_once(": ")?;
        header.eq_ignore_ascii_case("set-cookie").then_some(value)
    });
    let mut named = cookies.filter_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='));
    let value = named.next().and_then(|rest| rest.split(';').next());
    value.expect("the answer sets the cookie").to_owned()
}
