//! Device tokens, which prove that an account knows a device: a cookie in browsers, a body member elsewhere.

use poem::Request;
use poem::http::HeaderValue;
use secrecy::SecretString;

use super::cookies::Cookies;
use super::secret::Secret;
use crate::server::App;
use crate::server::store::UserId;
use crate::server::throttle::{KnownDevice, LONGEST_TOKEN};

/// A device token in a body.
pub(super) type DeviceToken = Secret<LONGEST_TOKEN>;

/// The accounts that know the device of a request. Invalid device tokens are ignored: they are no reason to
/// refuse a login.
#[derive(Clone, Debug)]
pub(super) struct Devices(Vec<KnownDevice>);

impl Devices {
    /// Reads the device tokens of a request from its cookie and its body.
    pub(super) fn of(request: &Request, body: Option<&DeviceToken>, app: &App) -> Self {
        let cookies = Cookies::of(request, app);
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
    pub(super) fn known(&self) -> Vec<KnownDevice> {
        self.0.clone()
    }

    /// Returns the device token for the user of a new login.
    pub(super) fn token_of(&self, user: &UserId, app: &App) -> SecretString {
        self.device_of(user).token(&app.derived)
    }

    /// Returns the cookie with the device token for the user of a new login, and those of other accounts.
    pub(super) fn cookie_of(&self, user: &UserId, cookies: &Cookies, app: &App) -> HeaderValue {
        let others = self.0.iter().filter(|device| !device.is_of(user)).cloned();
        let devices = std::iter::once(self.device_of(user)).chain(others);
        let tokens: Vec<SecretString> = devices.map(|device| device.token(&app.derived)).collect();
        cookies.keep_device(&tokens)
    }

    /// Returns the known device of a user, or a new one. A known device keeps its identity, so that it has
    /// one throttle budget, however often its user logs in.
    fn device_of(&self, user: &UserId) -> KnownDevice {
        let known = self.0.iter().find(|device| device.is_of(user));
        known
            .cloned()
            .unwrap_or_else(|| KnownDevice::new(user.clone()))
    }
}
