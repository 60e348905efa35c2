use super::super::{CodeHashes, CodePurpose, NewCode, PresentedCode, codes};
use super::*;
use crate::ids::UserId;

const HOUR: Duration = Duration::from_hours(1);

fn code(name: &str, user: Option<&UserId>) -> NewCode {
    NewCode {
        purpose: CodePurpose::ResetPassword,
        user: user.cloned(),
        email: None,
        hashes: CodeHashes {
            request: format!("request {name}"),
            link: format!("link {name}"),
            code: format!("code {name}"),
        },
        expires_at: NOW + HOUR,
    }
}

async fn record(test_store: &TestStore, name: &str, user: Option<&UserId>) {
    let transaction = test_store.store.begin().await.unwrap();
    codes::insert(&transaction, &code(name, user))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

fn digits(request: &str, code: &str) -> PresentedCode {
    PresentedCode::Digits {
        request: format!("request {request}"),
        code: format!("code {code}"),
    }
}

fn link(name: &str) -> PresentedCode {
    PresentedCode::Link {
        link: format!("link {name}"),
    }
}

async fn is_valid(store: &Store, presented: &PresentedCode, now: Time) -> bool {
    let purpose = CodePurpose::ResetPassword;
    let owner = store.user_of_code(presented, purpose, now).await.unwrap();
    owner.is_some()
}

#[tokio::test]
async fn a_code_is_valid_for_its_purpose_and_until_it_expires() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    record(&test_store, "a", Some(&alice.id)).await;

    let last = NOW + HOUR - Duration::from_millis(1);
    for presented in [link("a"), digits("a", "a")] {
        assert!(is_valid(store, &presented, last).await);
        assert!(!is_valid(store, &presented, NOW + HOUR).await);
        let other = store.user_of_code(&presented, CodePurpose::VerifyEmail, NOW);
        assert_eq!(other.await.unwrap(), None);
    }
    for presented in [link("b"), digits("b", "a"), digits("a", "b")] {
        assert!(!is_valid(store, &presented, NOW).await);
    }
}

#[tokio::test]
async fn concurrent_guesses_are_all_counted() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let replica = test_store.replica().await;
    record(&test_store, "a", Some(&alice.id)).await;
    record(&test_store, "b", Some(&alice.id)).await;

    let guesses = run_concurrently((0..5).map(|number| {
        let store = if number % 2 == 0 {
            &test_store.store
        } else {
            &replica
        };
        let store = store.clone();
        let request = if number < 3 { "a" } else { "b" };
        async move { is_valid(&store, &digits(request, "wrong"), NOW).await }
    }))
    .await;

    assert_eq!(guesses, [false; 5]);
    assert!(!is_valid(&replica, &digits("a", "a"), NOW).await);
    assert!(!is_valid(&replica, &digits("b", "b"), NOW).await);
    assert!(is_valid(&replica, &link("a"), NOW).await);
}

#[tokio::test]
async fn four_wrong_guesses_leave_the_fifth() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    record(&test_store, "a", Some(&alice.id)).await;
    for _ in 0..4 {
        assert!(!is_valid(store, &digits("a", "wrong"), NOW).await);
    }

    assert!(is_valid(store, &digits("a", "a"), NOW).await);
}

#[tokio::test]
async fn guesses_at_one_user_do_not_count_for_another() {
    let test_store = TestStore::start().await;
    let (alice, bob) = (test_store.user("alice").await, test_store.user("bob").await);
    let store = &test_store.store;
    record(&test_store, "a", Some(&alice.id)).await;
    record(&test_store, "b", Some(&bob.id)).await;
    for _ in 0..5 {
        assert!(!is_valid(store, &digits("a", "wrong"), NOW).await);
    }

    assert!(is_valid(store, &digits("b", "b"), NOW).await);
}

#[tokio::test]
async fn a_request_about_an_unknown_address_has_no_valid_code() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    record(&test_store, "a", None).await;

    for presented in [link("a"), digits("a", "a"), digits("a", "wrong")] {
        assert!(!is_valid(store, &presented, NOW).await);
    }
}

#[tokio::test]
async fn voided_codes_are_invalid_and_their_wrong_guesses_still_count() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    record(&test_store, "a", Some(&alice.id)).await;
    for _ in 0..5 {
        assert!(!is_valid(store, &digits("a", "wrong"), NOW).await);
    }
    let transaction = store.begin().await.unwrap();
    codes::void_of_user(&transaction, &alice.id).await.unwrap();
    transaction.commit().await.unwrap();
    record(&test_store, "b", Some(&alice.id)).await;

    for presented in [link("a"), digits("a", "a"), digits("b", "b")] {
        assert!(!is_valid(store, &presented, NOW).await);
    }
    assert!(is_valid(store, &link("b"), NOW).await);
}

#[tokio::test]
async fn expired_codes_are_deleted() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    record(&test_store, "a", None).await;

    assert_eq!(store.delete_expired_rows(NOW + HOUR).await.unwrap(), 0);
    let later = NOW + HOUR + Duration::from_millis(1);
    assert_eq!(store.delete_expired_rows(later).await.unwrap(), 1);
}
