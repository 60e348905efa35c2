//! One line of the log for each refused attempt to prove an identity, with the address that it came from.
//!
//! Programs such as fail2ban read these lines, so their words and fields stay as they are, and the
//! address goes before everything that the client chose: see `docs/running.md`.

use std::net::IpAddr;

use super::error::ApiError;
use super::logging::Typed;
use super::store::UserId;

/// Logs why a login is refused, where that is not a fault of ours.
pub(super) fn log_login(username: &str, ip: IpAddr, error: &ApiError) {
    match error {
        ApiError::InvalidCredentials => tracing::info!(
            event = "login_failed",
            client.address = %ip,
            user.name = %Typed(username),
            "login failed"
        ),
        ApiError::TooManyRequests {
            retry_after,
            budget,
        } => tracing::info!(
            event = "login_throttled",
            client.address = %ip,
            user.name = %Typed(username),
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "login refused by the throttle"
        ),
        _ => {}
    }
}

/// Logs why a user who is signed in could not prove the password again.
pub(super) fn log_in_session(user: &UserId, ip: IpAddr, error: &ApiError) {
    match error {
        ApiError::InvalidCredentials => tracing::info!(
            event = "password_proof_failed",
            client.address = %ip,
            user.id = %user,
            "password proof failed"
        ),
        ApiError::TooManyRequests {
            retry_after,
            budget,
        } => tracing::info!(
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

/// Logs why credentials of a service are refused.
pub(super) fn log_service(name: &str, ip: IpAddr, error: &ApiError) {
    match error {
        ApiError::InvalidClient => tracing::info!(
            event = "service_login_failed",
            client.address = %ip,
            service.name = %Typed(name),
            "service login failed"
        ),
        ApiError::TooManyRequests {
            retry_after,
            budget,
        } => tracing::info!(
            event = "service_login_throttled",
            client.address = %ip,
            service.name = %Typed(name),
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "service login refused by the throttle"
        ),
        _ => {}
    }
}

/// Logs that a registration is refused because there were too many.
pub(super) fn log_registration(ip: IpAddr, error: &ApiError) {
    if let ApiError::TooManyRequests {
        retry_after,
        budget,
    } = error
    {
        tracing::info!(
            event = "registration_throttled",
            client.address = %ip,
            budget = budget.as_str(),
            setting = budget.setting(),
            retry_after_s = retry_after.as_secs(),
            "registration refused by the throttle"
        );
    }
}
