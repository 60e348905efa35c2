//! The login endpoint of Flask-JWT, for clients that were written for it.
//!
//! A plain route that exists only with `LATCHET_COMPAT_FLASK_JWT`. It is not in the API document: that is the
//! same for all servers, and generated clients should log in at `/v1/login`.

use poem::error::MethodNotAllowedError;
use poem::http::{HeaderValue, Method};
use poem::web::Json;
use poem::{Endpoint, IntoResponse, Request, Response};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::answer::Private;
use super::caller::caller;
use super::device::Devices;
use super::input::{JSON, require_type, unambiguous};
use crate::server::App;
use crate::server::envelope::Allow;
use crate::server::error::ApiError;
use crate::server::sessions::Login;

/// Path of Flask-JWT's login.
pub(super) const PATH: &str = "/auth";

const LONGEST_USERNAME: usize = 254;
const LONGEST_PASSWORD: usize = 1024;

/// `POST /auth`: exchanges user name and password for an access token, without a refresh token.
#[derive(Debug)]
pub(super) struct FlaskJwtLogin(pub(super) App);

impl Endpoint for FlaskJwtLogin {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if request.method() != Method::POST {
            let mut refused = poem::Error::from(MethodNotAllowedError);
            refused.set_data(Allow(HeaderValue::from_static("POST")));
            return Err(refused);
        }
        require_type(&request, JSON)?;
        let body = request.take_body().into_bytes().await?;
        let (username, password) =
            credentials(unambiguous(&body)?).ok_or(ApiError::InvalidCredentials)?;
        let login = Login {
            username,
            password,
            scope: None,
            client_id: String::new(),
            label: String::new(),
            devices: Devices::of(&request, None, &self.0).known(),
            caller: caller(&request, &self.0.config),
        };
        let grant = self.0.login(login).await?;
        let answer = json!({ "access_token": grant.access.access_token });
        Ok(Private::new(Json(answer)).into_response())
    }
}

/// Reads exactly these two members. Flask-JWT, too, answers every other object with "Invalid credentials".
fn credentials(body: Value) -> Option<(String, SecretString)> {
    let Value::Object(mut members) = body else {
        return None;
    };
    let username = text(&mut members, "username", LONGEST_USERNAME)?;
    let password = text(&mut members, "password", LONGEST_PASSWORD)?;
    members.is_empty().then(|| (username, password.into()))
}

fn text(members: &mut Map<String, Value>, name: &str, longest: usize) -> Option<String> {
    match members.remove(name)? {
        // PostgreSQL stores no NUL in text.
        Value::String(text)
            if (1..=longest).contains(&text.chars().count()) && !text.contains('\0') =>
        {
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_two_members_are_credentials() {
        let read = |body: Value| credentials(body).map(|(username, _)| username);

        let good = read(json!({"username": "joe", "password": "pass"}));
        assert_eq!(good.as_deref(), Some("joe"));
        for bad in [
            json!({"username": "joe"}),
            json!({"username": "joe", "password": "pass", "more": 1}),
            json!({"username": "", "password": "pass"}),
            json!({"username": "joe", "password": null}),
            json!({"username": 7, "password": "pass"}),
            json!({"username": "jo\0e", "password": "pass"}),
            json!({"username": "j".repeat(255), "password": "pass"}),
            json!(["joe", "pass"]),
            json!(null),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }
}
