//! RFC 6749, 7009, 7662 and 8414 by the letter: `docs/explanation/oauth.md` names these tests beside the sentences.

use serde_json::{Value, json};

use crate::support::client::{Session, claims};
use crate::support::http::{Http, HttpResponse, Request};
use crate::support::local::InProcessServer;
use crate::support::tool::root;
use crate::support::{Backend, on_both};

on_both! {
    introspection_names_the_type_and_the_user_of_a_token,
    a_refresh_token_belongs_to_the_client_it_was_issued_to,
    a_token_is_revoked_by_its_own_client,
    a_client_that_authenticates_is_refused_at_every_endpoint,
    the_name_of_a_client_is_visible_ascii_and_given_once,
    scopes_are_separated_by_spaces_and_come_from_the_list,
    a_refresh_may_ask_for_fewer_scopes_and_for_no_others,
    a_form_with_two_meanings_is_refused,
    oauth_refusals_follow_the_documented_table,
    token_responses_forbid_caching,
    metadata_has_no_empty_list_but_the_required_one,
    tokens_carry_nbf_only_for_flask_apps,
}

const SCOPES: (&str, &str) = ("LATCHET_SCOPES", "mail:read,mail:send");

async fn post(http: &Http, path: &str, fields: &[(&str, &str)]) -> HttpResponse {
    http.post(path).form(fields).send().await
}

/// Asks for tokens with the password of the administrator, whose token may look into others.
async fn grant(http: &Http, fields: &[(&str, &str)]) -> HttpResponse {
    let admin = http.admin();
    let mut all = vec![
        ("grant_type", "password"),
        ("username", &*admin.name),
        ("password", &*admin.password),
    ];
    all.extend(fields);
    post(http, "/oauth/token", &all).await
}

async fn granted(http: &Http, fields: &[(&str, &str)]) -> Session {
    Session::of(http.clone(), &grant(http, fields).await.expect(200))
}

async fn refresh(session: &Session, fields: &[(&str, &str)]) -> HttpResponse {
    let mut all = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", &*session.refresh),
    ];
    all.extend(fields);
    post(&session.http, "/oauth/token", &all).await
}

async fn introspect(session: &Session, token: &str) -> Value {
    let request = session.http.post("/oauth/introspect");
    let request = request.bearer(&session.access).form(&[("token", token)]);
    request.send().await.expect(200).json()
}

#[track_caller]
fn assert_refused(answer: &HttpResponse, status: u16, error: &str, what: &str) {
    let found = (answer.status, answer.field("error"));
    assert_eq!(found, (status, error.to_owned()), "{what}: {}", answer.text);
}

/// RFC 7662, 2.2; RFC 6749, 5.1.
async fn introspection_names_the_type_and_the_user_of_a_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("Alice").await.login().await;

    let access = introspect(&admin, &alice.access).await;
    let refresh = introspect(&admin, &alice.refresh).await;

    assert_eq!(access["token_type"], "Bearer", "{access}");
    assert_eq!(refresh["token_type"], Value::Null, "{refresh}");
    for token in [access, refresh] {
        assert_eq!(token["active"], true, "{token}");
        assert_eq!(token["username"], "Alice", "{token}");
        assert_eq!(token["client_id"], "latchet", "{token}");
        assert_eq!(token["sub"], alice.user_id(), "{token}");
    }

    let path = format!("/v1/users/{}/disable", alice.user_id());
    let disable = server.http.post(&path).bearer(&admin.access);
    disable.send().await.expect(200);
    for token in [&alice.access, &alice.refresh] {
        assert_eq!(introspect(&admin, token).await, json!({ "active": false }));
    }
}

/// RFC 6749, 5.2 and 6; RFC 9700, 4.14.2.
async fn a_refresh_token_belongs_to_the_client_it_was_issued_to(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let http = &server.http;
    for (own, others) in [
        (Some("phone"), ["kiosk", "latchet", "Phone"]),
        (None, ["kiosk", "phone", "LATCHET"]),
    ] {
        let named: Vec<_> = own.map(|own| ("client_id", own)).into_iter().collect();
        let session = granted(http, &named).await;

        for other in others {
            let refused = refresh(&session, &[("client_id", other)]).await;
            assert_refused(&refused, 400, "invalid_grant", other);
            assert_eq!(refused.field("code"), "invalid_grant");
            let basic = http
                .post("/oauth/token")
                .header("authorization", &basic(&format!("{other}:")))
                .form(&[
                    ("grant_type", "refresh_token"),
                    ("refresh_token", &session.refresh),
                ]);
            assert_refused(&basic.send().await, 400, "invalid_grant", other);
        }
        // No data was lost.
        let name = own.unwrap_or("latchet");
        let next = Session::of(
            http.clone(),
            &refresh(&session, &[("client_id", name)]).await.expect(200),
        );
        let unnamed = refresh(&next, &[]).await.expect(200);
        assert_eq!(claims(&unnamed.field("access_token"))["client_id"], name);
    }
}

/// RFC 7009, 2.1.
async fn a_token_is_revoked_by_its_own_client(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = granted(&server.http, &[("client_id", "phone")]).await;

    for token in [&session.access, &session.refresh] {
        let fields = [("token", &**token), ("client_id", "kiosk")];
        let refused = post(&server.http, "/oauth/revoke", &fields).await;
        assert_refused(&refused, 400, "invalid_grant", "kiosk");
    }
    assert_eq!(introspect(&session, &session.refresh).await["active"], true);

    for token in [&session.refresh, &session.access] {
        let fields = [("token", &**token), ("client_id", "phone")];
        post(&server.http, "/oauth/revoke", &fields)
            .await
            .expect(200);
    }
    assert_eq!(refresh(&session, &[]).await.status, 400);
}

fn basic(pair: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {encoded}")
}

/// RFC 6749, 2.3 and 5.2. What was not checked must not seem to have been.
async fn a_client_that_authenticates_is_refused_at_every_endpoint(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = granted(&server.http, &[("client_id", "app")]).await;
    let admin = server.http.admin();
    let token = [
        ("grant_type", "password"),
        ("username", &*admin.name),
        ("password", &*admin.password),
        ("client_id", "app"),
    ];
    let refreshing = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*session.refresh),
    ];
    let access = [("token", &*session.access)];
    let endpoints: [(&str, &[(&str, &str)]); 4] = [
        ("/oauth/token", &token),
        ("/oauth/token", &refreshing),
        ("/oauth/revoke", &access),
        ("/oauth/introspect", &access),
    ];
    for (path, fields) in endpoints {
        let ask = |query: &str| -> Request {
            let request = server.http.post(&format!("{path}{query}"));
            match path {
                "/oauth/introspect" => request.bearer(&session.access),
                _ => request,
            }
        };
        let with = |name, value| [fields, &[(name, value)]].concat();
        let mut refused = vec![
            ask("").form(&with("client_secret", "wrong")),
            ask("").form(&with("client_assertion", "e30.e30.x")),
            ask("?client_secret=wrong").form(fields),
        ];
        if path != "/oauth/introspect" {
            for pair in ["app:wrong", ":wrong", "no colon"] {
                let request = ask("").header("authorization", &basic(pair));
                refused.push(request.form(fields));
            }
        }
        for request in refused {
            let answer = request.send().await;
            assert_refused(&answer, 401, "invalid_client", path);
            assert_eq!(answer.field("code"), "invalid_client");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Basic "), "{challenge}");
        }
    }
    // An empty secret is none, and nothing was done by any of those.
    let empty = ("client_secret", "");
    grant(&server.http, &[empty]).await.expect(200);
    refresh(&session, &[empty]).await.expect(200);
}

/// RFC 6749, appendix A.1, and 2.3.1 for the encoding in the header.
async fn the_name_of_a_client_is_visible_ascii_and_given_once(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let long = "x".repeat(101);
    for name in [
        "a\nX-Evil: 1",
        "a\r",
        "a\t",
        "\u{1b}[31m",
        "a\u{202e}b",
        "é",
        "a\u{7f}",
        &long,
    ] {
        let refused = grant(&server.http, &[("client_id", name)]).await;
        assert_refused(&refused, 400, "invalid_request", name);
        let revoking = [("token", "junk"), ("client_id", name)];
        let refused = post(&server.http, "/oauth/revoke", &revoking).await;
        assert_refused(&refused, 400, "invalid_request", name);
    }

    let in_header = async |pair: &str, named: &[(&str, &str)]| {
        let admin = server.http.admin();
        let mut fields = vec![
            ("grant_type", "password"),
            ("username", &*admin.name),
            ("password", &*admin.password),
        ];
        fields.extend(named);
        let request = server.http.post("/oauth/token");
        let request = request.header("authorization", &basic(pair));
        request.form(&fields).send().await
    };
    let client = |answer: &HttpResponse| claims(&answer.field("access_token"))["client_id"].clone();
    for (pair, named, name) in [
        ("my+app%3A2:", &[][..], "my app:2"),
        (":", &[("client_id", "app")], "app"),
        ("app:", &[("client_id", "app")], "app"),
        (":", &[], "latchet"),
    ] {
        let answer = in_header(pair, named).await.expect(200);
        assert_eq!(client(&answer), name, "{pair}");
    }
    let two = in_header("app:", &[("client_id", "other")]).await;
    assert_refused(&two, 400, "invalid_request", "two names");
    let encoded = in_header("a%0aX:", &[]).await;
    assert_refused(&encoded, 400, "invalid_request", "a line break");
}

/// RFC 6749, 3.3 and appendix A.4.
async fn scopes_are_separated_by_spaces_and_come_from_the_list(backend: Backend) {
    let server = InProcessServer::start(&backend.with(SCOPES.0, SCOPES.1)).await;
    for scope in [
        "nothing",
        "mail:read nothing",
        "mail:read\tmail:send",
        "mail:read\nmail:send",
        "mail:read,mail:send",
        "\"mail:read\"",
        "mail:read\\",
        "MAIL:READ",
        "mail:read\u{a0}mail:send",
    ] {
        let refused = grant(&server.http, &[("scope", scope)]).await;
        assert_refused(&refused, 400, "invalid_scope", scope);
    }
    for (scope, granted) in [
        ("mail:send mail:read", "mail:read mail:send"),
        ("mail:send", "mail:send"),
        (" mail:send  mail:send ", "mail:send"),
        ("", "mail:read mail:send"),
    ] {
        let answer = grant(&server.http, &[("scope", scope)]).await.expect(200);
        assert_eq!(answer.field("scope"), granted, "{scope:?}");
    }
}

/// RFC 6749, 6.
async fn a_refresh_may_ask_for_fewer_scopes_and_for_no_others(backend: Backend) {
    let server = InProcessServer::start(&backend.with(SCOPES.0, SCOPES.1)).await;
    let session = granted(&server.http, &[]).await;
    let narrow = granted(&server.http, &[("scope", "mail:read")]).await;

    for (session, scope) in [
        (&session, "mail:delete"),
        (&session, "mail:read\tmail:send"),
        (&narrow, "mail:send"),
        (&narrow, "mail:read mail:send"),
    ] {
        let refused = refresh(session, &[("scope", scope)]).await;
        assert_refused(&refused, 400, "invalid_scope", scope);
    }
    let fewer = refresh(&session, &[("scope", "mail:send")])
        .await
        .expect(200);
    assert_eq!(fewer.field("scope"), "mail:send");
    let access = claims(&fewer.field("access_token"));
    assert_eq!(access["scope"], "mail:send");
    assert_eq!(access["narrowed"], true);
    let me = server
        .http
        .get("/v1/me")
        .bearer(&fewer.field("access_token"));
    me.send().await.expect(403);

    // The refresh token has all of them still.
    let again = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*fewer.field("refresh_token")),
    ];
    let all = post(&server.http, "/oauth/token", &again).await.expect(200);
    assert_eq!(all.field("scope"), "mail:read mail:send");
    assert_eq!(claims(&all.field("access_token"))["narrowed"], Value::Null);
    let kept = refresh(&narrow, &[("scope", "mail:read")])
        .await
        .expect(200);
    assert_eq!(claims(&kept.field("access_token"))["narrowed"], true);
}

/// RFC 6749, 3.2 and appendix B.
async fn a_form_with_two_meanings_is_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let form = "application/x-www-form-urlencoded";
    for body in [
        "grant_type=password&grant_type=password&username=a&password=b",
        "grant_type=password&username=a&username=b&password=c",
        "grant_type=password&user%6eame=a&username=b&password=c",
        "grant_type=password&username=%ff&password=c",
        "grant_type=password&username=a&password=%C3%28",
        "grant_type=password&username=a%00&password=c",
    ] {
        let refused = server.http.post("/oauth/token").body(form, body);
        assert_refused(&refused.send().await, 400, "invalid_request", body);
    }
    let twice = server
        .http
        .post("/oauth/revoke")
        .body(form, "token=a&token=b");
    assert_refused(&twice.send().await, 400, "invalid_request", "token");
    // Unknown parameters are ignored, and those without a value count as absent.
    let ignored = server.http.post("/oauth/revoke");
    let ignored = ignored.body(form, "token=a&token=&unknown=1&unknown=2&x=%ff");
    ignored.send().await.expect(200);
}

/// RFC 6749, 5.2: members, and the characters that they may have.
async fn oauth_refusals_follow_the_documented_table(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let text = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let document: Value = serde_yaml_ng::from_str(&text).unwrap();
    let responses = &document["paths"]["/oauth/token"]["post"]["responses"];

    let session = granted(&server.http, &[]).await;
    for (answer, error) in [
        (
            grant(&server.http, &[("scope", "nothing")]).await,
            "invalid_scope",
        ),
        (
            post(&server.http, "/oauth/token", &[("grant_type", "x")]).await,
            "unsupported_grant_type",
        ),
        (
            grant(&server.http, &[("client_secret", "x")]).await,
            "invalid_client",
        ),
        (
            post(&server.http, "/oauth/token", &[]).await,
            "invalid_request",
        ),
    ] {
        let example = &responses[answer.status.to_string()]["content"]["application/json"]["examples"]
            [error]["value"];
        for member in ["error", "code"] {
            assert_eq!(answer.json()[member], example[member], "{}", answer.text);
        }
    }

    let strange = server.http.post("/oauth/token");
    let strange = strange.body("text/\"plain\"; x=\\", "x").send().await;
    assert_eq!(strange.status, 415);
    for answer in [
        strange,
        refresh(&session, &[("client_id", "\"\\é")]).await,
        refresh(&session, &[("client_id", "\"\\")]).await,
    ] {
        let description = answer.field("error_description");
        let allowed = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(description.bytes().all(allowed), "{description}");
    }
}

/// RFC 6749, 5.1; RFC 7662, 4.
async fn token_responses_forbid_caching(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let fields = [("token", &*admin.access)];
    let looked = server.http.post("/oauth/introspect").bearer(&admin.access);
    for answer in [
        grant(&server.http, &[]).await.expect(200),
        refresh(&admin, &[]).await.expect(200),
        looked.form(&fields).send().await.expect(200),
        post(&server.http, "/oauth/revoke", &fields)
            .await
            .expect(200),
    ] {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("pragma"), "no-cache");
    }
    // No endpoint takes its parameters from an address, which logs and histories keep.
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        let address = format!("{path}?token={}&grant_type=password", admin.access);
        assert_eq!(server.http.get(&address).send().await.status, 405);
        assert_ne!(post(&server.http, &address, &[]).await.status, 200);
    }
}

/// RFC 8414, 2 and 3.2.
async fn metadata_has_no_empty_list_but_the_required_one(backend: Backend) {
    let metadata = async |backend: &Backend| {
        let server = InProcessServer::start(backend).await;
        let path = "/.well-known/oauth-authorization-server";
        let answer = server
            .http
            .get(path)
            .header("origin", "https://anybody.example");
        let answer = answer.send().await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        answer.json()
    };
    let without = metadata(&backend).await;
    let with = metadata(&backend.with(SCOPES.0, SCOPES.1)).await;

    assert_eq!(without["scopes_supported"], Value::Null);
    assert_eq!(with["scopes_supported"], json!(["mail:read", "mail:send"]));
    for (name, value) in without.as_object().unwrap() {
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        assert_eq!(is_empty, name == "response_types_supported", "{name}");
    }
}

/// RFC 9068 asks for no `nbf`, which a service a second behind would refuse; Flask-JWT requires one.
async fn tokens_carry_nbf_only_for_flask_apps(backend: Backend) {
    for (setting, says) in [
        (None, false),
        (Some("LATCHET_COMPAT_FLASK_JWT"), true),
        (Some("LATCHET_COMPAT_FLASK_JWT_EXTENDED"), true),
    ] {
        let backend = match setting {
            Some(name) => backend.clone().with(name, "true"),
            None => backend.clone(),
        };
        let server = InProcessServer::start(&backend).await;
        let login = server.http.admin().login().await;
        let refreshed = login.rotate().await;
        let admin = server.http.admin();
        let proof = server.http.post("/v1/reauthenticate").bearer(&login.access);
        let proof = proof.json(&json!({ "password": admin.password }));
        let proof = proof.send().await.expect(200).field("access_token");

        for token in [&login.access, &refreshed.access, &proof] {
            let claims = claims(token);
            let expected = if says {
                claims["iat"].clone()
            } else {
                Value::Null
            };
            assert_eq!(claims["nbf"], expected, "{setting:?}");
        }
        assert_eq!(claims(&login.refresh)["nbf"], Value::Null);
        server.stop().await;
    }
}
