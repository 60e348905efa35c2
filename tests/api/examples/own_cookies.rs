//! The example whose tokens travel as cookies.

use std::collections::HashMap;

use serde_json::json;

use super::Example;
use crate::support::http::{Http, HttpResponse};
use crate::support::poll;

/// A browser's cookies, as far as the example sets any.
#[derive(Default)]
struct CookieJar(HashMap<String, String>);

impl CookieJar {
    fn take(&mut self, answer: &HttpResponse) {
        for line in answer.set_cookies() {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    fn header(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Asks as a page would: with the cookies, and with the CSRF value where the page has read it.
    async fn ask(&mut self, http: &Http, method: &str, path: &str, csrf: &str) -> HttpResponse {
        let request = http
            .request(method, path)
            .header("cookie", &self.header())
            .header("x-csrf-token", csrf);
        let answer = request.send().await;
        self.take(&answer);
        answer
    }

    async fn login(http: &Http) -> Self {
        let body = json!({"username": "alice", "password": "wonderland"});
        let answer = http.post("/login").json(&body).send().await.expect(200);
        let mut jar = Self::default();
        jar.take(&answer);
        jar
    }
}

#[tokio::test]
async fn a_page_signs_in_changes_something_and_signs_out() {
    let Example { http, _child, .. } = Example::start("own_cookies", &[]);
    let mut jar = CookieJar::login(&http).await;
    let csrf = jar.0["latchet_at_csrf"].clone();
    let stolen = jar.header();

    let page = jar.ask(&http, "GET", "/", "").await.expect(200);
    assert_eq!(page.text, "hello, alice");
    assert!(page.set_cookies().is_empty(), "it is too early to renew");
    assert_eq!(http.get("/").send().await.status, 401);
    for guess in ["", "guessed"] {
        let refused = jar.ask(&http, "POST", "/note", guess).await;
        refused.expect_problem(403, "csrf_failed");
    }
    let noted = jar.ask(&http, "POST", "/note", &csrf).await.expect(200);
    assert_eq!(noted.text, "alice has left a note");
    let foreign = http
        .post("/note")
        .header("cookie", &stolen)
        .header("x-csrf-token", &csrf)
        .header("origin", "https://elsewhere.example");
    foreign.send().await.expect_problem(403, "csrf_failed");
    jar.ask(&http, "POST", "/logout", &csrf).await.expect(200);
    assert_eq!(jar.0["latchet_at"], "");
    let kept = http.get("/").header("cookie", &stolen).send().await;
    kept.expect_problem(401, "token_revoked");
}

#[tokio::test]
async fn a_page_that_is_used_stays_signed_in_until_it_signs_out() {
    let Example { http, _child, .. } = Example::start("own_cookies", &["20"]);
    let mut jar = CookieJar::login(&http).await;
    let csrf = jar.0["latchet_at_csrf"].clone();
    let first = jar.header();

    // Within its first second the cookie is not renewed.
    poll::until_some("the cookie to be renewed", async || {
        let answer = http.get("/").header("cookie", &first).send().await;
        jar.take(&answer.expect(200));
        (jar.header() != first).then_some(())
    })
    .await;

    jar.ask(&http, "POST", "/note", &csrf).await.expect(200);
    let renewed = jar.header();
    let out = jar.ask(&http, "POST", "/logout", &csrf).await;
    out.expect(200);
    assert_eq!(jar.0["latchet_at"], "");
    for cookies in [first, renewed] {
        let kept = http.get("/").header("cookie", &cookies).send().await;
        assert!(kept.set_cookies().is_empty());
        kept.expect_problem(401, "token_revoked");
    }
}
