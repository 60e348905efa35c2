use super::*;
use crate::App;
use crate::test_app::TestApp;

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn an_ipv6_64_network_counts_as_one_address() {
    let ip = |text: &str| network_of(text.parse().unwrap());
    assert_eq!(ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"));
    assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
    assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
}

async fn charge(app: &App, budget: &NamedBudget) -> Result<AdmissionResult, ApiError> {
    let budgets = std::slice::from_ref(budget);
    app.sessions
        .password_verification
        .throttle
        .charge(budgets, &CheckedBudgets::none(), app.clock.now())
        .await
}

#[track_caller]
fn charged(admitted: Result<AdmissionResult, ApiError>) -> ThrottleTicket {
    match admitted {
        Ok(AdmissionResult::Charged(counters)) => ThrottleTicket {
            counters,
            permit: None,
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_failure_uses_its_unit_and_a_refund_frees_it() {
    let test = TestApp::open(&[("LATCHET_THROTTLE_IP", "2/15m")]).await;
    let app = &test.app;
    let budget = app
        .sessions
        .password_verification
        .throttle
        .network_budget("192.0.2.7");
    let wrong = charged(charge(app, &budget).await);
    let right = charged(charge(app, &budget).await);
    let refused = charge(app, &budget).await;
    assert!(
        matches!(refused, Ok(AdmissionResult::Pending)),
        "{refused:?}"
    );

    let recorded = app
        .sessions
        .password_verification
        .throttle
        .record_failure(wrong, IP, app.clock.now())
        .await;
    app.sessions
        .password_verification
        .throttle
        .refund_attempt(right)
        .await;

    assert!(recorded.is_ok(), "{recorded:?}");
    // One place is free again, and the other one is not.
    let next = charged(charge(app, &budget).await);
    app.sessions
        .password_verification
        .throttle
        .record_failure(next, IP, app.clock.now())
        .await
        .unwrap();
    let refused = charge(app, &budget).await;
    assert!(
        matches!(refused, Err(ApiError::TooManyRequests { .. })),
        "{refused:?}"
    );
}
