//! A browser: keeps cookies, and sends what a page on the server's own origin would.

use std::collections::BTreeMap;

use serde_json::json;

use super::client::Person;
use super::http::{Http, HttpResponse, Request};

/// A browser with the session cookies of one person.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    pub(crate) http: Http,
    /// Cookies by name.
    pub(crate) jar: BTreeMap<String, String>,
    /// The access token, which a page keeps in its memory.
    pub(crate) access: String,
}

/// Name of the refresh cookie on plain http.
pub(crate) const REFRESH_COOKIE: &str = "latchet_rt";
/// Name of the readable cookie on plain http, whose value goes into a header.
pub(crate) const CSRF_COOKIE: &str = "latchet_csrf";

impl Browser {
    /// Logs `person` in by cookie.
    pub(crate) async fn login(person: &Person) -> Self {
        let body =
            json!({"username": person.name, "password": person.password, "transport": "cookie"});
        let mut browser = Self {
            http: person.http.clone(),
            jar: BTreeMap::new(),
            access: String::new(),
        };
        let answer = browser
            .page("POST", "/v1/login")
            .json(&body)
            .send()
            .await
            .expect(200);
        browser.take(&answer);
        browser
    }

    /// Begins a request as a script of the server's own page sends it: cookies, CSRF header, origin.
    pub(crate) fn page(&self, method: &str, path: &str) -> Request {
        let request = self
            .cookies_only(method, path)
            .header("origin", self.http.base())
            .header("sec-fetch-site", "same-origin");
        match self.jar.get(CSRF_COOKIE) {
            Some(value) => request.header("x-csrf-token", value),
            None => request,
        }
    }

    /// Begins a request with the cookies and nothing else.
    pub(crate) fn cookies_only(&self, method: &str, path: &str) -> Request {
        let cookies: Vec<_> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.http.request(method, path);
        if cookies.is_empty() {
            return request;
        }
        request.header("cookie", &cookies.join("; "))
    }

    /// Refreshes by cookie, without keeping what comes back.
    pub(crate) async fn refresh(&self) -> HttpResponse {
        self.page("POST", "/v1/refresh")
            .json(&json!({}))
            .send()
            .await
    }

    /// Keeps the cookies and the access token of a response.
    pub(crate) fn take(&mut self, answer: &HttpResponse) {
        for cookie in answer.set_cookies() {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').expect("cookies have a value");
            if value.is_empty() || attributes.to_lowercase().contains("max-age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(access) = answer.json()["access_token"].as_str() {
            access.clone_into(&mut self.access);
        }
    }
}
