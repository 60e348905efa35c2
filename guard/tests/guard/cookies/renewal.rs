//! Renewal extends active sessions and never revives ended ones.

use std::sync::atomic::Ordering;
use std::time::Duration;

use poem::http::StatusCode;
use poem::http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE};
use serde_json::json;

use super::shop::TestShop;
use super::*;
use latchet_guard::token::FreshClaim;

#[tokio::test]
async fn a_token_near_its_expiry_is_renewed_with_the_response() {
    let shop = TestShop::new();
    let old = shop.claims(29).with_nbf();

    let answer = shop.visit("/", &old).await;

    let new = shop.renewed(&answer).unwrap();
    assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(answer.into_body().into_string().await.unwrap(), "alice");
    assert_eq!(new.exp.unwrap() - new.iat, 3600);
    assert!(new.exp > old.exp && new.iat > old.iat && new.nbf > old.nbf);
    assert_ne!(new.jti, old.jti);
}

#[tokio::test]
async fn a_token_with_enough_time_left_is_not_renewed() {
    let shop = TestShop::new();

    assert_eq!(shop.renews("/", &shop.claims(31)).await, None);
    assert_eq!(shop.renews("/", &shop.claims(60)).await, None);
}

#[tokio::test]
async fn renewal_keeps_all_other_claims() {
    let shop = TestShop::new();
    let old = Claims {
        client_id: Some("web".to_owned()),
        auth_time: Some(shop.clock.now().secs() - 3000),
        amr: vec!["pwd".to_owned()],
        roles: vec!["admin".to_owned()],
        scope: Some("read".to_owned()),
        extra: [("plan".to_owned(), json!({"name": "gold"}))]
            .into_iter()
            .collect(),
        ..shop.claims(10)
    };

    let new = shop.renews("/", &old).await.unwrap();

    let mut expected = Claims {
        jti: new.jti.clone(),
        iat: new.iat,
        nbf: new.nbf,
        exp: new.exp,
        ..old.clone()
    };
    let session_end = json!(old.auth_time.unwrap() + 24 * 3600);
    expected.extra.insert(SESSION_END.to_owned(), session_end);
    assert_eq!(new, expected);
}

#[tokio::test]
async fn renewal_does_not_extend_freshness() {
    let shop = TestShop::new();
    let old = shop.claims(10);
    let end = Time::from_secs(old.exp.unwrap());
    let table = [
        (FreshClaim::No, FreshClaim::No),
        (FreshClaim::Yes, FreshClaim::until(end)),
        (FreshClaim::Until(7.5), FreshClaim::Until(7.5)),
    ];

    for (fresh, expected) in table {
        let old = Claims {
            fresh,
            ..old.clone()
        };

        let new = shop.renews("/", &old).await.unwrap();

        assert_eq!(new.fresh, expected);
    }
}

#[tokio::test]
async fn no_renewal_extends_beyond_the_end_of_the_session() {
    let shop = TestShop::new();
    let now = shop.clock.now().secs();
    let signed_in = |ago: i64| Claims {
        auth_time: Some(now - ago),
        ..shop.claims(10)
    };
    let with_end = |end: serde_json::Value| {
        let mut claims = signed_in(100);
        claims.extra.insert(SESSION_END.to_owned(), end);
        claims
    };
    let day = 24 * 3600;

    let near = shop.renews("/", &signed_in(day - 1800)).await.unwrap();
    let written = shop
        .renews("/", &with_end(json!(now + 1200)))
        .await
        .unwrap();
    let generous = shop.renews("/", &with_end(json!(i64::MAX))).await.unwrap();

    assert_eq!(near.exp, Some(now + 1800));
    assert_eq!(written.exp, Some(now + 1200));
    assert_eq!(generous.extra[SESSION_END], json!(now - 100 + day));
    for over in [
        signed_in(day),
        signed_in(day - 600),
        with_end(json!(now + 600)),
        with_end(json!(0)),
        with_end(json!("tomorrow")),
        with_end(json!(null)),
    ] {
        assert_eq!(shop.renews("/", &over).await, None, "{over:?}");
    }
}

#[tokio::test]
async fn renewals_in_a_row_end_when_the_session_does() {
    let shop = TestShop::new();
    let first = shop.claims(10);
    let mut claims = first.clone();
    let mut renewals = 0;

    while let Some(next) = shop.renews("/", &claims).await {
        let left = Time::from_secs(next.exp.unwrap()).since(shop.clock.now());
        let nearly = left.saturating_sub(Duration::from_mins(10));
        shop.clock.shift(i64::try_from(nearly.as_millis()).unwrap());
        claims = next;
        renewals += 1;
    }

    assert_eq!(claims.exp, Some(first.iat + 24 * 3600));
    assert!(renewals > 20, "{renewals}");
}

#[tokio::test]
async fn a_logout_is_not_undone_by_its_own_response() {
    let shop = TestShop::new();

    assert_eq!(shop.renews("/logout", &shop.claims(10)).await, None);
    assert_eq!(
        shop.visit("/", &shop.claims(10)).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn cookies_that_the_handler_clears_stay_cleared() {
    let shop = TestShop::new();

    let answer = shop.visit("/clears", &shop.claims(10)).await;

    for line in answer.headers().get_all(SET_COOKIE) {
        assert!(line.to_str().unwrap().contains("Max-Age=0"), "{line:?}");
    }
}

#[tokio::test]
async fn a_logout_is_not_undone_by_a_concurrent_response() {
    let shop = TestShop::new();
    let old = shop.claims(10);
    let second_tab = async { shop.visit("/logout", &old).await.status() };

    let (answer, logged_out) = Box::pin(shop.while_slow(&old, second_tab)).await;

    assert_eq!(
        (answer.status(), logged_out),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(shop.renewed(&answer), None);
}

#[tokio::test]
async fn a_logout_ends_a_token_that_was_just_renewed() {
    let shop = TestShop::new();
    let old = shop.claims(10);

    let renewed = shop.renews("/", &old).await.unwrap();
    shop.visit("/logout", &old).await;

    for minutes in [0, 11, 48] {
        shop.clock.shift(minutes * 60_000);
        let answer = shop.visit("/", &renewed).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let body = answer.into_body().into_string().await.unwrap();
        assert!(body.contains("token_revoked"), "{minutes} {body}");
    }
}

#[tokio::test]
async fn nothing_is_renewed_while_the_denylist_is_unavailable() {
    let shop = TestShop::new();
    let old = shop.claims(10);
    let cut = async { shop.denylist.is_interrupted.store(true, Ordering::Relaxed) };

    let (answer, ()) = shop.while_slow(&old, cut).await;

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(shop.renewed(&answer), None);
}

#[tokio::test]
async fn only_tokens_accepted_from_an_access_cookie_are_renewed() {
    let shop = TestShop::new();
    let old = shop.claims(10);
    let of_refresh = Claims {
        kind: TokenKind::Refresh,
        ..old.clone()
    };
    let without_session = Claims {
        sid: None,
        ..old.clone()
    };
    let endless = Claims {
        exp: None,
        ..old.clone()
    };
    let bearer = format!("Bearer {}", shop.issuer.sign(&old).unwrap());

    let by_header = shop.send("/", AUTHORIZATION, bearer).await;

    assert_eq!(shop.renewed(&by_header), None);
    assert_eq!(shop.renews("/public", &old).await, None);
    assert_eq!(shop.renews("/failing", &old).await, None);
    assert_eq!(shop.renews("/nowhere", &old).await, None);
    assert_eq!(shop.renews("/refresh", &of_refresh).await, None);
    assert_eq!(shop.renews("/", &without_session).await, None);
    assert_eq!(shop.renews("/", &endless).await, None);
    assert!(shop.renews("/maybe", &old).await.is_some());
}

#[tokio::test]
async fn a_cacheable_response_sets_no_cookie() {
    let shop = TestShop::new();

    assert_eq!(shop.renews("/for-caches", &shop.claims(10)).await, None);
    assert!(shop.renews("/for-me", &shop.claims(10)).await.is_some());
}

#[tokio::test]
async fn a_renewed_token_is_accepted_and_keeps_its_csrf_value() {
    let shop = TestShop::new();
    let old = shop.claims(10);

    let new = shop.renews("/", &old).await.unwrap();
    let again = shop.visit("/", &new).await;

    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(shop.renewed(&again), None);
    assert_eq!(new.csrf, old.csrf);
}
