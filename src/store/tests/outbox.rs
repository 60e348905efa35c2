use super::super::{Channel, ClaimedDelivery, NewDelivery, outbox};
use super::*;

const CLAIM_TIME: Duration = Duration::from_mins(1);

fn delivery(id: &str) -> NewDelivery {
    NewDelivery {
        id: id.to_owned(),
        channel: Channel::Mail,
        user: None,
        sealed_payload: format!("payload of {id}"),
    }
}

async fn write(test_store: &TestStore, ids: &[&str], now: Time) {
    let transaction = test_store.store.begin().await.unwrap();
    let deliveries: Vec<NewDelivery> = ids.iter().copied().map(delivery).collect();
    outbox::insert(&transaction, &deliveries, now)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

async fn claim(store: &Store, limit: u32, now: Time) -> Vec<ClaimedDelivery> {
    let claimed = store.claim_deliveries(Channel::Mail, limit, now, CLAIM_TIME);
    claimed.await.unwrap()
}

fn ids(claimed: &[ClaimedDelivery]) -> Vec<&str> {
    let mut ids: Vec<&str> = claimed.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_message_is_claimed_by_one_of_several_servers() {
    let test_store = TestStore::start().await;
    let names: Vec<String> = (0..60).map(|number| format!("m{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    write(&test_store, &names, NOW).await;
    let replica = test_store.replica().await;

    let claims = run_concurrently((0..8).map(|number| {
        let store = if number % 2 == 0 {
            &test_store.store
        } else {
            &replica
        };
        let store = store.clone();
        async move { claim(&store, 10, NOW).await }
    }))
    .await;

    let mut claimed: Vec<ClaimedDelivery> = claims.into_iter().flatten().collect();
    claimed.extend(claim(&replica, 60, NOW).await);
    assert_eq!(ids(&claimed), names);
    assert!(claimed.iter().all(|one| one.tries == 1));
    assert!(claim(&replica, 60, NOW).await.is_empty());
}

#[tokio::test]
async fn a_message_of_a_server_that_ended_is_claimed_again_after_the_claim() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    write(&test_store, &["a"], NOW).await;
    let first = claim(store, 10, NOW).await;

    assert_eq!(
        store.next_delivery_at(Channel::Mail).await.unwrap(),
        Some(NOW + CLAIM_TIME)
    );
    assert!(
        claim(store, 10, NOW + CLAIM_TIME - Duration::from_millis(1))
            .await
            .is_empty()
    );
    let second = claim(store, 10, NOW + CLAIM_TIME).await;

    assert_eq!(second[0].tries, 2);
    assert_eq!(second[0].sealed_payload, "payload of a");
    assert_eq!(second[0].created_at, NOW);
    // The first server, which was only slow, does not move the claim of the second one.
    store.postpone_delivery(&first[0], NOW).await.unwrap();
    assert!(claim(store, 10, NOW + CLAIM_TIME).await.is_empty());
    store.delete_delivery(&second[0]).await.unwrap();
    assert_eq!(store.next_delivery_at(Channel::Mail).await.unwrap(), None);
}

#[tokio::test]
async fn a_message_that_was_returned_was_not_tried() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    write(&test_store, &["a"], NOW).await;
    for _ in 0..3 {
        let claimed = claim(store, 10, NOW).await;
        assert_eq!(claimed[0].tries, 1);
        store.return_delivery(&claimed[0], NOW).await.unwrap();
    }
    let claimed = claim(store, 10, NOW).await;

    store.postpone_delivery(&claimed[0], NOW).await.unwrap();

    assert_eq!(claim(store, 10, NOW).await[0].tries, 2);
}

#[tokio::test]
async fn the_messages_that_have_waited_longest_are_claimed_first() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    write(&test_store, &["c"], NOW).await;
    write(&test_store, &["b"], NOW + MINUTE).await;
    write(&test_store, &["a"], NOW + MINUTE * 2).await;

    let level = store.outbox_level(Channel::Mail).await.unwrap();
    assert_eq!((level.waiting, level.oldest_created_at), (3, Some(NOW)));
    assert_eq!(ids(&claim(store, 2, NOW + MINUTE).await), ["b", "c"]);
    let later = NOW + MINUTE * 3;
    let postponed = claim(store, 1, later).await;
    store
        .postpone_delivery(&postponed[0], later + MINUTE)
        .await
        .unwrap();

    let claimed = claim(store, 10, later).await;
    assert!(!ids(&claimed).contains(&postponed[0].id.as_str()));
    assert_eq!(claim(store, 10, later + MINUTE).await.len(), 3);
}

#[tokio::test]
async fn a_message_that_is_given_up_is_deleted_and_recorded_once() {
    let test_store = TestStore::start().await;
    let store = &test_store.store;
    write(&test_store, &["a"], NOW).await;
    let claimed = claim(store, 10, NOW).await;

    for _ in 0..2 {
        store.fail_delivery(&claimed[0], NOW).await.unwrap();
    }

    let events = test_store.events().await;
    let failed = events
        .iter()
        .filter(|event| event.kind == EventKind::MailFailed);
    assert_eq!(failed.count(), 1);
    let level = store.outbox_level(Channel::Mail).await.unwrap();
    assert_eq!((level.waiting, level.oldest_created_at), (0, None));
}
