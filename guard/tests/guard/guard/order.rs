//! If several things are wrong, the first in the order of checks decides the response.

use super::*;
use latchet_guard::cookies::Cookies;

/// Defects of a token under test.
#[derive(Clone, Copy)]
struct TokenDefects {
    expired: bool,
    revoked: bool,
    refresh: bool,
}

impl TestService {
    fn defective_token(&self, defects: TokenDefects) -> String {
        let mut claims = Claims {
            csrf: Some("proof".to_owned()),
            ..self.claims()
        };
        if defects.expired {
            claims.iat = 1;
            claims.nbf = Some(1);
            claims.exp = Some(2);
        }
        if defects.refresh {
            claims.kind = TokenKind::Refresh;
        }
        if defects.revoked {
            self.deny(DenialTarget::Token(claims.jti.clone()));
        }
        self.sign(&claims)
    }
}

const EXPIRED: TokenDefects = TokenDefects {
    expired: true,
    revoked: false,
    refresh: false,
};
const REVOKED: TokenDefects = TokenDefects {
    revoked: true,
    expired: false,
    refresh: false,
};
const REFRESH: TokenDefects = TokenDefects {
    refresh: true,
    expired: false,
    revoked: false,
};
const EVERYTHING: TokenDefects = TokenDefects {
    expired: true,
    revoked: true,
    refresh: true,
};

#[tokio::test]
async fn the_first_failed_check_decides_the_response() {
    let service = TestService::new();
    let expired_and_revoked = TokenDefects {
        revoked: true,
        ..EXPIRED
    };
    let revoked_refresh = TokenDefects {
        revoked: true,
        ..REFRESH
    };
    let table = [
        ("/fresh", EVERYTHING, "token_expired"),
        ("/required", expired_and_revoked, "token_expired"),
        ("/fresh", revoked_refresh, "wrong_token_type"),
        ("/fresh", REFRESH, "wrong_token_type"),
        ("/fresh", REVOKED, "fresh_token_required"),
        ("/admin", REVOKED, "token_revoked"),
        ("/optional", EVERYTHING, "token_expired"),
    ];

    for (path, defective_token, code) in table {
        let value = format!("Bearer {}", service.defective_token(defective_token));

        let seen = get(&service.app(), path, Some(&value)).await;

        assert_eq!(seen, refused(401, code), "{path}");
    }
}

#[tokio::test]
async fn a_signature_is_checked_before_anything_that_is_signed() {
    let service = TestService::new();
    let forged = TestService::new().defective_token(EVERYTHING);

    for path in ["/required", "/fresh", "/refresh", "/optional", "/admin"] {
        let seen = get(&service.app(), path, Some(&format!("Bearer {forged}"))).await;

        assert_eq!(seen, refused(401, "invalid_token"), "{path}");
    }
}

#[tokio::test]
async fn a_missing_csrf_value_is_refused_before_the_token_and_a_wrong_one_after_its_signature() {
    let service = TestService::new();
    let location = Location::cookies(Cookies::default());
    let app = app(service.guards().with_locations([location]));
    let post = async |token: &str, csrf: &str| {
        let cookie = format!("__Host-latchet_at={token}");
        let headers = [
            (header::COOKIE, cookie.as_str()),
            (HeaderName::from_static("x-csrf-token"), csrf),
        ];
        read_response(
            app.get_response(request(Method::POST, "/required", &headers))
                .await,
        )
        .await
    };
    let (expired, revoked) = (
        service.defective_token(EXPIRED),
        service.defective_token(REVOKED),
    );

    assert_eq!(post("junk", "").await, refused(403, "csrf_failed"));
    assert_eq!(post(&expired, "").await, refused(403, "csrf_failed"));
    assert_eq!(post(&expired, "other").await, refused(401, "token_expired"));
    assert_eq!(post(&revoked, "other").await, refused(403, "csrf_failed"));
    assert_eq!(post(&revoked, "proof").await, refused(401, "token_revoked"));
}
