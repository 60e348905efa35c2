//! Examples of requests and responses, by operation. A test sends the requests.

use serde_json::{Map, Value, json};

const ACCESS: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl";
const REFRESH: &str = "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJzaWQiOiIuLi4ifQ.c2lnbmF0dXJl";
const PARTY: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6Ii4uLiJ9.c2lnbmF0dXJl";
const USER: &str = "Qm9vbGVhbkFkYUxvdmVsYQ";
const KID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
const LINK: &str = "q83vEjRWeJCrze8SNFZ4kA";
const PASSWORD: &str = "an otter reads the morning paper";
const SESSION: &str = "c2Vzc2lvbi1vZi1hZGEtMQ";

/// Returns the example bodies of an operation by name.
pub(super) fn request_examples(operation: &str) -> Map<String, Value> {
    let password = PASSWORD;
    match operation {
        "login" => named_examples(&[
            (
                "program",
                "Tokens in the body",
                json!({ "username": "ada", "password": password }),
            ),
            (
                "page",
                "The refresh token as a cookie",
                json!({ "username": "ada", "password": password, "transport": "cookie", "label": "Ada's laptop" }),
            ),
        ]),
        "refreshSession" | "logout" => named_examples(&[
            (
                "cookie",
                "The refresh token is a cookie or in `Authorization`",
                json!({}),
            ),
            (
                "in_body",
                "The refresh token is in the body",
                json!({ "refresh_token": REFRESH }),
            ),
        ]),
        "reauthenticate" => single_example(&json!({ "password": password })),
        "register" => single_example(&json!({ "username": "ada", "password": password })),
        "setUp" => single_example(&set_up()),
        "readResetLinkUser" => single_example(&json!({ "link": LINK })),
        "resetPassword" => single_example(&json!({ "link": LINK, "password": password })),
        "changePassword" => single_example(
            &json!({ "current_password": password, "new_password": "a new and longer pass phrase" }),
        ),
        "createUser" => single_example(
            &json!({ "username": "grace", "password": password, "roles": ["editor"] }),
        ),
        "setUserRoles" => single_example(&json!({ "roles": ["admin", "editor"] })),
        "rotateKeys" => named_examples(&[
            ("gradual", "The new key is published first", json!({})),
            ("at_once", "The old key leaked", json!({ "at_once": true })),
        ]),
        "issueToken" => named_examples(&[
            (
                "password",
                "Log in",
                json!({ "grant_type": "password", "username": "ada", "password": password }),
            ),
            (
                "refresh_token",
                "Refresh",
                json!({ "grant_type": "refresh_token", "refresh_token": REFRESH }),
            ),
        ]),
        "makePartyToken" => single_example(&json!({ "user_id": USER })),
        "revokeToken" => single_example(&revoke()),
        "introspectToken" => single_example(&json!({ "token": ACCESS })),
        _ => Map::new(),
    }
}

fn set_up() -> Value {
    json!({ "link": LINK, "username": "ada", "password": PASSWORD })
}

fn revoke() -> Value {
    json!({ "token": REFRESH, "token_type_hint": "refresh_token" })
}

fn open_link() -> Value {
    json!({
        "user_id": USER, "username": "ada", "by": "grace",
        "made_at": "2026-11-24T06:00:00Z", "expires_at": "2026-11-25T06:00:00Z",
    })
}

fn event() -> Value {
    json!({
        "id": 42, "at": "2026-11-24T06:00:00Z", "kind": "sessions_ended",
        "user_id": USER, "username": "ada", "session_id": SESSION,
        "by": "grace", "ip": "192.0.2.7",
    })
}

/// Returns the example of a successful response.
pub(super) fn response_examples(operation: &str, status: &str) -> Map<String, Value> {
    match (operation, status) {
        ("login" | "refreshSession" | "changePassword", "200") => named_examples(&[
            ("in_body", "Tokens in the body", tokens()),
            (
                "cookie",
                "The refresh token as a cookie",
                tokens_beside_cookies(),
            ),
        ]),
        ("issueToken", "200") => single_example(&tokens()),
        ("reauthenticate", "200") => single_example(&json!({
            "access_token": ACCESS, "token_type": "Bearer", "expires_in": 900, "session_id": SESSION,
        })),
        ("me", "200") => single_example(&json!({
            "user": user(), "session_id": SESSION, "roles": ["editor"], "scope": "",
        })),
        ("listMySessions", "200") => single_example(&json!({ "items": [session()] })),
        ("makeResetLink", "201") => single_example(&json!({
            "link": format!("https://auth.example.org/reset#{LINK}"),
            "expires_at": "2026-11-25T06:00:00Z",
        })),
        ("readResetLinkUser", "200") => single_example(&json!({ "username": "ada" })),
        ("listResetLinks", "200") => {
            single_example(&json!({ "items": [open_link()], "next": "ada" }))
        }
        ("listUserSessions", "200") => single_example(&json!({ "items": [user_session()] })),
        ("listSessions", "200") => single_example(&json!({
            "items": [user_session()], "next": format!("1795500000000.{SESSION}"),
        })),
        ("listUsers", "200") => single_example(&json!({ "items": [user()], "next": "ada" })),
        ("register" | "setUp" | "createUser", "201")
        | ("readUser" | "disableUser" | "enableUser" | "setUserRoles", "200") => {
            single_example(&user())
        }
        ("listKeys", "200") => single_example(&json!({ "items": [key()] })),
        ("listEvents", "200") => single_example(&json!({ "items": [event()], "next": "42" })),
        ("rotateKeys", "200") => single_example(&key()),
        ("introspectToken", "200") => named_examples(&[
            ("active", "A valid token", introspection()),
            ("inactive", "An invalid token", json!({ "active": false })),
        ]),
        ("makePartyToken", "200") => single_example(&json!({ "token": PARTY, "expires_in": 3600 })),
        ("jwks", "200") => single_example(&json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "kid": KID,
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }]})),
        ("authorizationServerMetadata" | "openidConfiguration", "200") => {
            single_example(&metadata())
        }
        ("livez", "200") => single_example(&json!({ "status": "ok" })),
        ("readyz", "200") => single_example(&json!({
            "status": "ok", "database": "ok", "denylist": "ok", "clock": "ok", "serving": "ok",
        })),
        ("readyz", "503") => single_example(&json!({
            "status": "failing", "database": "failing", "denylist": "ok", "clock": "ok",
            "serving": "ok",
        })),
        _ => Map::new(),
    }
}

fn tokens() -> Value {
    json!({
        "access_token": ACCESS, "token_type": "Bearer", "expires_in": 900,
        "refresh_token": REFRESH, "refresh_expires_in": 1_209_600, "session_id": SESSION,
    })
}

fn tokens_beside_cookies() -> Value {
    json!({
        "access_token": ACCESS, "token_type": "Bearer", "expires_in": 900,
        "refresh_expires_in": 1_209_600, "session_id": SESSION,
        "csrf_token": "mYw0bP2yQmJ4y1J2d0mE3A.3q2-7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs",
    })
}

fn user() -> Value {
    json!({
        "id": USER, "username": "ada", "roles": ["editor"], "disabled": false,
        "created_at": "2026-11-24T06:00:00Z", "password_changed_at": "2026-11-24T06:00:00Z",
    })
}

fn session() -> Value {
    json!({
        "id": SESSION, "current": true, "label": "Ada's laptop",
        "user_agent": "Mozilla/5.0", "ip": "192.0.2.7",
        "created_at": "2026-11-24T06:00:00Z", "refreshed_at": "2026-11-24T06:10:00Z",
        "expires_at": "2026-12-24T06:00:00Z",
    })
}

fn user_session() -> Value {
    json!({
        "id": SESSION, "user_id": USER, "username": "ada", "label": "Ada's laptop",
        "user_agent": "Mozilla/5.0", "ip": "192.0.2.7",
        "created_at": "2026-11-24T06:00:00Z", "refreshed_at": "2026-11-24T06:10:00Z",
        "expires_at": "2026-12-24T06:00:00Z",
    })
}

fn key() -> Value {
    json!({
        "kid": KID, "algorithm": "EdDSA", "state": "next",
        "signs_from": "2026-11-24T06:05:05Z", "created_at": "2026-11-24T06:00:00Z",
    })
}

fn introspection() -> Value {
    json!({
        "active": true, "token_type": "Bearer", "username": "ada", "sub": USER, "sid": SESSION,
        "iss": "https://auth.example.org", "aud": ["https://auth.example.org"],
        "iat": 1_795_500_000, "exp": 1_795_500_900,
        "jti": "ZXhhbXBsZS1qdGktMDAwMQ", "roles": ["editor"],
    })
}

fn metadata() -> Value {
    let at = |path: &str| format!("https://auth.example.org{path}");
    json!({
        "issuer": at(""),
        "token_endpoint": at("/oauth/token"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/oauth/introspect"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "service_documentation": at("/docs"),
    })
}

fn single_example(value: &Value) -> Map<String, Value> {
    Map::from_iter([("example".to_owned(), json!({ "value": value }))])
}

fn named_examples(examples: &[(&str, &str, Value)]) -> Map<String, Value> {
    examples
        .iter()
        .map(|(name, summary, value)| {
            (
                (*name).to_owned(),
                json!({ "summary": summary, "value": value }),
            )
        })
        .collect()
}
