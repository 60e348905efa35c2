//! A request with a cookie is accepted when it presents the one token, and on `POST` proves that a page of
//! the service sent it; never otherwise, and never with an error of the server.
#![no_main]

use std::sync::{Arc, LazyLock};

use latchet_guard::clock::Clock;
use latchet_guard::cookies::Cookies;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::{Guards, JwtRequired, Location};
use latchet_guard::keys::{Algorithm, KeySet, SigningKey};
use latchet_guard::token::{Issuer, Verifier, VerifierSettings};
use latchet_fuzz::{ISSUER, claims};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use poem::endpoint::BoxEndpoint;
use poem::http::header::{COOKIE, HOST, ORIGIN};
use poem::http::{HeaderName, HeaderValue, Method, StatusCode};
use poem::{Endpoint, EndpointExt, Request, Response, Route, handler};
use tokio::runtime::Runtime;

const OURS: &str = "https://shop.example";
const OTHERS: &str = "https://evil.example";
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A part of a header: what makes sense in its place, or anything.
#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Token,
    Name,
    Is,
    And,
    Csrf,
    Ours,
    Others,
    SameOrigin,
    Bytes(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    changes: bool,
    cookies: Vec<Vec<Piece<'a>>>,
    csrf: Option<Vec<Piece<'a>>>,
    origin: Option<Vec<Piece<'a>>>,
    fetch_site: Option<Vec<Piece<'a>>>,
}

struct Shop {
    runtime: Runtime,
    app: BoxEndpoint<'static, Response>,
    cookies: Arc<Cookies>,
    token: String,
    csrf: String,
}

#[handler]
async fn page(request: &Request) -> poem::Result<()> {
    JwtRequired::authenticate(request).await.map(drop)
}

static SHOP: LazyLock<Shop> = LazyLock::new(|| {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let settings = VerifierSettings::new(ISSUER, [ISSUER]);
    let verifier = Verifier::new(KeySet::new([key.verifying_key()]), settings);
    let cookies = Arc::new(Cookies::default());
    let denylist = Arc::new(MemoryDenylist::new());
    let guards = Guards::new(Arc::new(verifier), denylist, Clock::system())
        .with_locations([Location::cookies(Arc::clone(&cookies))]);
    let claims = claims();
    Shop {
        runtime: Runtime::new().unwrap(),
        app: Route::new()
            .at("/", page)
            .data(guards)
            .map_to_response()
            .boxed(),
        cookies,
        token: Issuer::new(key).sign(&claims).unwrap(),
        csrf: claims.csrf.unwrap(),
    }
});

impl Shop {
    fn header(&self, pieces: &[Piece<'_>]) -> Option<HeaderValue> {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Token => self.token.as_bytes(),
                Piece::Name => self.cookies.access.name.as_bytes(),
                Piece::Is => b"=",
                Piece::And => b"; ",
                Piece::Csrf => self.csrf.as_bytes(),
                Piece::Ours => OURS.as_bytes(),
                Piece::Others => OTHERS.as_bytes(),
                Piece::SameOrigin => b"same-origin",
                Piece::Bytes(bytes) => bytes,
            })
            .copied()
            .collect();
        HeaderValue::from_bytes(&bytes).ok()
    }

    /// Returns whether these lines hold our cookie once, with the token in it. A cookie without a value
    /// is one that was taken away.
    fn has_the_token(&self, lines: &[HeaderValue]) -> bool {
        let pairs = lines
            .iter()
            .flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
        let name = [self.cookies.access.name.as_bytes(), b"="].concat();
        let values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(&name[..]));
        let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
        values == [self.token.as_bytes()]
    }
}

/// Compares the headers by which browsers name the origin; programs send neither.
fn is_from_us(origin: Option<&HeaderValue>, fetch_site: Option<&HeaderValue>) -> bool {
    match (fetch_site, origin) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => ["https://shop.example", "http://shop.example"]
            .iter()
            .any(|ours| origin.as_bytes().eq_ignore_ascii_case(ours.as_bytes())),
        (None, None) => true,
    }
}

fuzz_target!(|input: Input<'_>| {
    let shop = &*SHOP;
    let lines: Vec<_> = input
        .cookies
        .iter()
        .filter_map(|line| shop.header(line))
        .collect();
    let header =
        |pieces: &Option<Vec<Piece<'_>>>| pieces.as_ref().and_then(|pieces| shop.header(pieces));
    let (csrf, origin, site) = (
        header(&input.csrf),
        header(&input.origin),
        header(&input.fetch_site),
    );

    let method = if input.changes {
        Method::POST
    } else {
        Method::GET
    };
    let mut request = Request::builder().method(method).finish();
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("shop.example"));
    for line in &lines {
        headers.append(COOKIE, line.clone());
    }
    for (name, value) in [(CSRF_HEADER, &csrf), (ORIGIN, &origin), (FETCH_SITE, &site)] {
        headers.extend(value.clone().map(|value| (name, value)));
    }
    let status = shop
        .runtime
        .block_on(shop.app.get_response(request))
        .status();

    let proves =
        csrf.is_some_and(|csrf| csrf == shop.csrf) && is_from_us(origin.as_ref(), site.as_ref());
    let is_good = shop.has_the_token(&lines) && (proves || !input.changes);
    assert_eq!(status == StatusCode::OK, is_good, "{status} {lines:?}");
    assert!(!status.is_server_error(), "{status}");
});
