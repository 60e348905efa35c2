//! The error codes of an operation: those that follow from its guard and its body, and those of its
//! [`OperationSpec`].

use serde_json::Value;

use super::operation_spec::OperationSpec;

/// Codes of every guard. All guards of this API require first-party tokens or a role.
pub(in crate::api) const GUARD_CODES: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "token_expired",
    "wrong_token_type",
    "token_revoked",
    "token_outdated",
    "insufficient_scope",
];
/// Codes of operations that read a refresh token.
pub(in crate::api) const REFRESH_CODES: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "wrong_token_type",
    "csrf_failed",
];
/// Codes of operations that verify a password.
pub(in crate::api) const PASSWORD_CODES: &[&str] = &["invalid_credentials", "too_many_requests"];
/// Further code of guards that require a fresh token.
pub(in crate::api) const FRESH_CODE: &str = "fresh_token_required";
/// Codes of every operation with a body.
const BODY_CODES: &[&str] = &[
    "validation_failed",
    "unsupported_media_type",
    "payload_too_large",
    "request_timeout",
];
/// Codes of operations with a guard and without a body: their parameters are validated.
const PARAMETER_CODES: &[&str] = &["validation_failed"];
/// Codes of every operation.
const COMMON_CODES: &[&str] = &["internal", "unavailable"];

/// Returns the codes of an operation, which is given as poem-openapi describes it. A code may occur twice.
pub(super) fn codes(spec: &OperationSpec, operation: &Value) -> Vec<&'static str> {
    let security = operation["security"].as_array();
    let has_guard = security.is_some_and(|schemes| !schemes.is_empty());
    let has_body = operation.get("requestBody").is_some();
    let of_guard = if has_guard { GUARD_CODES } else { &[] };
    let of_input = match (has_body, has_guard) {
        (true, _) => BODY_CODES,
        (false, true) => PARAMETER_CODES,
        (false, false) => &[],
    };
    [of_guard, of_input, &spec.codes, COMMON_CODES].concat()
}
