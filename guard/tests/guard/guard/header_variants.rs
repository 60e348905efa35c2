//! Variants of the `Authorization` header that clients send.

use poem::http::HeaderValue;

use super::*;

#[tokio::test]
async fn header_variants_are_accepted_or_refused_as_listed() {
    let service = TestService::new();
    let token = service.token();
    let missing = || refused(401, "missing_token");
    let malformed = || refused(401, "malformed_token");
    let ambiguous = || refused(400, "validation_failed");
    let table = [
        ("Bearer T", ok("alice")),
        ("bearer T", ok("alice")),
        ("BEARER T", ok("alice")),
        ("  Bearer   T  ", ok("alice")),
        ("Bearer\tT", ok("alice")),
        ("Bearer T,", ok("alice")),
        (", ,Bearer T", ok("alice")),
        ("Basic dTpw, Bearer T", ok("alice")),
        ("Foo 1, Bearer T, Baz, 3", ok("alice")),
        ("", missing()),
        (" , , ", missing()),
        (",", missing()),
        ("Basic dTpw", missing()),
        ("Foo 1, Bar 2, Baz, 3", missing()),
        ("T", missing()),
        ("JWT T", missing()),
        ("BearerT", missing()),
        ("Bearer", malformed()),
        ("Bearer ", malformed()),
        ("Bearer ,,0", malformed()),
        ("Foo 1, Bearer, Baz, 3", malformed()),
        ("Bearer T extra", malformed()),
        ("Bearer Bearer T", malformed()),
        ("Bearer xxx", malformed()),
        ("Foo 1, Bearer 2, Baz, 3", malformed()),
        ("Bearer T, Bearer T", ambiguous()),
        ("Bearer T, bearer xxx", ambiguous()),
    ];

    for (variant, expected) in table {
        let value = variant.replace('T', &token);
        let anonymous = if expected == missing() {
            ok("nobody")
        } else {
            TestResponse(expected.0, expected.1.clone())
        };

        assert_eq!(
            get(&service.app(), "/optional", Some(&value)).await,
            anonymous,
            "{variant:?} where optional"
        );
        assert_eq!(
            get(&service.app(), "/required", Some(&value)).await,
            expected,
            "{variant:?}"
        );
    }
}

#[tokio::test]
async fn two_headers_are_treated_like_one() {
    let service = TestService::new();
    let value = format!("Bearer {}", service.token());
    let send = async |first: &str, second: &str| {
        let headers = [
            (header::AUTHORIZATION, first),
            (header::AUTHORIZATION, second),
        ];
        let request = request(Method::GET, "/required", &headers);
        read_response(service.app().get_response(request).await).await
    };

    assert_eq!(send("Basic dTpw", &value).await, ok("alice"));
    assert_eq!(
        send(&value, &value).await,
        refused(400, "validation_failed")
    );
}

#[tokio::test]
async fn bytes_that_are_not_ascii_are_refused_without_a_panic() {
    let service = TestService::new();
    for bytes in [
        &b"Bearer \xff\xfe"[..],
        b"Bearer k\xc3\xa4se",
        b"Bearer a.b.\xc3\xa4",
    ] {
        let mut request = request(Method::GET, "/optional", &[]);
        let value = HeaderValue::from_bytes(bytes).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);

        let seen = read_response(service.app().get_response(request).await).await;

        assert_eq!(seen, refused(401, "malformed_token"), "{bytes:?}");
    }
}

#[tokio::test]
async fn every_method_is_checked() {
    let service = TestService::new();
    for method in [Method::GET, Method::POST, Method::OPTIONS, Method::HEAD] {
        let app = Route::new().at("/", plain).data(service.guards());

        let response = app.get_response(request(method.clone(), "/", &[])).await;

        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
}
