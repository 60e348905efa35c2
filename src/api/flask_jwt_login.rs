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

use super::client::{KnownDevices, client_details};
use super::cookies::SessionCookies;
use super::input::{JSON_TYPE, parse_unambiguous, require_content_type};
use super::responses::NoStore;
use crate::App;
use crate::error::ApiError;
use crate::middleware::AllowHeader;
use crate::sessions::LoginAttempt;

/// Path of Flask-JWT's login.
pub(super) const LOGIN_PATH: &str = "/auth";

const MAX_USERNAME_LENGTH: usize = 254;
const MAX_PASSWORD_LENGTH: usize = 1024;

/// `POST /auth`: exchanges user name and password for an access token, without a refresh token.
#[derive(Debug)]
pub(super) struct FlaskJwtLogin(pub(super) App);

impl Endpoint for FlaskJwtLogin {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if request.method() != Method::POST {
            let mut refused = poem::Error::from(MethodNotAllowedError);
            refused.set_data(AllowHeader(HeaderValue::from_static("POST")));
            return Err(refused);
        }
        require_content_type(&request, JSON_TYPE)?;
        let body = request.take_body().into_bytes().await?;
        let (username, password) =
            credentials(parse_unambiguous(&body)?).ok_or(ApiError::InvalidCredentials)?;
        let cookies = SessionCookies::for_request(&request, &self.0);
        let devices = KnownDevices::from_request(&request, cookies.as_ref(), None, &self.0);
        let login = LoginAttempt {
            username,
            password,
            scope: None,
            client_id: String::new(),
            label: String::new(),
            devices: devices.to_vec(),
            client: client_details(&request, &self.0.config),
        };
        let grant = self.0.sessions.login(login).await?;
        let body = json!({ "access_token": grant.access.access_token });
        Ok(NoStore::new(Json(body)).into_response())
    }
}

/// Reads exactly these two members. Flask-JWT, too, answers every other object with "Invalid credentials".
fn credentials(body: Value) -> Option<(String, SecretString)> {
    let Value::Object(mut members) = body else {
        return None;
    };
    let username = text_member(&mut members, "username", MAX_USERNAME_LENGTH)?;
    let password = text_member(&mut members, "password", MAX_PASSWORD_LENGTH)?;
    members.is_empty().then(|| (username, password.into()))
}

fn text_member(members: &mut Map<String, Value>, name: &str, max_length: usize) -> Option<String> {
    match members.remove(name)? {
        // PostgreSQL stores no NUL in text.
        Value::String(text)
            if (1..=max_length).contains(&text.chars().count()) && !text.contains('\0') =>
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
    fn credentials_have_exactly_two_members() {
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
