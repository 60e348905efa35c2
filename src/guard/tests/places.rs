//! Locations of tokens, and the location that a handler receives.

use super::*;
use crate::cookies::Cookies;

struct Link;
impl Places for Link {
    const PLACES: &'static [Place] = &[Place::Query];
}

struct Desktop;
impl Places for Desktop {
    const PLACES: &'static [Place] = &[Place::Header, Place::Cookie];
}

pub(super) struct PlacesApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl PlacesApi {
    /// Returns the location of the token.
    #[oai(path = "/place", method = "get", method = "post")]
    async fn place(&self, jwt: JwtOptional) -> PlainText<String> {
        PlainText(
            jwt.place
                .map_or("nowhere".to_owned(), |place| format!("{place:?}")),
        )
    }

    #[oai(path = "/refresh-place", method = "post")]
    async fn refresh_place(&self, jwt: JwtRefresh) -> PlainText<String> {
        PlainText(format!("{:?}", jwt.place))
    }

    #[oai(path = "/either-place", method = "post")]
    async fn either_place(&self, jwt: Jwt<EitherKind>) -> PlainText<String> {
        PlainText(format!("{:?} {:?}", jwt.claims.kind, jwt.place))
    }

    #[oai(path = "/link", method = "get")]
    async fn link(&self, jwt: Jwt<(Required, In<Link>)>) -> PlainText<String> {
        PlainText(format!("{:?}", jwt.place))
    }

    #[oai(path = "/desktop", method = "get")]
    async fn desktop(&self, jwt: Jwt<Optional<In<Desktop>>>) -> PlainText<String> {
        PlainText(
            jwt.place
                .map_or("nowhere".to_owned(), |place| format!("{place:?}")),
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
        .nest("/", OpenApiService::new(PlacesApi, "test", "1"))
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
pub(super) struct Sent {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, String)>,
    body: String,
}

impl Sent {
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

    pub(super) async fn to(self, app: &impl Endpoint) -> Seen {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str()))
            .collect();
        let mut request = request(self.method, &self.path, &headers);
        request.set_body(self.body);
        see(app.get_response(request).await).await
    }
}

/// One request for each location of the same token.
fn in_each_place(token: &str) -> [(&'static str, Sent); 4] {
    [
        (
            "Header",
            Sent::post("/place").header("authorization", format!("Bearer {token}")),
        ),
        (
            "Cookie",
            Sent::post("/place")
                .header("cookie", format!("__Host-latchet_at={token}"))
                .header("x-csrf-token", "proof"),
        ),
        ("Query", Sent::post(&format!("/place?jwt={token}"))),
        (
            "Json",
            Sent::post("/place").json(&serde_json::json!({"access_token": token})),
        ),
    ]
}

fn csrf_token(desk: &Desk) -> String {
    desk.sign(&Claims {
        csrf: Some("proof".to_owned()),
        ..desk.claims()
    })
}

#[tokio::test]
async fn each_place_works_and_is_reported() {
    let desk = Desk::new();
    let app = app_of(desk.guards().with_locations(everywhere()));

    for (place, sent) in in_each_place(&csrf_token(&desk)) {
        assert_eq!(sent.to(&app).await, ok(place));
    }
    assert_eq!(Sent::post("/place").to(&app).await, ok("nowhere"));
}

#[tokio::test]
async fn the_order_of_places_is_of_no_importance() {
    let desk = Desk::new();
    let backwards = everywhere().into_iter().rev();
    let app = app_of(desk.guards().with_locations(backwards));

    for (place, sent) in in_each_place(&csrf_token(&desk)) {
        assert_eq!(sent.to(&app).await, ok(place));
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_wherever_it_stands() {
    let desk = Desk::new();
    let app = app_of(desk.guards().with_locations(everywhere()));

    for (place, sent) in in_each_place("junk") {
        assert_eq!(
            sent.to(&app).await,
            refused(401, "malformed_token"),
            "{place}"
        );
    }
}

#[tokio::test]
async fn tokens_in_two_places_are_refused_whichever_is_good() {
    let desk = Desk::new();
    let app = app_of(desk.guards().with_locations(everywhere()));
    let good = csrf_token(&desk);
    let json = |token: &str| serde_json::json!({"access_token": token});
    let two = [
        Sent::post("/place?jwt=junk").header("authorization", format!("Bearer {good}")),
        Sent::post(&format!("/place?jwt={good}")).header("authorization", "Bearer junk"),
        Sent::post(&format!("/place?jwt={good}")).json(&json(&good)),
        Sent::post("/place")
            .header("authorization", format!("Bearer {good}"))
            .json(&json("junk")),
        Sent::post("/place")
            .header("cookie", format!("__Host-latchet_at={good}"))
            .json(&json(&good)),
        Sent::post(&format!("/place?jwt={good}&jwt={good}")),
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
async fn places_that_were_not_asked_for_are_not_read() {
    let desk = Desk::new();
    let app = app_of(desk.guards());

    for (place, sent) in in_each_place(&csrf_token(&desk)) {
        let expected = if place == "Header" {
            "Header"
        } else {
            "nowhere"
        };

        assert_eq!(sent.to(&app).await, ok(expected));
    }
}

#[tokio::test]
async fn a_guard_may_look_elsewhere_than_the_others() {
    let desk = Desk::new();
    let guards = desk.guards().with_named_locations([Location::query()]);
    let app = app_of(guards);
    let token = desk.token();
    let in_query = |path: &str| Sent::get(&format!("{path}?jwt={token}"));
    let in_header = |path: &str| Sent::get(path).header("authorization", format!("Bearer {token}"));

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
async fn a_guard_that_names_unknown_places_admits_nobody() {
    let desk = Desk::new();
    let app = app_of(desk.guards());
    let token = desk.token();

    let by_query = Sent::get(&format!("/link?jwt={token}")).to(&app).await;
    let anonymous = Sent::get("/link").to(&app).await;

    assert_eq!(by_query, refused(503, "unavailable"));
    assert_eq!(anonymous, refused(503, "unavailable"));
}

#[tokio::test]
async fn guards_further_in_count_for_the_routes_inside() {
    let desk = Desk::new();
    let by_query = desk.guards().with_locations([Location::query()]);
    let app = Route::new()
        .nest("/inner", app_of(by_query))
        .nest("/", OpenApiService::new(PlacesApi, "test", "1"))
        .data(desk.guards());
    let token = desk.token();

    let inner = Sent::get(&format!("/inner/place?jwt={token}"))
        .to(&app)
        .await;
    let outer = Sent::get(&format!("/place?jwt={token}")).to(&app).await;

    assert_eq!((inner, outer), (ok("Query"), ok("nowhere")));
}
