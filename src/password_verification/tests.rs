use std::net::Ipv4Addr;

use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::App;
use crate::security_events::Actor;
use crate::sessions::ClientInfo;
use crate::store::NewUser;
use crate::test_app::TestApp;

/// Number of permits of a server with one thread.
const PERMITS: usize = 5;

fn login(devices: Vec<KnownDevice>) -> LoginAttempt {
    LoginAttempt {
        username: "nobody".to_owned(),
        password: "wrong, but long enough".into(),
        scope: None,
        client_id: String::new(),
        label: String::new(),
        devices,
        client: ClientInfo {
            ip: Ipv4Addr::new(192, 0, 2, 7).into(),
            user_agent: String::new(),
        },
    }
}

async fn account(app: &App, name: &str) {
    let hash = app
        .accounts
        .passwords
        .hash("a password of long ago".into())
        .await;
    let new = NewUser {
        username: name.to_owned(),
        password_hash: hash.unwrap().into(),
        roles: Vec::new(),
        locale: None,
    };
    let made = app
        .store
        .create_user(new, &Actor::Operator, app.clock.now());
    made.await.unwrap();
}

#[tokio::test]
async fn accounts_with_names_of_older_rules_can_log_in() {
    let test = TestApp::open(&[]).await;
    let app = &test.app;
    for (stored, typed) in [
        ("ro\u{200b}ot", "Ro\u{200b}ot"),
        ("\u{202e}toor", "\u{202e}toor"),
        ("o\u{2019}brien", "O\u{2019}Brien"),
        ("x2", "x\u{b2}"),
        ("J\u{30c}an", "J\u{30c}an"),
        ("\u{1f0}ens", "J\u{30c}ENS"),
        ("ΝΙΚΟΣ", "νικος"),
    ] {
        account(app, stored).await;

        let login = LoginAttempt {
            username: typed.to_owned(),
            password: "a password of long ago".into(),
            ..login(Vec::new())
        };
        let verified = app
            .sessions
            .password_verification
            .verify_login_password(&login, app.clock.now())
            .await
            .unwrap();

        assert_eq!(verified.user.username, stored);
        app.sessions
            .password_verification
            .throttle
            .refund_attempt(verified.attempt)
            .await;
    }
}

#[tokio::test]
async fn all_spellings_of_a_name_share_one_budget() {
    let test = TestApp::open(&[]).await;
    let counted = |username: &str| {
        let claimant = PasswordClaimant::Login {
            username,
            devices: &[],
        };
        test.app
            .sessions
            .password_verification
            .budget_names_before_lookup(&claimant, "192.0.2.7")
    };
    for (one, other) in [
        ("ΝΙΚΟΣ", "νικος"),
        ("Νίκος", "ΝΊΚΟΣ"),
        ("alice", "ＡＬＩＣＥ"),
        ("\u{c1}lice", "a\u{301}lice"),
        ("J\u{30c}an", "\u{1f0}an"),
    ] {
        assert_eq!(counted(one), counted(other), "{one}");
    }
    assert_ne!(counted("νικος"), counted("νικοσ"), "two accounts");
}

/// Waits in the queue of strangers, as number `place` of all waiting attempts.
async fn stranger(app: &App, place: usize) -> JoinHandle<HashingPermit> {
    let passwords = app.accounts.passwords.clone();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it below")]
    let waits = tokio::spawn(async move {
        let permit = passwords.acquire_permit(HashingPriority::UnknownClient, "198.51.100.1");
        permit.await.unwrap()
    });
    while app.accounts.passwords.waiting() < place {
        yield_now().await;
    }
    waits
}

#[tokio::test]
async fn a_device_of_another_account_waits_in_the_queue_of_strangers() {
    let test = TestApp::open(&[("LATCHET_PASSWORD_THREADS", "1")]).await;
    let app = test.app.clone();
    let mut permits = Vec::new();
    for _ in 0..PERMITS {
        permits.push(
            app.accounts
                .passwords
                .acquire_permit(HashingPriority::KnownClient, "")
                .await
                .unwrap(),
        );
    }
    let first = stranger(&app, 1).await;
    let second = stranger(&app, 2).await;
    let mallory = KnownDevice::new(UserId::from("mallory"));
    let guess = login(vec![mallory]);
    let mut guess = Box::pin(
        app.sessions
            .password_verification
            .verify_login_password(&guess, app.clock.now()),
    );

    // Attempts of known devices go first, to be looked up. This one is hashed after the strangers.
    let mut free = permits.pop();
    for waits in [first, second] {
        tokio::select! {
            biased;
            decided = &mut guess => panic!("it was decided before the strangers: {decided:?}"),
            permit = async { drop(free.take()); waits.await } => free = permit.ok(),
        }
    }
    drop(free);

    let decided = guess.await;
    assert!(
        matches!(decided, Err(ApiError::InvalidCredentials)),
        "{decided:?}"
    );
}

#[tokio::test]
async fn after_a_failure_strangers_of_that_network_wait_in_a_separate_queue() {
    let test = TestApp::open(&[]).await;
    let app = &test.app;
    let priority = |devices: &[KnownDevice], network: &str| {
        let claimant = PasswordClaimant::Login {
            username: "somebody else",
            devices,
        };
        app.sessions
            .password_verification
            .priority(&claimant, network)
    };
    assert_eq!(priority(&[], "192.0.2.7"), HashingPriority::UnknownClient);

    let decided = app
        .sessions
        .password_verification
        .verify_login_password(&login(vec![]), app.clock.now())
        .await;

    assert!(
        matches!(decided, Err(ApiError::InvalidCredentials)),
        "{decided:?}"
    );
    assert_eq!(
        priority(&[], "192.0.2.7"),
        HashingPriority::UnknownAfterFailure
    );
    assert_eq!(priority(&[], "192.0.2.8"), HashingPriority::UnknownClient);
    let alice = KnownDevice::new(UserId::from("alice"));
    assert_eq!(
        priority(&[alice], "192.0.2.7"),
        HashingPriority::KnownClient
    );
}
