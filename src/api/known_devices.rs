//! Device tokens, which prove that an account knows a device: a cookie in browsers, a body member elsewhere.

use poem::Request;
use poem::http::HeaderValue;
use secrecy::SecretString;

use super::cookies::SessionCookies;
use super::secret_field::SecretField;
use crate::App;
use crate::store::UserId;
use crate::throttle::{KnownDevice, MAX_TOKEN_LENGTH};

/// A device token in a body.
pub(super) type DeviceToken = SecretField<MAX_TOKEN_LENGTH>;

/// The accounts that know the device of a request. Invalid device tokens are ignored: they are no reason to
/// refuse a login.
#[derive(Clone, Debug)]
pub(super) struct KnownDevices(Vec<KnownDevice>);

impl KnownDevices {
    /// Reads the device tokens of a request from its cookie and its body.
    pub(super) fn from_request(
        request: &Request,
        cookies: Option<&SessionCookies>,
        body: Option<&DeviceToken>,
        app: &App,
    ) -> Self {
        let cookies = cookies.map(|cookies| cookies.device_tokens(request));
        let body = body.map(|token| token.0.clone());
        let tokens = body.into_iter().chain(cookies.unwrap_or_default());
        Self(
            tokens
                .filter_map(|token| KnownDevice::from_token(&token, &app.derived))
                .collect(),
        )
    }

    /// Returns the devices, for a login.
    pub(super) fn to_vec(&self) -> Vec<KnownDevice> {
        self.0.clone()
    }

    /// Returns the device token for the user of a new login.
    pub(super) fn device_token_for(&self, user: &UserId, app: &App) -> SecretString {
        self.device_for(user).token(&app.derived)
    }

    /// Returns the cookie with the device token for the user of a new login, and those of other accounts.
    pub(super) fn device_cookie_for(
        &self,
        user: &UserId,
        cookies: &SessionCookies,
        app: &App,
    ) -> HeaderValue {
        let others = self
            .0
            .iter()
            .filter(|device| !device.belongs_to(user))
            .cloned();
        let devices = std::iter::once(self.device_for(user)).chain(others);
        let tokens: Vec<SecretString> = devices.map(|device| device.token(&app.derived)).collect();
        cookies.device_cookie(&tokens)
    }

    /// Returns the known device of a user, or a new one. A known device keeps its identity, so that it has
    /// one throttle budget, however often its user logs in.
    fn device_for(&self, user: &UserId) -> KnownDevice {
        let known = self.0.iter().find(|device| device.belongs_to(user));
        known
            .cloned()
            .unwrap_or_else(|| KnownDevice::new(user.clone()))
    }
}
