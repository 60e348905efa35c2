use poem::error::ReadBodyError;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::*;

const LIMIT: usize = 1024;

fn limits(budget: &BodyBudget) -> BodyLimits {
    BodyLimits {
        limit: LIMIT,
        timeout: Duration::from_mins(1),
        budget: budget.clone(),
    }
}

fn ready(chunks: &[&str]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let chunks = chunks
        .iter()
        .map(|chunk| Ok(Bytes::from(chunk.to_string())));
    stream::iter(chunks.collect::<Vec<_>>())
}

type ChunkResult = io::Result<Bytes>;

/// A body whose chunks arrive when the test sends them, and which is complete when the sender is dropped.
fn arriving() -> (
    UnboundedSender<ChunkResult>,
    impl Stream<Item = ChunkResult> + Send + 'static,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    });
    (sender, chunks)
}

fn chunk(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

#[tokio::test]
async fn a_body_in_chunks_is_joined_and_limited_as_a_whole() {
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

    for (chunks, whole) in table {
        let read = read_chunks(ready(&chunks), &limits(&budget)).await;

        match whole {
            Some(whole) => assert_eq!(read.unwrap(), whole),
            None => assert!(matches!(read, Err(BodyError::TooLarge { .. }))),
        }
    }
    let one_chunk = read_chunks(ready(&[&"x".repeat(1025)]), &limits(&budget)).await;
    assert!(matches!(one_chunk, Err(BodyError::TooLarge { .. })));
    assert_eq!(budget.bytes_in_use(), 0);
}

#[tokio::test]
async fn a_truncated_body_is_refused_and_frees_its_memory() {
    let budget = BodyBudget::new(10 * LIMIT);
    let lost = Err(io::Error::from(io::ErrorKind::ConnectionReset));

    let refused = read_chunks(stream::iter([Ok(chunk(2)), lost]), &limits(&budget)).await;

    assert!(matches!(refused, Err(BodyError::Truncated(_))));
    assert_eq!(budget.bytes_in_use(), 0);
}

#[tokio::test]
async fn incomplete_bodies_together_take_no_more_than_the_budget() {
    let budget = BodyBudget::new(4 * LIMIT);
    let limits = limits(&budget);
    let mut senders = Vec::new();
    let mut unfinished = Vec::new();

    for _ in 0..4 {
        let (sender, chunks) = arriving();
        sender.send(Ok(chunk(1))).unwrap();
        let mut reading = Box::pin(read_chunks(chunks, &limits));
        assert!((&mut reading).now_or_never().is_none());
        senders.push(sender);
        unfinished.push(reading);
    }
    assert_eq!(budget.bytes_in_use(), 4 * LIMIT);
    let (sender, chunks) = arriving();
    sender.send(Ok(chunk(1))).unwrap();
    let fifth = read_chunks(chunks, &limits).await;

    assert!(matches!(fifth, Err(BodyError::BudgetExhausted)));
    assert_eq!(budget.bytes_in_use(), 4 * LIMIT);
    let whole = read_chunks(ready(&["complete"]), &limits).await.unwrap();
    assert_eq!(whole, "complete", "it takes nothing from the budget");
    unfinished.pop();
    assert_eq!(budget.bytes_in_use(), 3 * LIMIT);
    let (sender, chunks) = arriving();
    sender.send(Ok(chunk(1))).unwrap();
    sender.send(Ok(chunk(2))).unwrap();
    drop(sender);
    assert_eq!(read_chunks(chunks, &limits).await.unwrap(), "xxx");
    drop(unfinished);
    assert_eq!(budget.bytes_in_use(), 0);
}

#[tokio::test]
async fn a_buffered_body_counts_until_it_is_dropped() {
    let budget = BodyBudget::new(LIMIT);

    let whole = read_chunks(ready(&["a", "b"]), &limits(&budget))
        .await
        .unwrap();
    let part = whole.slice(..1);

    assert_eq!(budget.bytes_in_use(), LIMIT);
    drop(whole);
    assert_eq!(budget.bytes_in_use(), LIMIT, "a part of it is in use");
    drop(part);
    assert_eq!(budget.bytes_in_use(), 0);
}

#[tokio::test]
async fn a_growing_body_takes_no_more_than_the_limit() {
    let budget = BodyBudget::new(1 << 20);
    let limits = BodyLimits {
        limit: 5000,
        ..limits(&budget)
    };
    let (sender, chunks) = arriving();
    let mut reading = Box::pin(read_chunks(chunks, &limits));
    let mut held = Vec::new();

    for length in [1, 1023, 1, 1100, 1900, 974] {
        sender.send(Ok(chunk(length))).unwrap();
        assert!((&mut reading).now_or_never().is_none());
        held.push(budget.bytes_in_use());
    }

    assert_eq!(held, [1024, 1024, 2048, 4096, 4096, 5000]);
}

#[tokio::test]
async fn the_body_error_is_found_inside_framework_errors() {
    let budget = BodyBudget::new(0);
    let reason = async |chunks: &[&str], declared| {
        let incoming = IncomingBody::new(Body::from_bytes_stream(ready(chunks)));
        let body = incoming.deferred(limits(&budget), declared);
        match body.into_bytes().await {
            Err(ReadBodyError::Io(error)) => BodyError::find_in(&error).map(ToString::to_string),
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
    assert!(BodyError::find_in(&io::Error::from(io::ErrorKind::BrokenPipe)).is_none());
}

#[tokio::test]
async fn a_slow_body_times_out_and_does_not_shorten_the_response_deadline() {
    let budget = BodyBudget::new(LIMIT);
    let limits = BodyLimits {
        timeout: Duration::from_millis(50),
        ..limits(&budget)
    };
    let (sender, chunks) = arriving();
    sender.send(Ok(chunk(1))).unwrap();
    let incoming = IncomingBody::new(Body::from_bytes_stream(chunks));
    let body = incoming.deferred(limits.clone(), None);
    assert_eq!(incoming.deadline(&limits), None, "nothing has read it");
    let start = Instant::now();

    let read = body.into_bytes().await;

    let Err(ReadBodyError::Io(error)) = read else {
        panic!("{read:?}");
    };
    assert!(matches!(
        BodyError::find_in(&error),
        Some(BodyError::Timeout { .. })
    ));
    let deadline = incoming.deadline(&limits).unwrap();
    assert!(
        deadline >= start + limits.timeout * 2,
        "it counts from the end of the body"
    );
    assert_eq!(budget.bytes_in_use(), 0);
}

#[tokio::test]
async fn an_unread_body_is_discarded() {
    let budget = BodyBudget::new(LIMIT);
    let (sender, chunks) = arriving();
    let incoming = IncomingBody::new(Body::from_bytes_stream(chunks));
    drop(incoming.deferred(limits(&budget), None));
    for _ in 0..10 {
        sender.send(Ok(chunk(LIMIT))).unwrap();
    }
    drop(sender);

    incoming.discard().await;

    assert_eq!(budget.bytes_in_use(), 0);
    assert!(
        incoming.take_unread().is_none(),
        "the body was already taken"
    );
}
