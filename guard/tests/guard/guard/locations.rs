//! Locations of tokens, and the location that a handler receives.

use super::*;
use latchet_guard::cookies::Cookies;

struct Link;
impl Locations for Link {
    const LOCATIONS: &'static [LocationKind] = &[LocationKind::Query];
}

struct Desktop;
impl Locations for Desktop {
    const LOCATIONS: &'static [LocationKind] = &[LocationKind::Header, LocationKind::Cookie];
}

pub(super) struct LocationsApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl LocationsApi {
    /// Returns the location of the token.
    #[oai(path = "/place", method = "get", method = "post")]
    async fn location(&self, jwt: JwtOptional) -> PlainText<String> {
        PlainText(
            jwt.location
                .map_or("nowhere".to_owned(), |location| format!("{location:?}")),
        )
    }

    #[oai(path = "/refresh-place", method = "post")]
    async fn refresh_place(&self, jwt: JwtRefresh) -> PlainText<String> {
        PlainText(format!("{:?}", jwt.location))
    }

    #[oai(path = "/either-place", method = "post")]
    async fn either_place(&self, jwt: Jwt<EitherKind>) -> PlainText<String> {
        PlainText(format!("{:?} {:?}", jwt.claims.kind, jwt.location))
    }

    #[oai(path = "/link", method = "get")]
    async fn link(&self, jwt: Jwt<(Required, OnlyIn<Link>)>) -> PlainText<String> {
        PlainText(format!("{:?}", jwt.location))
    }

    #[oai(path = "/desktop", method = "get")]
    async fn desktop(&self, jwt: Jwt<Optional<OnlyIn<Desktop>>>) -> PlainText<String> {
        PlainText(
            jwt.location
                .map_or("nowhere".to_owned(), |location| format!("{location:?}")),
        )
    }

    /// Returns a member of the token's header.
    #[oai(path = "/header", method = "get")]
    async fn header(&self, jwt: JwtOptional) -> PlainText<String> {
        let tenant = jwt.header.and_then(|header| header.member("tenant"));
        PlainText(tenant.map_or("none".to_owned(), |tenant| tenant.to_string()))
    }
}

pub(super) fn app_of(guards: Guards) -> impl Endpoint {
    Route::new()
        .nest("/", OpenApiService::new(LocationsApi, "test", "1"))
        .data(guards)
}

fn everywhere() -> [Location; 4] {
    [
        Location::header(),
        Location::cookies(Cookies::default()),
        Location::query(),
        Location::json(),
    ]
}

/// A request with a token in one or several locations.
pub(super) struct TestRequest {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, String)>,
    body: String,
}

impl TestRequest {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(super) fn post(path: &str) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(path)
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers
            .push((HeaderName::from_static(name), value.into()));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        let sent = self.header("content-type", "application/json");
        Self {
            body: body.to_string(),
            ..sent
        }
    }

    pub(super) async fn to(self, app: &impl Endpoint) -> TestResponse {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str()))
            .collect();
        let mut request = request(self.method, &self.path, &headers);
        request.set_body(self.body);
        read_response(app.get_response(request).await).await
    }
}

/// One request for each location of the same token.
fn in_each_location(token: &str) -> [(&'static str, TestRequest); 4] {
    [
        (
            "Header",
            TestRequest::post("/place").header("authorization", format!("Bearer {token}")),
        ),
        (
            "Cookie",
            TestRequest::post("/place")
                .header("cookie", format!("__Host-latchet_at={token}"))
                .header("x-csrf-token", "proof"),
        ),
        ("Query", TestRequest::post(&format!("/place?jwt={token}"))),
        (
            "Json",
            TestRequest::post("/place").json(&serde_json::json!({"access_token": token})),
        ),
    ]
}

fn csrf_token(service: &TestService) -> String {
    service.sign(&Claims {
        csrf: Some("proof".to_owned()),
        ..service.claims()
    })
}

#[tokio::test]
async fn each_location_works_and_is_reported() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations(everywhere()));

    for (location, sent) in in_each_location(&csrf_token(&service)) {
        assert_eq!(sent.to(&app).await, ok(location));
    }
    assert_eq!(TestRequest::post("/place").to(&app).await, ok("nowhere"));
}

#[tokio::test]
async fn the_order_of_locations_does_not_matter() {
    let service = TestService::new();
    let backwards = everywhere().into_iter().rev();
    let app = app_of(service.guards().with_locations(backwards));

    for (location, sent) in in_each_location(&csrf_token(&service)) {
        assert_eq!(sent.to(&app).await, ok(location));
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_in_every_location() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations(everywhere()));

    for (location, sent) in in_each_location("junk") {
        assert_eq!(
            sent.to(&app).await,
            refused(401, "malformed_token"),
            "{location}"
        );
    }
}

#[tokio::test]
async fn tokens_in_two_locations_are_refused_even_if_one_is_valid() {
    let service = TestService::new();
    let app = app_of(service.guards().with_locations(everywhere()));
    let good = csrf_token(&service);
    let json = |token: &str| serde_json::json!({"access_token": token});
    let two = [
        TestRequest::post("/place?jwt=junk").header("authorization", format!("Bearer {good}")),
        TestRequest::post(&format!("/place?jwt={good}")).header("authorization", "Bearer junk"),
        TestRequest::post(&format!("/place?jwt={good}")).json(&json(&good)),
        TestRequest::post("/place")
            .header("authorization", format!("Bearer {good}"))
            .json(&json("junk")),
        TestRequest::post("/place")
            .header("cookie", format!("__Host-latchet_at={good}"))
            .json(&json(&good)),
        TestRequest::post(&format!("/place?jwt={good}&jwt={good}")),
    ];

    for sent in two {
        let path = sent.path.clone();

        assert_eq!(
            sent.to(&app).await,
            refused(400, "validation_failed"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn locations_that_are_not_configured_are_not_read() {
    let service = TestService::new();
    let app = app_of(service.guards());

    for (location, sent) in in_each_location(&csrf_token(&service)) {
        let expected = if location == "Header" {
            "Header"
        } else {
            "nowhere"
        };

        assert_eq!(sent.to(&app).await, ok(expected));
    }
}

#[tokio::test]
async fn a_guard_can_search_other_locations_than_the_rest() {
    let service = TestService::new();
    let guards = service.guards().with_named_locations([Location::query()]);
    let app = app_of(guards);
    let token = service.token();
    let in_query = |path: &str| TestRequest::get(&format!("{path}?jwt={token}"));
    let in_header =
        |path: &str| TestRequest::get(path).header("authorization", format!("Bearer {token}"));

    assert_eq!(in_query("/link").to(&app).await, ok("Query"));
    assert_eq!(
        in_header("/link").to(&app).await,
        refused(401, "missing_token")
    );
    assert_eq!(in_query("/place").to(&app).await, ok("nowhere"));
    assert_eq!(in_header("/place").to(&app).await, ok("Header"));
    assert_eq!(in_query("/desktop").to(&app).await, ok("nowhere"));
    assert_eq!(in_header("/desktop").to(&app).await, ok("Header"));
}

#[tokio::test]
async fn a_guard_with_unknown_locations_refuses_every_request() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let token = service.token();

    let by_query = TestRequest::get(&format!("/link?jwt={token}"))
        .to(&app)
        .await;
    let anonymous = TestRequest::get("/link").to(&app).await;

    assert_eq!(by_query, refused(503, "unavailable"));
    assert_eq!(anonymous, refused(503, "unavailable"));
}

#[tokio::test]
async fn inner_guards_apply_to_inner_routes() {
    let service = TestService::new();
    let by_query = service.guards().with_locations([Location::query()]);
    let app = Route::new()
        .nest("/inner", app_of(by_query))
        .nest("/", OpenApiService::new(LocationsApi, "test", "1"))
        .data(service.guards());
    let token = service.token();

    let inner = TestRequest::get(&format!("/inner/place?jwt={token}"))
        .to(&app)
        .await;
    let outer = TestRequest::get(&format!("/place?jwt={token}"))
        .to(&app)
        .await;

    assert_eq!((inner, outer), (ok("Query"), ok("nowhere")));
}
