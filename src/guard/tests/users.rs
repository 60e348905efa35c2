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
    async fn admin(&self, jwt: Jwt<(Fresh, Role<Admin>), Account>) -> PlainText<String> {
        PlainText(jwt.user.name)
    }
}

#[handler]
async fn plain_me(request: &Request) -> poem::Result<String> {
    let jwt = Jwt::<Required, Account>::authenticate(request).await?;
    Ok(jwt.user.name)
}

struct Service {
    desk: Desk,
    accounts: Accounts,
}

impl Service {
    fn new() -> Self {
        Self {
            desk: Desk::new(),
            accounts: Accounts::default(),
        }
    }

    fn asked(&self) -> usize {
        self.accounts.0.load(Ordering::Relaxed)
    }

    async fn get(&self, path: &str, sub: &str) -> Seen {
        let app = Route::new()
            .at("/plain-me", poem::get(plain_me))
            .nest("/", OpenApiService::new(UsersApi, "test", "1"))
            .data(self.accounts.clone())
            .data(self.desk.guards());
        let token = self.desk.sign(&Claims {
            sub: sub.to_owned(),
            ..self.desk.claims()
        });
        let value = format!("Bearer {token}");
        get(&app, path, (!sub.is_empty()).then_some(value.as_str())).await
    }
}

#[tokio::test]
async fn the_current_user_is_looked_up_by_the_service() {
    let service = Service::new();

    for path in ["/me", "/maybe", "/plain-me"] {
        assert_eq!(service.get(path, "alice").await, ok("Alice A."), "{path}");
    }
    assert_eq!(service.asked(), 3);
}

#[tokio::test]
async fn a_user_who_is_gone_is_told_401_even_where_none_is_needed() {
    let service = Service::new();

    for path in ["/me", "/maybe", "/plain-me"] {
        let seen = service.get(path, "bob").await;

        assert_eq!(seen, refused(401, "unknown_user"), "{path}");
    }
}

#[tokio::test]
async fn a_look_up_that_fails_is_503_and_says_nothing_of_the_cause() {
    let service = Service::new();

    for path in ["/me", "/maybe", "/plain-me"] {
        let seen = service.get(path, "trouble").await;

        assert_eq!(seen, refused(503, "unavailable"), "{path}");
    }
}

#[tokio::test]
async fn nobody_is_looked_up_for_a_request_without_a_token() {
    let service = Service::new();

    assert_eq!(service.get("/maybe", "").await, ok("nobody"));
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn nobody_is_looked_up_for_a_token_that_is_refused() {
    let service = Service::new();

    let not_fresh = service.get("/admin", "alice").await;

    assert_eq!(not_fresh, refused(401, "fresh_token_required"));
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn a_service_without_its_users_admits_nobody() {
    let desk = Desk::new();
    let app = Route::new()
        .nest("/", OpenApiService::new(UsersApi, "test", "1"))
        .data(desk.guards());
    let value = format!("Bearer {}", desk.token());

    let seen = get(&app, "/me", Some(&value)).await;

    assert_eq!(seen, refused(503, "unavailable"));
}
