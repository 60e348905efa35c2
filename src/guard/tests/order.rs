//! If several things are wrong, the first in the order of checks decides the response.

use super::*;
use crate::cookies::Cookies;

/// Defects of a token under test.
#[derive(Clone, Copy)]
struct Wrong {
    expired: bool,
    revoked: bool,
    refresh: bool,
}

impl Desk {
    fn wrong(&self, wrong: Wrong) -> String {
        let mut claims = Claims {
            csrf: Some("proof".to_owned()),
            ..self.claims()
        };
        if wrong.expired {
            claims.iat = 1;
            claims.nbf = Some(1);
            claims.exp = Some(2);
        }
        if wrong.refresh {
            claims.kind = Kind::Refresh;
        }
        if wrong.revoked {
            self.deny(Denied::Token(claims.jti.clone()));
        }
        self.sign(&claims)
    }
}

const EXPIRED: Wrong = Wrong {
    expired: true,
    revoked: false,
    refresh: false,
};
const REVOKED: Wrong = Wrong {
    revoked: true,
    expired: false,
    refresh: false,
};
const REFRESH: Wrong = Wrong {
    refresh: true,
    expired: false,
    revoked: false,
};
const EVERYTHING: Wrong = Wrong {
    expired: true,
    revoked: true,
    refresh: true,
};

#[tokio::test]
async fn the_first_thing_that_is_wrong_is_answered() {
    let desk = Desk::new();
    let expired_and_revoked = Wrong {
        revoked: true,
        ..EXPIRED
    };
    let revoked_refresh = Wrong {
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

    for (path, wrong, code) in table {
        let value = format!("Bearer {}", desk.wrong(wrong));

        let seen = get(&desk.app(), path, Some(&value)).await;

        assert_eq!(seen, refused(401, code), "{path}");
    }
}

#[tokio::test]
async fn a_signature_is_checked_before_anything_that_is_signed() {
    let desk = Desk::new();
    let forged = Desk::new().wrong(EVERYTHING);

    for path in ["/required", "/fresh", "/refresh", "/optional", "/admin"] {
        let seen = get(&desk.app(), path, Some(&format!("Bearer {forged}"))).await;

        assert_eq!(seen, refused(401, "invalid_token"), "{path}");
    }
}

#[tokio::test]
async fn a_missing_proof_is_answered_before_the_token_and_a_wrong_one_after_its_signature() {
    let desk = Desk::new();
    let location = Location::cookies(Cookies::default());
    let app = app(desk.guards().with_locations([location]));
    let post = async |token: &str, csrf: &str| {
        let cookie = format!("__Host-latchet_at={token}");
        let headers = [
            (header::COOKIE, cookie.as_str()),
            (HeaderName::from_static("x-csrf-token"), csrf),
        ];
        see(app
            .get_response(request(Method::POST, "/required", &headers))
            .await)
        .await
    };
    let (expired, revoked) = (desk.wrong(EXPIRED), desk.wrong(REVOKED));

    assert_eq!(post("junk", "").await, refused(403, "csrf_failed"));
    assert_eq!(post(&expired, "").await, refused(403, "csrf_failed"));
    assert_eq!(post(&expired, "other").await, refused(401, "token_expired"));
    assert_eq!(post(&revoked, "other").await, refused(403, "csrf_failed"));
    assert_eq!(post(&revoked, "proof").await, refused(401, "token_revoked"));
}
