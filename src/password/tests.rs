use super::*;

const CHEAP: HashCost = HashCost {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn passwords(cost: HashCost) -> PasswordHasher {
    PasswordHasher::start(cost, 2, 8).unwrap()
}

async fn verify(
    passwords: &PasswordHasher,
    password: &str,
    stored: Option<&str>,
) -> Result<PasswordVerdict, PasswordError> {
    let permit = passwords
        .acquire_permit(HashingPriority::UnknownClient, "")
        .await
        .unwrap();
    permit.verify(secret(password), stored).await
}

#[tokio::test]
async fn a_password_is_right_and_any_other_is_wrong() {
    let passwords = passwords(CHEAP);
    let stored = passwords.hash(secret("correct horse")).await.unwrap();

    let right = verify(&passwords, "correct horse", Some(&stored));
    let wrong = verify(&passwords, "battery staple", Some(&stored));
    let nobody = verify(&passwords, "correct horse", None);

    assert_eq!(right.await.unwrap(), PasswordVerdict::Right);
    assert_eq!(wrong.await.unwrap(), PasswordVerdict::Wrong);
    assert_eq!(nobody.await.unwrap(), PasswordVerdict::Wrong);
}

#[tokio::test]
async fn one_password_is_stored_differently_for_each_user() {
    let passwords = passwords(CHEAP);

    let first = passwords.hash(secret("correct horse")).await.unwrap();
    let second = passwords.hash(secret("correct horse")).await.unwrap();

    assert_ne!(first, second);
    assert!(first.starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
}

/// Made with the reference implementation of argon2, in C.
const OF_ANOTHER_PROGRAM: &str = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$uL2hQzJmxaz0Tfm2KK6uNjA0+UvbrHBEBwVmJYrNXCE";

#[tokio::test]
async fn a_hash_of_another_program_and_cost_is_verified_and_reported_as_outdated() {
    let passwords = passwords(CHEAP);

    let right = verify(&passwords, "correct horse", Some(OF_ANOTHER_PROGRAM));
    let wrong = verify(&passwords, "battery staple", Some(OF_ANOTHER_PROGRAM));

    assert_eq!(right.await.unwrap(), PasswordVerdict::Outdated);
    assert_eq!(wrong.await.unwrap(), PasswordVerdict::Wrong);
}

#[tokio::test]
async fn composed_and_decomposed_letters_are_one_password() {
    let passwords = passwords(CHEAP);
    let stored = passwords.hash(secret("caf\u{e9} au lait")).await.unwrap();

    let verdict = verify(&passwords, "cafe\u{301} au lait", Some(&stored));

    assert_eq!(verdict.await.unwrap(), PasswordVerdict::Right);
}

#[tokio::test]
async fn a_damaged_hash_is_an_error_and_not_a_wrong_password() {
    let passwords = passwords(CHEAP);
    let whole = passwords.hash(secret("correct horse")).await.unwrap();
    let table = [
        "",
        "plain",
        "$2b$12$abcdefghijklmnopqrstuv",
        &whole[..whole.len() - 1],
        &format!("{whole}$x"),
        &whole.replace("m=64", "m=4294967295"),
        &whole.replace("p=1", "p=0"),
    ];

    for stored in table {
        let verdict = verify(&passwords, "correct horse", Some(stored)).await;
        assert!(
            matches!(verdict, Err(PasswordError::UnknownFormat)),
            "{stored}: {verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let passwords = PasswordHasher::start(CHEAP, 1, 1).unwrap();
    let mut permits = Vec::new();
    for _ in 0..PERMITS_PER_THREAD {
        permits.push(
            passwords
                .acquire_permit(HashingPriority::UnknownClient, "")
                .await
                .unwrap(),
        );
    }
    let mut waiting = Box::pin(passwords.hash(secret("correct horse")));
    assert!(poll_once(&mut waiting).await.is_none());

    let refused = passwords.hash(secret("correct horse")).await;
    drop(permits);
    let served = waiting.await;

    assert!(matches!(refused, Err(PasswordError::Busy)));
    assert!(served.is_ok());
}

/// Work of a wrong password, in KiB times passes.
async fn work_of(passwords: &PasswordHasher, stored: Option<&str>) -> u64 {
    let before = passwords.work_done();
    let verdict = verify(passwords, "battery staple", stored).await;
    assert_eq!(verdict.unwrap(), PasswordVerdict::Wrong);
    passwords.work_done() - before
}

#[tokio::test]
async fn a_wrong_password_costs_the_same_work_whatever_the_stored_cost() {
    let old = [
        (64, 1, 1),
        (64, 2, 1),
        (96, 1, 1),
        (100, 3, 1),
        (128, 1, 4),
        (1024, 2, 1),
    ];
    let mut hashes = Vec::new();
    for (memory_kib, passes, lanes) in old {
        let cost = HashCost {
            memory_kib,
            passes,
            lanes,
        };
        let other = PasswordHasher::start(cost, 1, 8).unwrap();
        hashes.push(other.hash(secret("correct horse")).await.unwrap());
    }
    let cost = HashCost {
        memory_kib: 256,
        passes: 2,
        lanes: 1,
    };
    let passwords = passwords(cost);
    // As when the server starts and reads which costs there are.
    for hash in &hashes {
        passwords.note_cost(hash.split('$').nth(3).unwrap());
    }

    let nobody = work_of(&passwords, None).await;
    for stored in &hashes {
        let work = work_of(&passwords, Some(stored)).await;
        // Less than one block for each pass is left over by division.
        assert!(nobody - work < 16, "{stored}: {work} and not {nobody}");
    }

    assert_eq!(nobody, 2048, "that of the most expensive");
}

#[tokio::test]
async fn a_more_expensive_hash_than_was_known_raises_the_work_of_all() {
    let expensive = HashCost {
        memory_kib: 256,
        ..CHEAP
    };
    let stored = passwords(expensive).hash(secret("correct horse")).await;
    let passwords = passwords(CHEAP);
    assert_eq!(work_of(&passwords, None).await, 64);

    work_of(&passwords, Some(&stored.unwrap())).await;

    assert_eq!(work_of(&passwords, None).await, 256);
}

#[tokio::test]
async fn a_damaged_row_does_not_make_all_logins_slow() {
    let passwords = passwords(CHEAP);

    passwords.note_cost("m=4194304,t=4294967295,p=1");
    passwords.note_cost("m=many");

    assert_eq!(work_of(&passwords, None).await, 64 * MAX_WORK_FACTOR);
}

/// Polls a future once.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}
