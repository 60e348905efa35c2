//! People and their sessions, in the words of the domain.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::http::{Http, HttpResponse};

/// A user of a server, with the password.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) http: Http,
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Name and password of the administrator that every test server begins with.
#[derive(Debug)]
pub(crate) struct Administrator {
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
}

/// The administrator that every test server begins with.
pub(crate) const ADMIN: Administrator = Administrator {
    name: "root-of-tests",
    password: "a long password of the administrator",
};

impl Http {
    /// Returns the administrator of this server.
    pub(crate) fn admin(&self) -> Person {
        Person {
            http: self.clone(),
            name: ADMIN.name.to_owned(),
            password: ADMIN.password.to_owned(),
        }
    }

    /// Creates an account and returns its user.
    pub(crate) async fn person(&self, name: &str) -> Person {
        self.account(name, &[]).await
    }

    /// Makes an account of another administrator.
    pub(crate) async fn administrator(&self, name: &str) -> Person {
        self.account(name, &["admin"]).await
    }

    /// Makes an account with these roles.
    pub(crate) async fn account(&self, name: &str, roles: &[&str]) -> Person {
        let password = format!("a long password of {name}");
        let access = self.admin().login().await.access;
        let body = json!({"username": name, "password": password, "roles": roles});
        let made = self
            .post("/v1/users")
            .bearer(&access)
            .json(&body)
            .send()
            .await;
        made.expect(201);
        Person {
            http: self.clone(),
            name: name.to_owned(),
            password,
        }
    }
}

impl Person {
    /// Logs in.
    pub(crate) async fn login(&self) -> Session {
        let answer = self.try_login(&self.password).await.expect(200);
        Session::of(self.http.clone(), &answer)
    }

    /// Tries to log in with any password.
    pub(crate) async fn try_login(&self, password: &str) -> HttpResponse {
        let body = json!({"username": self.name, "password": password});
        self.http.post("/v1/login").json(&body).send().await
    }

    /// Returns the same user at another server.
    pub(crate) fn at(&self, server: &Http) -> Self {
        Self {
            http: server.clone(),
            ..self.clone()
        }
    }
}

/// The tokens of one login, as a client keeps them.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) http: Http,
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Session {
    /// Reads the tokens out of the response to a login or refresh.
    #[track_caller]
    pub(crate) fn of(http: Http, answer: &HttpResponse) -> Self {
        Self {
            http,
            id: answer.field("session_id"),
            access: answer.field("access_token"),
            refresh: answer.field("refresh_token"),
        }
    }

    /// Presents the refresh token.
    pub(crate) async fn refresh(&self) -> HttpResponse {
        self.try_refresh().await.expect("the server answers")
    }

    /// Presents the refresh token; a response that is lost on the way is an error.
    pub(crate) async fn try_refresh(&self) -> Result<HttpResponse, reqwest::Error> {
        let body = json!({"refresh_token": self.refresh});
        self.http.post("/v1/refresh").json(&body).try_send().await
    }

    /// Presents the refresh token and returns the connection without waiting for the response.
    pub(crate) async fn send_refresh(&self) -> TcpStream {
        let body = json!({"refresh_token": self.refresh}).to_string();
        let head = format!(
            "POST /v1/refresh HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.http.address())
            .await
            .expect("the server listens");
        stream
            .write_all((head + &body).as_bytes())
            .await
            .expect("the server reads");
        stream
    }

    /// Presents the refresh token and returns the session with the new tokens.
    pub(crate) async fn rotate(&self) -> Self {
        Self::of(self.http.clone(), &self.refresh().await.expect(200))
    }

    /// Presents the access token to a protected route.
    pub(crate) async fn check(&self) -> HttpResponse {
        self.http.get("/v1/me").bearer(&self.access).send().await
    }

    /// Ends the session.
    pub(crate) async fn logout(&self) -> HttpResponse {
        self.http
            .post("/v1/logout")
            .bearer(&self.access)
            .send()
            .await
    }

    /// Ends every session of the person.
    pub(crate) async fn logout_everywhere(&self) -> HttpResponse {
        self.http
            .post("/v1/logout/all")
            .bearer(&self.access)
            .send()
            .await
    }

    /// Returns the id of the person.
    pub(crate) fn user_id(&self) -> String {
        claims(&self.access)["sub"]
            .as_str()
            .expect("tokens have a subject")
            .to_owned()
    }

    /// Returns the same session before another server.
    pub(crate) fn at(&self, server: &Http) -> Self {
        Self {
            http: server.clone(),
            ..self.clone()
        }
    }
}

/// Returns the header of a token, unchecked.
pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

/// Returns the claims of a token, unchecked.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let text = token
        .split('.')
        .nth(index)
        .expect("tokens have three parts");
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("parts are base64url");
    serde_json::from_slice(&bytes).expect("parts are JSON")
}
