//! Handlers on poem's own server: one that does nothing, one that asks Redis, and one that does
//! nothing behind a guard.
#![expect(
    clippy::unused_async,
    reason = "poem-openapi wants handlers to be async, also those that wait for nothing"
)]

use std::sync::Arc;
use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::denylist::Denylist;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{Claims, Issuer, Verifier, VerifierSettings};
use latchet_guard::{Guards, JwtRequired};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Endpoint, EndpointExt, Route, Server};
use poem_openapi::{OpenApi, OpenApiService};
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

use crate::support::load::CONNECTIONS;

pub(super) const ISSUER: &str = "https://auth.example";
pub(super) const AUDIENCE: &str = "https://api.example";

struct Empty;
#[OpenApi]
impl Empty {
    #[oai(path = "/", method = "get")]
    async fn empty(&self) {}
}

/// As long as a commit takes, about.
const COMMIT: Duration = Duration::from_millis(2);

struct Waiting(Arc<Notify>);
#[OpenApi]
impl Waiting {
    #[oai(path = "/", method = "get")]
    async fn waiting(&self) {
        self.0.notified().await;
    }
}

struct Guarded;
#[OpenApi]
impl Guarded {
    #[oai(path = "/", method = "get")]
    async fn guarded(&self, _jwt: JwtRequired) {}
}

struct Mget(MultiplexedConnection);
#[OpenApi]
impl Mget {
    #[oai(path = "/", method = "get")]
    async fn mget(&self) {
        let values: Vec<Option<String>> = redis::cmd("MGET")
            .arg("latchet:{deny}:epoch")
            .arg("latchet:{deny}:jti:0000000000000000000000")
            .arg("latchet:{deny}:sid:0000000000000000000000")
            .query_async(&mut self.0.clone())
            .await
            .expect("Redis answers");
        assert_eq!(values.len(), 3);
    }
}

pub(super) fn empty() {
    run(async { (service(Empty), Vec::new()) });
}

/// Nothing, but after a while and together with everybody else who waits, as with one commit for all.
pub(super) fn waiting() {
    run(async {
        let done = Arc::new(Notify::new());
        let commits = Arc::clone(&done);
        #[expect(
            clippy::disallowed_methods,
            reason = "it runs until the floor is killed"
        )]
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(COMMIT).await;
                commits.notify_waiters();
            }
        });
        (service(Waiting(done)), Vec::new())
    });
}

pub(super) fn guarded_memory() {
    run(async { guarded(eddsa_key(), Arc::new(MemoryDenylist::new())) });
}

pub(super) fn guarded_hs256() {
    run(async { guarded(hs256_key(), Arc::new(MemoryDenylist::new())) });
}

/// With the denylist that a server has which is configured so.
pub(super) fn guarded_copy(redis: Option<&str>, database: &str) {
    run(async {
        let denylist = crate::support::service::replicated_denylist(redis, database).await;
        guarded(eddsa_key(), denylist)
    });
}

pub(super) fn mget(url: &str) {
    run(async {
        let client = redis::Client::open(url).expect("the bench made this URL");
        let connection = client.get_multiplexed_async_connection().await;
        (
            service(Mget(connection.expect("Redis listens"))),
            Vec::new(),
        )
    });
}

fn service<A: OpenApi + 'static>(api: A) -> impl Endpoint {
    Route::new().nest("/", OpenApiService::new(api, "floor", "1"))
}

/// A token for each connection, and the handler that accepts them.
fn guarded(key: SigningKey, denylist: Arc<dyn Denylist>) -> (impl Endpoint, Vec<String>) {
    let keys = KeySet::new(vec![key.verifying_key()]);
    let verifier = Verifier::new(keys, VerifierSettings::new(ISSUER, [AUDIENCE]));
    let guards = Guards::new(Arc::new(verifier), denylist, Clock::system());
    (service(Guarded).data(guards), tokens(key))
}

pub(super) fn eddsa_key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).expect("the system gives random bytes")
}

/// The same in every process, so that the load can sign with it.
pub(crate) fn hs256_key() -> SigningKey {
    SigningKey::from_private_bytes(Algorithm::Hs256, b"rcbVXS8m9X1c7wRZ4uJ5kq0yTn2Lh6Gf")
        .expect("the key is long enough")
}

/// Claims of the tokens of the floors.
pub(crate) fn claims(number: usize) -> Claims {
    Claims {
        iss: ISSUER.to_owned(),
        aud: vec![AUDIENCE.to_owned()],
        sub: format!("user-{number}"),
        sid: Some(format!("session-{number:014}")),
        roles: vec!["reader".to_owned()],
        ..Claims::access(Clock::system().now(), Duration::from_hours(1))
    }
}

/// One token for each connection.
pub(super) fn tokens(key: SigningKey) -> Vec<String> {
    let issuer = Issuer::new(key);
    let sign = |number| issuer.sign(&claims(number));
    let tokens = (0..CONNECTIONS).map(|number| sign(number).expect("the claims are our own"));
    tokens.collect()
}

/// Serves what `open` opens, after it has said where and with what tokens.
fn run<E: Endpoint + 'static>(open: impl Future<Output = (E, Vec<String>)>) {
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    runtime.block_on(async {
        let (endpoint, tokens) = open.await;
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await;
        let acceptor = acceptor.expect("there are free ports");
        let address = acceptor.local_addr();
        let address = address[0].0.as_socket_addr().expect("it is TCP").to_owned();
        println!("{address} {}", tokens.join(" "));
        Server::new_with_acceptor(acceptor)
            .run(endpoint)
            .await
            .expect("it runs until it is killed");
    });
}
