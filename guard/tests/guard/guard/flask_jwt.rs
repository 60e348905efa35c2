//! Responses in the format of Flask-JWT. `tests/api/interop` compares them with that library itself.

use super::*;
use latchet_guard::token::Claims;

struct Gone;
impl CurrentUser for Gone {
    async fn load(
        _: &Claims,
        _: &Request,
    ) -> Result<Option<Self>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}

struct FlaskApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl FlaskApi {
    #[oai(path = "/required", method = "get")]
    async fn required(&self, jwt: JwtRequired) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/user", method = "get")]
    async fn user(&self, _jwt: Jwt<Required, Gone>) {}

    #[oai(path = "/admin", method = "get")]
    async fn admin(&self, _jwt: Jwt<HasRole<Admin>>) {}
}

fn app_of(guards: Guards) -> impl Endpoint {
    Route::new()
        .nest("/", OpenApiService::new(FlaskApi, "test", "1"))
        .data(
            guards
                .with_locations([Location::scheme("JWT")])
                .with_refusals(flask_jwt_errors("Login Required")),
        )
}

fn flask_jwt_error(status: u16, error: &str, description: &str) -> TestResponse {
    let body = serde_json::json!({
        "status_code": status, "error": error, "description": description,
    });
    TestResponse(status, body.to_string())
}

/// Returns a token with the signature of another one.
fn forged(service: &TestService) -> String {
    let [token, other] = [service.token(), service.token()];
    let parts = token.rsplit_once('.').zip(other.rsplit_once('.'));
    let ((signed, _), (_, signature)) = parts.unwrap();
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn refusals_have_the_five_formats_of_flask_jwt() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let (good, forged) = (service.token(), forged(&service));
    let header = |text| flask_jwt_error(401, "Invalid JWT header", text);
    let token = |text| flask_jwt_error(401, "Invalid token", text);
    let none = flask_jwt_error(
        401,
        "Authorization Required",
        "Request does not contain an access token",
    );
    let table = [
        ("", none),
        ("Bearer x", header("Unsupported authorization type")),
        ("JWT", header("Token missing")),
        ("JWT a b", header("Token contains spaces")),
        (&format!("JWT {good} x"), header("Token contains spaces")),
        ("JWT x", token("Not enough segments")),
        ("JWT a.b.c.d", token("it does not have three parts")),
        (
            &format!("JWT {forged}"),
            token("Signature verification failed"),
        ),
        (&format!("jwt {good}"), ok("alice")),
    ];

    for (value, expected) in table {
        assert_eq!(get(&app, "/required", Some(value)).await, expected);
    }
    let good = format!("JWT {good}");
    let gone = flask_jwt_error(401, "Invalid JWT", "User does not exist");
    assert_eq!(get(&app, "/user", Some(&good)).await, gone);
    let seen = get(&app, "/admin", Some(&good)).await;
    assert_eq!(
        seen,
        flask_jwt_error(
            403,
            "Forbidden",
            "the token does not carry the role or scope that this needs"
        )
    );
}

#[tokio::test]
async fn claim_refusals_use_the_texts_of_flask_jwt() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let now = service.clock.now().secs();
    let ended = Claims {
        iat: 1,
        nbf: Some(1),
        exp: Some(2),
        ..service.claims()
    };
    let early = Claims {
        nbf: Some(now + 60),
        ..service.claims()
    };
    let future = Claims {
        iat: now + 60,
        ..service.claims()
    };
    let endless = Claims {
        exp: None,
        ..service.claims()
    };
    let revoked = service.claims();
    service.deny(DenialTarget::Token(revoked.jti.clone()));
    let table = [
        (&ended, "Signature has expired"),
        (&early, "The token is not yet valid (nbf)"),
        (&future, "Issued At claim (iat) cannot be in the future."),
        (&endless, r#"Token is missing the "exp" claim"#),
        (&revoked, "the token was revoked"),
    ];

    for (claims, text) in table {
        let value = format!("JWT {}", service.sign(claims));

        let seen = get(&app, "/required", Some(&value)).await;

        assert_eq!(seen, flask_jwt_error(401, "Invalid token", text));
    }
}

#[tokio::test]
async fn every_401_has_the_challenge_of_flask_jwt() {
    let app = app_of(TestService::new().guards());
    for value in ["", "JWT", "JWT x", "Bearer x"] {
        let headers = [(header::AUTHORIZATION, value)];

        let response = app
            .get_response(request(Method::GET, "/required", &headers))
            .await;

        let headers = response.headers();
        assert_eq!(
            headers[header::WWW_AUTHENTICATE],
            r#"JWT realm="Login Required""#
        );
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.content_type(), Some("application/json"));
    }
}
