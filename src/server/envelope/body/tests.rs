use poem::error::ReadBodyError;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::*;

const LIMIT: usize = 1024;

fn rules(budget: &BodyBudget) -> BodyRules {
    BodyRules {
        limit: LIMIT,
        timeout: Duration::from_mins(1),
        budget: budget.clone(),
    }
}

fn ready(pieces: &[&str]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let pieces = pieces
        .iter()
        .map(|piece| Ok(Bytes::from(piece.to_string())));
    stream::iter(pieces.collect::<Vec<_>>())
}

type Piece = io::Result<Bytes>;

/// A body whose chunks arrive when the test sends them, and which is complete when the sender is dropped.
fn arriving() -> (
    UnboundedSender<Piece>,
    impl Stream<Item = Piece> + Send + 'static,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    (sender, pieces)
}

fn piece(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together_and_bounded_as_a_whole() {
    let thousand = "x".repeat(1000);
    let table = [
        (vec![], Some(String::new())),
        (vec!["", "a", "", "bc"], Some("abc".to_owned())),
        (vec![&thousand], Some(thousand.clone())),
        (vec![&thousand, &thousand[..24]], Some("x".repeat(1024))),
        (vec![&thousand, &thousand[..25]], None),
        (vec![&thousand[..1], &thousand, &thousand], None),
    ];
    let budget = BodyBudget::new(10 * LIMIT);

    for (pieces, whole) in table {
        let read = read(ready(&pieces), &rules(&budget)).await;

        match whole {
            Some(whole) => assert_eq!(read.unwrap(), whole),
            None => assert!(matches!(read, Err(BodyError::TooLarge { .. }))),
        }
    }
    let one_piece = read(ready(&[&"x".repeat(1025)]), &rules(&budget)).await;
    assert!(matches!(one_piece, Err(BodyError::TooLarge { .. })));
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused_and_holds_nothing() {
    let budget = BodyBudget::new(10 * LIMIT);
    let lost = Err(io::Error::from(io::ErrorKind::ConnectionReset));

    let refused = read(stream::iter([Ok(piece(2)), lost]), &rules(&budget)).await;

    assert!(matches!(refused, Err(BodyError::BrokenOff(_))));
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn unfinished_bodies_together_hold_no_more_than_the_budget() {
    let budget = BodyBudget::new(4 * LIMIT);
    let rules = rules(&budget);
    let mut senders = Vec::new();
    let mut unfinished = Vec::new();

    for _ in 0..4 {
        let (sender, pieces) = arriving();
        sender.send(Ok(piece(1))).unwrap();
        let mut reading = Box::pin(read(pieces, &rules));
        assert!((&mut reading).now_or_never().is_none());
        senders.push(sender);
        unfinished.push(reading);
    }
    assert_eq!(budget.held(), 4 * LIMIT);
    let (sender, pieces) = arriving();
    sender.send(Ok(piece(1))).unwrap();
    let fifth = read(pieces, &rules).await;

    assert!(matches!(fifth, Err(BodyError::BudgetExhausted)));
    assert_eq!(budget.held(), 4 * LIMIT);
    let whole = read(ready(&["complete"]), &rules).await.unwrap();
    assert_eq!(whole, "complete", "it takes nothing from the budget");
    unfinished.pop();
    assert_eq!(budget.held(), 3 * LIMIT);
    let (sender, pieces) = arriving();
    sender.send(Ok(piece(1))).unwrap();
    sender.send(Ok(piece(2))).unwrap();
    drop(sender);
    assert_eq!(read(pieces, &rules).await.unwrap(), "xxx");
    drop(unfinished);
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn what_was_put_together_is_counted_until_it_is_dropped() {
    let budget = BodyBudget::new(LIMIT);

    let whole = read(ready(&["a", "b"]), &rules(&budget)).await.unwrap();
    let part = whole.slice(..1);

    assert_eq!(budget.held(), LIMIT);
    drop(whole);
    assert_eq!(budget.held(), LIMIT, "a part of it is in use");
    drop(part);
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn a_growing_body_takes_what_it_needs_and_no_more_than_the_limit() {
    let budget = BodyBudget::new(1 << 20);
    let rules = BodyRules {
        limit: 5000,
        ..rules(&budget)
    };
    let (sender, pieces) = arriving();
    let mut reading = Box::pin(read(pieces, &rules));
    let mut held = Vec::new();

    for length in [1, 1023, 1, 1100, 1900, 974] {
        sender.send(Ok(piece(length))).unwrap();
        assert!((&mut reading).now_or_never().is_none());
        held.push(budget.held());
    }

    assert_eq!(held, [1024, 1024, 2048, 4096, 4096, 5000]);
}

#[tokio::test]
async fn the_reason_is_found_behind_the_errors_of_the_framework() {
    let budget = BodyBudget::new(0);
    let reason = async |pieces: &[&str], declared| {
        let incoming = IncomingBody::new(Body::from_bytes_stream(ready(pieces)));
        let body = incoming.deferred(rules(&budget), declared);
        match body.into_bytes().await {
            Err(ReadBodyError::Io(error)) => BodyError::of(&error).map(ToString::to_string),
            other => panic!("{other:?}"),
        }
    };

    let exhausted = reason(&["a", "b"], None).await;
    let too_large = reason(&["a"], Some(LIMIT + 1)).await;

    assert_eq!(exhausted, Some(BodyError::BudgetExhausted.to_string()));
    assert_eq!(
        too_large,
        Some(BodyError::TooLarge { limit: LIMIT }.to_string())
    );
    assert!(BodyError::of(&io::Error::from(io::ErrorKind::BrokenPipe)).is_none());
}

#[tokio::test]
async fn a_slow_body_is_refused_at_its_deadline_which_does_not_count_for_the_response() {
    let budget = BodyBudget::new(LIMIT);
    let rules = BodyRules {
        timeout: Duration::from_millis(50),
        ..rules(&budget)
    };
    let (sender, pieces) = arriving();
    sender.send(Ok(piece(1))).unwrap();
    let incoming = IncomingBody::new(Body::from_bytes_stream(pieces));
    let body = incoming.deferred(rules.clone(), None);
    assert_eq!(incoming.deadline(&rules), None, "nothing has read it");
    let start = Instant::now();

    let read = body.into_bytes().await;

    let Err(ReadBodyError::Io(error)) = read else {
        panic!("{read:?}");
    };
    assert!(matches!(
        BodyError::of(&error),
        Some(BodyError::TooSlow { .. })
    ));
    let deadline = incoming.deadline(&rules).unwrap();
    assert!(
        deadline >= start + rules.timeout * 2,
        "it counts from the end of the body"
    );
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_not_kept() {
    let budget = BodyBudget::new(LIMIT);
    let (sender, pieces) = arriving();
    let incoming = IncomingBody::new(Body::from_bytes_stream(pieces));
    drop(incoming.deferred(rules(&budget), None));
    for _ in 0..10 {
        sender.send(Ok(piece(LIMIT))).unwrap();
    }
    drop(sender);

    incoming.discard().await;

    assert_eq!(budget.held(), 0);
    assert!(incoming.begin().is_none(), "the body was already taken");
}
