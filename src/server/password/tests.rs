use std::sync::mpsc;

use super::*;

const CHEAP: Cost = Cost {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn passwords(cost: Cost) -> Passwords {
    Passwords::start(cost, 2, 8).unwrap()
}

#[tokio::test]
async fn a_password_is_right_and_any_other_is_wrong() {
    let passwords = passwords(CHEAP);
    let stored = passwords.hash(secret("correct horse")).await.unwrap();

    let right = passwords.verify(secret("correct horse"), Some(&stored));
    let wrong = passwords.verify(secret("battery staple"), Some(&stored));
    let nobody = passwords.verify(secret("correct horse"), None);

    assert_eq!(right.await.unwrap(), Verdict::Right);
    assert_eq!(wrong.await.unwrap(), Verdict::Wrong);
    assert_eq!(nobody.await.unwrap(), Verdict::Wrong);
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

    let right = passwords.verify(secret("correct horse"), Some(OF_ANOTHER_PROGRAM));
    let wrong = passwords.verify(secret("battery staple"), Some(OF_ANOTHER_PROGRAM));

    assert_eq!(right.await.unwrap(), Verdict::Outdated);
    assert_eq!(wrong.await.unwrap(), Verdict::Wrong);
}

#[tokio::test]
async fn composed_and_decomposed_letters_are_one_password() {
    let passwords = passwords(CHEAP);
    let stored = passwords.hash(secret("caf\u{e9} au lait")).await.unwrap();

    let verdict = passwords.verify(secret("cafe\u{301} au lait"), Some(&stored));

    assert_eq!(verdict.await.unwrap(), Verdict::Right);
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
        let verdict = passwords
            .verify(secret("correct horse"), Some(stored))
            .await;
        assert!(
            matches!(verdict, Err(PasswordError::UnknownFormat)),
            "{stored}: {verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let passwords = Passwords::start(CHEAP, 1, 1).unwrap();
    let (started, is_started) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let busy = Box::new(move |_: &mut Vec<Block>| {
        started.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    passwords.pool.push(busy).unwrap();
    is_started.recv().unwrap();
    let mut waiting = Box::pin(passwords.hash(secret("correct horse")));
    assert!(poll_once(&mut waiting).await.is_none());

    let refused = passwords.hash(secret("correct horse")).await;
    go_on.send(()).unwrap();
    let served = waiting.await;

    assert!(matches!(refused, Err(PasswordError::Busy)));
    assert!(served.is_ok());
}

/// Polls a future once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[test]
fn guessable_passwords_are_refused_with_the_reason() {
    let table = [
        (15, "too short", "is shorter than 15 bytes"),
        (8, "football", "is one of the 10,000 commonest"),
        (8, "FootBall", "is one of the 10,000 commonest"),
        (15, "passwordpassword", "is one of the 10,000 commonest"),
        (
            15,
            "aaaaaaaaaaaaaaaaaaaa",
            "repeats the same few characters",
        ),
        (15, "abcabcabcabcabcabc", "repeats the same few characters"),
        (15, "alice@example.org", "is the user name"),
    ];

    for (min_bytes, password, reason) in table {
        let refusal = Policy::new(min_bytes).check(&secret(password), "Alice@example.org");
        assert_eq!(refusal, Err(reason.to_owned()), "{password}");
    }
}

#[test]
fn lengths_at_the_bounds_are_accepted() {
    let longest: String = ('a'..='z').cycle().take(MAX_BYTES).collect();

    assert_eq!(
        Policy::new(15).check(&secret("fifteen bytes!!"), "alice"),
        Ok(())
    );
    assert_eq!(Policy::new(15).check(&secret(&longest), "alice"), Ok(()));
    assert!(
        Policy::new(15)
            .check(&secret(&format!("{longest}a")), "alice")
            .is_err()
    );
}
