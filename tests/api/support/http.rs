//! HTTP requests and responses.

use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    base: String,
    client: reqwest::Client,
}

impl Http {
    /// Returns a client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub(crate) fn new(base: impl Into<String>) -> Self {
        Self {
            base: base.into(),
            client: reqwest::Client::new(),
        }
    }

    /// Returns a client that looks at redirects and follows none.
    pub(crate) fn without_redirects(base: impl Into<String>) -> Self {
        let none = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(none).build();
        Self {
            base: base.into(),
            client: client.expect("the client has no settings that fail"),
        }
    }

    /// Returns the address of the server, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Returns host and port of the server.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn ready(&self) {
        super::poll::until_some("the server to be ready", async || {
            let answer = self.get("/readyz").try_send().await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Begins a request.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        let method = method.parse().expect("methods are tokens");
        Request(self.client.request(method, format!("{}{path}", self.base)))
    }

    /// Begins a `GET`.
    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// Begins a `POST`.
    pub(crate) fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// Begins a `DELETE`.
    pub(crate) fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }
}

/// A request being put together.
#[derive(Debug)]
pub(crate) struct Request(reqwest::RequestBuilder);

impl Request {
    /// Presents `token` in the header for access tokens.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Adds a header.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value)
    }

    /// Adds a header of any bytes.
    pub(crate) fn raw_header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value =
            reqwest::header::HeaderValue::from_bytes(value.as_ref()).expect("no line breaks");
        Self(self.0.header(name, value))
    }

    /// Sets a JSON body.
    pub(crate) fn json(self, body: &impl Serialize) -> Self {
        Self(self.0.json(body))
    }

    /// Sets a form body.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        Self(self.0.form(fields))
    }

    /// Sets any body.
    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self(
            self.0
                .header("content-type", content_type)
                .body(body.into()),
        )
    }

    /// Sets a body whose type is in a header of the test.
    pub(crate) fn raw_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.body(body.into()))
    }

    /// Sends the request; panics when no response comes.
    pub(crate) async fn send(self) -> HttpResponse {
        self.try_send().await.expect("the server answers")
    }

    /// Sends the request; a response that is lost on the way is an error.
    pub(crate) async fn try_send(self) -> Result<HttpResponse, reqwest::Error> {
        let response = self.0.timeout(super::poll::DEADLINE).send().await?;
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl HttpResponse {
    /// Asserts the status, and returns the response.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer: {}", self.text);
        self
    }

    /// Asserts that this is the documented error `code` with `status`, and returns the response.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "answer: {}",
            self.text
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        self
    }

    /// Returns the body as JSON; `null` when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Returns a text field of the body; panics when it is missing.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        match self.json().get(name) {
            Some(Value::String(text)) => text.clone(),
            _ => panic!("no text {name:?} in {}", self.text),
        }
    }

    /// Returns the `code` of an error response; empty when there is none.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns a header; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("headers are ASCII"))
    }

    /// Returns every `Set-Cookie` header.
    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().expect("cookies are ASCII"))
            .collect()
    }
}
