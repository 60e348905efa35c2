use super::super::{
    Channel, CodeHashes, CodePurpose, Email, NewCode, NewDelivery, NewEmail, PresentedCode,
    ResetRequest, emails,
};
use super::*;
use crate::ids::{EmailId, UserId};
use crate::names::EmailAddress;

fn anonymous() -> Actor {
    Actor::Anonymous { ip: IP }
}

/// An address whose code has the hashes of `name`.
fn new_email(address: &str, name: &str, user: &UserId) -> NewEmail {
    let id = EmailId::random();
    NewEmail {
        code: NewCode {
            purpose: CodePurpose::VerifyEmail,
            user: Some(user.clone()),
            email: Some(id.clone()),
            hashes: CodeHashes {
                request: format!("request {name}"),
                link: format!("link {name}"),
                code: format!("code {name}"),
            },
            expires_at: NOW + Duration::from_hours(1),
        },
        id,
        address: EmailAddress::parse(address).unwrap(),
    }
}

async fn add(store: &Store, user: &User, address: &str, name: &str) -> Result<(), StoreError> {
    let new = new_email(address, name, &user.id);
    let actor = as_actor(user, None);
    store.add_email(&user.id, new, &[], (&actor, NOW)).await
}

async fn verify(store: &Store, name: &str) -> Result<bool, StoreError> {
    let presented = PresentedCode::Link {
        link: format!("link {name}"),
    };
    let actor = anonymous();
    let verified = store.verify_email(&presented, &[], (&actor, NOW));
    Ok(verified.await?.is_some())
}

async fn emails_of(store: &Store, user: &User) -> Vec<Email> {
    store.emails(&user.id).await.unwrap()
}

#[tokio::test]
async fn one_of_two_users_that_prove_an_address_at_once_has_it() {
    let test_store = TestStore::start().await;
    let replica = test_store.replica().await;
    let store = &test_store.store;

    for attempt in 0..10 {
        let address = format!("shared{attempt}@example.org");
        let one = test_store.user(&format!("one{attempt}")).await;
        let other = test_store.user(&format!("other{attempt}")).await;
        let (first, second) = (format!("a{attempt}"), format!("b{attempt}"));
        add(store, &one, &address, &first).await.unwrap();
        add(store, &other, &address, &second).await.unwrap();

        let results = tokio::join!(verify(store, &first), verify(&replica, &second));

        let won = [&results.0, &results.1]
            .into_iter()
            .filter(|result| matches!(result, Ok(true)));
        assert_eq!(won.count(), 1, "{results:?}");
        let owners = [emails_of(store, &one).await, emails_of(store, &other).await].concat();
        let verified = owners.iter().filter(|email| email.verified_at.is_some());
        assert_eq!(verified.count(), 1);
        let owner = store.verified_email(&address).await.unwrap().unwrap();
        assert!(owner.is_primary);
    }
}

#[tokio::test]
async fn a_proof_deletes_the_claims_and_codes_of_others() {
    let test_store = TestStore::start().await;
    let (alice, eve) = (test_store.user("alice").await, test_store.user("eve").await);
    let store = &test_store.store;
    add(store, &eve, "alice@example.org", "eve").await.unwrap();
    add(store, &alice, "Alice@Example.org", "alice")
        .await
        .unwrap();

    assert!(verify(store, "alice").await.unwrap());

    assert_eq!(emails_of(store, &eve).await, []);
    assert!(!verify(store, "eve").await.unwrap());
    let again = add(store, &alice, "alice@example.org", "again").await;
    assert!(matches!(again, Err(StoreError::Conflict)));
}

#[tokio::test]
async fn a_user_has_ten_addresses_at_most() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    for number in 0..10 {
        let address = format!("a{number}@example.org");
        add(store, &alice, &address, &format!("{number}"))
            .await
            .unwrap();
    }

    let eleventh = add(store, &alice, "more@example.org", "more").await;
    assert!(matches!(eleventh, Err(StoreError::TooMany)));
    // Another mail to an address that was added before.
    add(store, &alice, "a3@example.org", "again").await.unwrap();
    assert!(verify(store, "again").await.unwrap());
    assert!(!verify(store, "3").await.unwrap());
}

#[tokio::test]
async fn the_first_proved_address_is_primary_until_another_one_is_chosen() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let (store, actor) = (&test_store.store, as_actor(&alice, None));
    for name in ["first", "second"] {
        let address = format!("{name}@example.org");
        add(store, &alice, &address, name).await.unwrap();
        assert!(verify(store, name).await.unwrap());
    }
    add(store, &alice, "third@example.org", "third")
        .await
        .unwrap();
    let all = emails_of(store, &alice).await;
    let id = |name: &str| {
        let address = format!("{name}@example.org");
        let found = all.iter().find(|email| email.address.as_str() == address);
        found.unwrap().id.clone()
    };
    let primary = async || {
        let all = emails_of(store, &alice).await;
        let primary: Vec<EmailId> = all
            .iter()
            .filter(|email| email.is_primary)
            .map(|email| email.id.clone())
            .collect();
        primary
    };
    let choose = async |id: &EmailId| {
        store
            .make_email_primary(&alice.id, id, &[], (&actor, NOW))
            .await
    };
    let remove = async |id: &EmailId| store.remove_email(&alice.id, id, &[], (&actor, NOW)).await;

    assert_eq!(primary().await, [id("first")]);
    let unverified = choose(&id("third")).await;
    assert!(matches!(unverified, Err(StoreError::Conflict)));
    let in_use = remove(&id("first")).await;
    assert!(matches!(in_use, Err(StoreError::Conflict)));
    choose(&id("second")).await.unwrap();
    choose(&id("second")).await.unwrap();
    assert_eq!(primary().await, [id("second")]);
    remove(&id("first")).await.unwrap();
    remove(&id("second")).await.unwrap();
    assert_eq!(primary().await, []);
    let unknown = choose(&id("first")).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)));
    let changes = test_store.events().await;
    let count = |kind| changes.iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(EventKind::EmailVerified), 2);
    assert_eq!(count(EventKind::PrimaryEmailChanged), 1);
    assert_eq!(count(EventKind::EmailRemoved), 2);
}

#[tokio::test]
async fn a_user_is_found_by_a_verified_address_alone() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    add(store, &alice, "Alice@example.org", "a").await.unwrap();
    let find = async || {
        let found = store.user_with_hash_by_address("alice@example.org").await;
        found.unwrap().map(|found| found.user.id)
    };

    assert_eq!(find().await, None);
    assert!(verify(store, "a").await.unwrap());
    assert_eq!(find().await, Some(alice.id));
}

/// Returns the request of a client that asks for a reset, which read the account a moment ago.
fn reset_request(user: &User, email: &EmailId, name: &str) -> ResetRequest {
    let delivery = |id: String| NewDelivery {
        id,
        channel: Channel::Mail,
        user: Some(user.id.clone()),
        sealed_payload: String::new(),
    };
    ResetRequest {
        user: user.id.clone(),
        email: email.clone(),
        hashes: CodeHashes {
            request: format!("request {name}"),
            link: format!("link {name}"),
            code: format!("code {name}"),
        },
        expires_at: NOW + Duration::from_hours(1),
        delivery: delivery(format!("mail {name}")),
        decoy: delivery(format!("decoy {name}")),
    }
}

#[tokio::test]
async fn a_reset_is_mailed_only_while_the_account_is_enabled_and_has_the_address() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let (store, actor) = (&test_store.store, as_actor(&alice, None));
    add(store, &alice, "alice@example.org", "a").await.unwrap();
    let email = emails_of(store, &alice).await[0].id.clone();
    let is_mailed = async |name: &str| {
        let request = reset_request(&alice, &email, name);
        store.create_reset_code(&request, NOW).await.unwrap();
        let claimed = store.claim_deliveries(Channel::Mail, 10, NOW, MINUTE);
        let ids: Vec<String> = claimed
            .await
            .unwrap()
            .into_iter()
            .map(|one| one.id)
            .collect();
        let presented = PresentedCode::Link {
            link: format!("link {name}"),
        };
        let owner = store.user_of_code(&presented, CodePurpose::ResetPassword, NOW);
        let is_valid = owner.await.unwrap().is_some();
        let expected = if is_valid { "mail" } else { "decoy" };
        assert_eq!(ids, [format!("{expected} {name}")]);
        is_valid
    };

    assert!(!is_mailed("unverified").await);
    assert!(verify(store, "a").await.unwrap());
    assert!(is_mailed("verified").await);
    store
        .remove_email(&alice.id, &email, &[], (&actor, NOW))
        .await
        .unwrap();
    assert!(!is_mailed("removed").await);
    store
        .delete_user(&alice.id, &[], &Actor::Operator, period(NOW))
        .await
        .unwrap();
    assert!(!is_mailed("deleted").await);
}

#[tokio::test]
async fn a_change_needs_a_token_that_is_still_valid() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let (store, actor) = (&test_store.store, as_actor(&alice, None));
    let disabling = revocation_for(RevokeReason::Disabled, NOW);
    let disabled = store.disable_user(&alice.id, &Actor::Operator, &disabling);
    disabled.await.unwrap();

    let new = new_email("alice@example.org", "a", &alice.id);
    let added = store.add_email(&alice.id, new, &[], (&actor, NOW)).await;

    assert!(matches!(added, Err(StoreError::ActorRevoked)), "{added:?}");
    assert_eq!(emails_of(store, &alice).await, []);
}

#[tokio::test]
async fn an_end_of_everything_deletes_codes_and_messages() {
    let test_store = TestStore::start().await;
    let alice = test_store.user("alice").await;
    let store = &test_store.store;
    add(store, &alice, "alice@example.org", "a").await.unwrap();
    let transaction = store.begin().await.unwrap();
    let claim = new_email("other@example.org", "b", &alice.id);
    emails::insert_claim(&transaction, &alice.id, &claim, NOW)
        .await
        .unwrap();
    transaction.commit().await.unwrap();

    let end = end_everything::end();
    store.end_everything(&end, |_| Vec::new()).await.unwrap();

    assert!(!verify(store, "a").await.unwrap());
    assert_eq!(emails_of(store, &alice).await.len(), 2);
}
