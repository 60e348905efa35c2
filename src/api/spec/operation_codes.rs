//! The error codes of each operation.

/// Codes of every guard.
const GUARD_CODES: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "token_expired",
    "wrong_token_type",
    "token_revoked",
    "token_outdated",
];
/// Further codes of guards that require a role or a first-party token.
const ROLE_CODES: &[&str] = &["insufficient_scope"];
/// Further codes of guards that require a fresh token.
const FRESH_CODES: &[&str] = &["fresh_token_required"];
/// Codes of operations that read a refresh token.
const REFRESH_CODES: &[&str] = &[
    "missing_token",
    "malformed_token",
    "invalid_token",
    "wrong_token_type",
    "csrf_failed",
];
/// Codes of every operation with a body.
const BODY_CODES: &[&str] = &[
    "validation_failed",
    "unsupported_media_type",
    "payload_too_large",
    "request_timeout",
];
/// Codes of every operation.
const COMMON_CODES: &[&str] = &["internal", "unavailable"];
/// Codes of every operation that verifies a password.
const PASSWORD_CODES: &[&str] = &["invalid_credentials", "too_many_requests"];

/// The table of operations and their error codes.
pub(super) const OPERATION_CODES: &[(&str, &[&[&str]])] = &[
    (
        "login",
        &[BODY_CODES, PASSWORD_CODES, &["csrf_failed"], COMMON_CODES],
    ),
    (
        "refreshSession",
        &[
            BODY_CODES,
            REFRESH_CODES,
            &["refresh_reused", "session_expired", "session_revoked"],
            COMMON_CODES,
        ],
    ),
    (
        "logout",
        &[BODY_CODES, REFRESH_CODES, &["token_expired"], COMMON_CODES],
    ),
    (
        "verify",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["unknown_user", "validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "logoutEverywhere",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "reauthenticate",
        &[
            GUARD_CODES,
            ROLE_CODES,
            BODY_CODES,
            PASSWORD_CODES,
            &["session_revoked"],
            COMMON_CODES,
        ],
    ),
    (
        "register",
        &[
            BODY_CODES,
            &[
                "weak_password",
                "not_found",
                "conflict",
                "too_many_requests",
            ],
            COMMON_CODES,
        ],
    ),
    (
        "setUp",
        &[
            BODY_CODES,
            &["weak_password", "not_found", "conflict"],
            COMMON_CODES,
        ],
    ),
    (
        "me",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "changePassword",
        &[
            GUARD_CODES,
            ROLE_CODES,
            BODY_CODES,
            PASSWORD_CODES,
            &["weak_password", "conflict", "session_expired"],
            COMMON_CODES,
        ],
    ),
    (
        "listMySessions",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "revokeMySession",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "listUsers",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "createUser",
        &[
            GUARD_CODES,
            ROLE_CODES,
            FRESH_CODES,
            BODY_CODES,
            &["weak_password", "conflict"],
            COMMON_CODES,
        ],
    ),
    (
        "readUser",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "disableUser",
        &[
            GUARD_CODES,
            ROLE_CODES,
            FRESH_CODES,
            &["validation_failed", "not_found", "conflict"],
            COMMON_CODES,
        ],
    ),
    (
        "enableUser",
        &[
            GUARD_CODES,
            ROLE_CODES,
            FRESH_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "setUserRoles",
        &[
            GUARD_CODES,
            ROLE_CODES,
            FRESH_CODES,
            BODY_CODES,
            &["not_found", "conflict"],
            COMMON_CODES,
        ],
    ),
    (
        "makeResetLink",
        &[
            GUARD_CODES,
            ROLE_CODES,
            FRESH_CODES,
            &["validation_failed", "not_found", "conflict"],
            COMMON_CODES,
        ],
    ),
    (
        "withdrawResetLink",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "listResetLinks",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "readResetLinkUser",
        &[BODY_CODES, &["not_found"], COMMON_CODES],
    ),
    (
        "resetPassword",
        &[BODY_CODES, &["weak_password", "not_found"], COMMON_CODES],
    ),
    (
        "listUserSessions",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "endUserSessions",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "listSessions",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "endSession",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed", "not_found"],
            COMMON_CODES,
        ],
    ),
    (
        "listKeys",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "listEvents",
        &[
            GUARD_CODES,
            ROLE_CODES,
            &["validation_failed"],
            COMMON_CODES,
        ],
    ),
    (
        "rotateKeys",
        &[
            GUARD_CODES,
            ROLE_CODES,
            FRESH_CODES,
            BODY_CODES,
            &["conflict"],
            COMMON_CODES,
        ],
    ),
    (
        "issueToken",
        &[
            BODY_CODES,
            PASSWORD_CODES,
            &[
                "client_authentication",
                "unsupported_grant_type",
                "invalid_scope",
                "malformed_token",
                "invalid_token",
                "wrong_token_type",
                "refresh_reused",
                "session_expired",
                "session_revoked",
            ],
            COMMON_CODES,
        ],
    ),
    (
        "revokeToken",
        &[
            BODY_CODES,
            &["client_authentication", "another_client"],
            COMMON_CODES,
        ],
    ),
    (
        "introspectToken",
        &[
            GUARD_CODES,
            ROLE_CODES,
            BODY_CODES,
            &["client_authentication"],
            COMMON_CODES,
        ],
    ),
    (
        "makePartyToken",
        &[
            GUARD_CODES,
            ROLE_CODES,
            BODY_CODES,
            &[
                "invalid_client",
                "too_many_requests",
                "forbidden",
                "not_found",
            ],
            COMMON_CODES,
        ],
    ),
    ("jwks", &[COMMON_CODES]),
    ("authorizationServerMetadata", &[COMMON_CODES]),
    ("openidConfiguration", &[COMMON_CODES]),
    ("livez", &[COMMON_CODES]),
    ("readyz", &[COMMON_CODES]),
];
