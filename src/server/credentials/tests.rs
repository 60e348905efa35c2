use std::net::Ipv4Addr;

use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::server::events::Actor;
use crate::server::sessions::Caller;
use crate::server::store::NewUser;
use crate::server::test_app::TestApp;

/// Number of seats of a server with one thread.
const SEATS: usize = 5;

fn login(devices: Vec<KnownDevice>) -> Login {
    Login {
        username: "nobody".to_owned(),
        password: "wrong, but long enough".into(),
        scope: None,
        client_id: String::new(),
        label: String::new(),
        devices,
        caller: Caller {
            ip: Ipv4Addr::new(192, 0, 2, 7).into(),
            user_agent: String::new(),
        },
    }
}

async fn account(app: &App, name: &str) {
    let hash = app.passwords.hash("a password of long ago".into()).await;
    let new = NewUser {
        username: name.to_owned(),
        password_hash: hash.unwrap().into(),
        roles: Vec::new(),
    };
    let made = app
        .store
        .create_user(new, &Actor::Operator, app.clock.now());
    made.await.unwrap();
}

#[tokio::test]
async fn accounts_of_older_rules_log_in_under_their_names() {
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

        let login = Login {
            username: typed.to_owned(),
            password: "a password of long ago".into(),
            ..login(Vec::new())
        };
        let proved = app.prove_login(&login, app.clock.now()).await.unwrap();

        assert_eq!(proved.user.username, stored);
        app.forgive_attempt(proved.attempt).await;
    }
}

#[tokio::test]
async fn a_name_is_counted_once_however_it_is_written() {
    let test = TestApp::open(&[]).await;
    let counted = |username: &str| {
        let by = Prover::Login {
            username,
            devices: &[],
        };
        test.app.names_before_lookup(&by, "192.0.2.7")
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
async fn stranger(app: &App, place: usize) -> JoinHandle<Seat> {
    let passwords = app.passwords.clone();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it below")]
    let waits = tokio::spawn(async move {
        let seat = passwords.seat(Priority::Stranger, "198.51.100.1");
        seat.await.unwrap()
    });
    while app.passwords.waiting() < place {
        yield_now().await;
    }
    waits
}

#[tokio::test]
async fn a_device_of_another_account_waits_with_the_strangers() {
    let test = TestApp::open(&[("LATCHET_PASSWORD_THREADS", "1")]).await;
    let app = test.app.clone();
    let mut seats = Vec::new();
    for _ in 0..SEATS {
        seats.push(app.passwords.seat(Priority::Known, "").await.unwrap());
    }
    let first = stranger(&app, 1).await;
    let second = stranger(&app, 2).await;
    let mallory = KnownDevice::new(UserId::from("mallory"));
    let guess = login(vec![mallory]);
    let mut guess = Box::pin(app.prove_login(&guess, app.clock.now()));

    // Attempts of known devices go first, to be looked up. This one is hashed after the strangers.
    let mut free = seats.pop();
    for waits in [first, second] {
        tokio::select! {
            biased;
            decided = &mut guess => panic!("it was decided before the strangers: {decided:?}"),
            seat = async { drop(free.take()); waits.await } => free = seat.ok(),
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
async fn after_a_failure_strangers_of_that_network_wait_in_a_line_of_their_own() {
    let test = TestApp::open(&[]).await;
    let app = &test.app;
    let priority = |devices: &[KnownDevice], network: &str| {
        let by = Prover::Login {
            username: "somebody else",
            devices,
        };
        app.priority(&by, network)
    };
    assert_eq!(priority(&[], "192.0.2.7"), Priority::Stranger);

    let decided = app.prove_login(&login(vec![]), app.clock.now()).await;

    assert!(
        matches!(decided, Err(ApiError::InvalidCredentials)),
        "{decided:?}"
    );
    assert_eq!(priority(&[], "192.0.2.7"), Priority::AfterFailure);
    assert_eq!(priority(&[], "192.0.2.8"), Priority::Stranger);
    let alice = KnownDevice::new(UserId::from("alice"));
    assert_eq!(priority(&[alice], "192.0.2.7"), Priority::Known);
}
