//! The current user, loaded by the service.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

struct Account {
    name: String,
}

/// Has the user alice, fails for `trouble`, and counts its lookups.
#[derive(Clone, Default)]
struct Accounts(Arc<AtomicUsize>);

impl CurrentUser for Account {
    async fn load(
        claims: &Claims,
        request: &Request,
    ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
        let accounts = request.data::<Accounts>().ok_or("no accounts")?;
        accounts.0.fetch_add(1, Ordering::Relaxed);
        match claims.sub.as_str() {
            "trouble" => Err("the database is out of reach".into()),
            "alice" => Ok(Some(Self {
                name: "Alice A.".to_owned(),
            })),
            _ => Ok(None),
        }
    }
}

struct UsersApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl UsersApi {
    #[oai(path = "/me", method = "get")]
    async fn me(&self, jwt: Jwt<Required, Account>) -> PlainText<String> {
        PlainText(jwt.user.name)
    }

    #[oai(path = "/maybe", method = "get")]
    async fn maybe(&self, jwt: Jwt<Optional, Account>) -> PlainText<String> {
        PlainText(jwt.user.map_or("nobody".to_owned(), |user| user.name))
    }

    #[oai(path = "/admin", method = "get")]
    async fn admin(&self, jwt: Jwt<(Fresh, HasRole<Admin>), Account>) -> PlainText<String> {
        PlainText(jwt.user.name)
    }
}

#[handler]
async fn plain_me(request: &Request) -> poem::Result<String> {
    let jwt = Jwt::<Required, Account>::authenticate(request).await?;
    Ok(jwt.user.name)
}

struct ServiceWithUsers {
    service: TestService,
    accounts: Accounts,
}

impl ServiceWithUsers {
    fn new() -> Self {
        Self {
            service: TestService::new(),
            accounts: Accounts::default(),
        }
    }

    fn asked(&self) -> usize {
        self.accounts.0.load(Ordering::Relaxed)
    }

    async fn get(&self, path: &str, sub: &str) -> TestResponse {
        let app = Route::new()
            .at("/plain-me", poem::get(plain_me))
            .nest("/", OpenApiService::new(UsersApi, "test", "1"))
            .data(self.accounts.clone())
            .data(self.service.guards());
        let token = self.service.sign(&Claims {
            sub: sub.to_owned(),
            ..self.service.claims()
        });
        let value = format!("Bearer {token}");
        get(&app, path, (!sub.is_empty()).then_some(value.as_str())).await
    }
}

#[tokio::test]
async fn the_service_loads_the_current_user() {
    let service = ServiceWithUsers::new();

    for path in ["/me", "/maybe", "/plain-me"] {
        assert_eq!(service.get(path, "alice").await, ok("Alice A."), "{path}");
    }
    assert_eq!(service.asked(), 3);
}

#[tokio::test]
async fn a_missing_user_is_401_even_on_optional_routes() {
    let service = ServiceWithUsers::new();

    for path in ["/me", "/maybe", "/plain-me"] {
        let seen = service.get(path, "bob").await;

        assert_eq!(seen, refused(401, "unknown_user"), "{path}");
    }
}

#[tokio::test]
async fn a_failed_user_lookup_is_503_without_its_cause() {
    let service = ServiceWithUsers::new();

    for path in ["/me", "/maybe", "/plain-me"] {
        let seen = service.get(path, "trouble").await;

        assert_eq!(seen, refused(503, "unavailable"), "{path}");
    }
}

#[tokio::test]
async fn no_user_is_loaded_for_a_request_without_a_token() {
    let service = ServiceWithUsers::new();

    assert_eq!(service.get("/maybe", "").await, ok("nobody"));
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn no_user_is_loaded_for_a_refused_token() {
    let service = ServiceWithUsers::new();

    let not_fresh = service.get("/admin", "alice").await;

    assert_eq!(not_fresh, refused(401, "fresh_token_required"));
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn a_service_without_a_user_store_refuses_every_request() {
    let service = TestService::new();
    let app = Route::new()
        .nest("/", OpenApiService::new(UsersApi, "test", "1"))
        .data(service.guards());
    let value = format!("Bearer {}", service.token());

    let seen = get(&app, "/me", Some(&value)).await;

    assert_eq!(seen, refused(503, "unavailable"));
}
