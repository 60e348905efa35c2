//! Requests that clients send.

use std::time::Duration;

use chaos::history::Action;
use serde_json::{Value, json};

use crate::client::TokenGrant;

/// Time that a client waits for a response.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A request to be sent.
#[derive(Debug)]
pub(crate) struct RequestSpec<'a> {
    pub(crate) user: &'a str,
    pub(crate) action: Action,
    pub(crate) session: Option<&'a str>,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Access token that is presented.
    pub(crate) bearer: Option<&'a TokenGrant>,
    pub(crate) body: Value,
    pub(crate) presented: Option<&'a str>,
    pub(crate) key: Option<u64>,
    /// True when a login has succeeded on this device before.
    pub(crate) is_known_device: bool,
    pub(crate) patience: Duration,
}

impl<'a> RequestSpec<'a> {
    fn new(user: &'a str, action: Action, method: &'static str, path: impl Into<String>) -> Self {
        Self {
            user,
            action,
            session: None,
            method,
            path: path.into(),
            bearer: None,
            body: Value::Null,
            presented: None,
            key: None,
            is_known_device: false,
            patience: REQUEST_TIMEOUT,
        }
    }

    pub(crate) fn login(user: &'a str, password: u32, text: &str) -> Self {
        Self {
            body: json!({"username": user, "password": text}),
            ..Self::new(user, Action::LogIn { password }, "POST", "/v1/login")
        }
    }

    /// A login with the device token of an earlier one on this device, if there was one.
    pub(crate) fn on_device(mut self, token: Option<&str>) -> Self {
        if let Some(token) = token {
            self.body["device_token"] = token.into();
            self.is_known_device = true;
        }
        self
    }

    /// A login on a device with an earlier success, with or without a device token.
    pub(crate) fn on_known_device(self) -> Self {
        Self {
            is_known_device: true,
            ..self
        }
    }

    pub(crate) fn refresh(user: &'a str, grant: &'a TokenGrant, key: Option<u64>) -> Self {
        Self {
            session: Some(&grant.session),
            body: json!({"refresh_token": grant.refresh}),
            presented: Some(&grant.refresh),
            key,
            ..Self::new(user, Action::Refresh, "POST", "/v1/refresh")
        }
    }

    /// A request with the access token of a session.
    pub(crate) fn of(user: &'a str, grant: &'a TokenGrant, action: Action) -> Self {
        let (method, path) = match &action {
            Action::LogOut => ("POST", "/v1/logout".to_owned()),
            Action::LogOutEverywhere => ("POST", "/v1/logout/all".to_owned()),
            Action::Revoke { target } => ("DELETE", format!("/v1/me/sessions/{target}")),
            Action::ChangePassword { .. } => ("POST", "/v1/me/password".to_owned()),
            Action::Reauthenticate => ("POST", "/v1/reauthenticate".to_owned()),
            Action::Govern => ("GET", "/v1/users?limit=1".to_owned()),
            Action::Verify => ("GET", "/v1/verify".to_owned()),
            _ => ("GET", "/v1/me".to_owned()),
        };
        Self {
            session: Some(&grant.session),
            bearer: Some(grant),
            ..Self::new(user, action, method, path)
        }
    }

    /// A request for the signing keys, which every replica has in memory.
    pub(crate) fn keys(user: &'a str, grant: &'a TokenGrant) -> Self {
        Self {
            path: "/v1/keys".to_owned(),
            ..Self::of(user, grant, Action::Check)
        }
    }

    /// A request of an administrator about a user.
    pub(crate) fn admin(user: &'a str, action: Action, path: &str) -> Self {
        let method = match &action {
            Action::SetRoles { .. } => "PUT",
            Action::ListSessions => "GET",
            _ => "POST",
        };
        let body = match &action {
            Action::SetRoles { roles } => json!({"roles": roles}),
            _ => Value::Null,
        };
        Self::new(user, action, method, path).body(body)
    }

    /// Roles that a user gives to the own account, with the access token of the own session.
    pub(crate) fn own_roles(
        user: &'a str,
        id: &str,
        grant: &'a TokenGrant,
        roles: &[&str],
    ) -> Self {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let path = format!("/v1/users/{id}/roles");
        Self {
            session: Some(&grant.session),
            ..Self::admin(user, Action::SetRoles { roles }, &path).by(grant)
        }
    }

    /// Sends the access token of this session, which may belong to another user than the request is about.
    pub(crate) fn by(self, grant: &'a TokenGrant) -> Self {
        Self {
            bearer: Some(grant),
            ..self
        }
    }

    pub(crate) fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// Disconnects after this time, whatever has arrived.
    pub(crate) fn give_up_after(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}
