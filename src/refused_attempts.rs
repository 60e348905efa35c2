//! One log line for each refused attempt to authenticate, with the address that it came from.
//!
//! Programs such as fail2ban read these lines, so their texts and fields do not change, and the
//! address precedes all text that the client chose: see `docs/how-to/monitoring.md`.

use std::net::IpAddr;

use super::error::ApiError;
use super::ids::UserId;
use super::logging::UntrustedText;
use super::names::EmailAddress;

/// Returns a name as it is logged: of an e-mail address, which belongs to a person, the domain alone.
fn printable_name(username: &str) -> String {
    match EmailAddress::parse(username) {
        Ok(address) => format!("…@{}", address.domain()),
        Err(_) => username.to_owned(),
    }
}

/// Logs the refusal of a login, unless it is a fault of the server.
pub(super) fn log_login(username: &str, ip: IpAddr, error: &ApiError) {
    match error {
        ApiError::InvalidCredentials => tracing::info!(
            // Unknown user, wrong password or disabled account, at `/v1/login`, `/oauth/token` or `/auth`.
            event = "login_failed",
            client.address = %ip,
            user.name = %UntrustedText(&printable_name(username)),
            "login failed"
        ),
        ApiError::TooManyRequests {
            retry_after,
            budget,
        } => tracing::info!(
            // A login was refused before its password was checked.
            event = "login_throttled",
            client.address = %ip,
            user.name = %UntrustedText(&printable_name(username)),
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "login refused by the throttle"
        ),
        _ => {}
    }
}

/// Logs the refusal of a password that a signed-in user repeated.
pub(super) fn log_in_session(user: &UserId, ip: IpAddr, error: &ApiError) {
    match error {
        ApiError::InvalidCredentials => tracing::info!(
            // A user who is signed in entered a wrong password.
            event = "password_proof_failed",
            client.address = %ip,
            user.id = %user,
            "password proof failed"
        ),
        ApiError::TooManyRequests {
            retry_after,
            budget,
        } => tracing::info!(
            // The password proof of a signed-in user was refused before the password was checked.
            event = "password_proof_throttled",
            client.address = %ip,
            user.id = %user,
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "password proof refused by the throttle"
        ),
        _ => {}
    }
}

/// Logs the refusal of credentials of a service.
pub(super) fn log_service(name: &str, ip: IpAddr, error: &ApiError) {
    match error {
        ApiError::InvalidClient => tracing::info!(
            // Wrong name or secret of a service.
            event = "service_login_failed",
            client.address = %ip,
            service.name = %UntrustedText(name),
            "service login failed"
        ),
        ApiError::TooManyRequests {
            retry_after,
            budget,
        } => tracing::info!(
            // A service was refused because too many attempts failed.
            event = "service_login_throttled",
            client.address = %ip,
            service.name = %UntrustedText(name),
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "service login refused by the throttle"
        ),
        _ => {}
    }
}

/// Logs the refusal of a registration by the throttle.
pub(super) fn log_registration(ip: IpAddr, error: &ApiError) {
    if let ApiError::TooManyRequests {
        retry_after,
        budget,
    } = error
    {
        tracing::info!(
            // Too many registrations came from one network.
            event = "registration_throttled",
            client.address = %ip,
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "registration refused by the throttle"
        );
    }
}
