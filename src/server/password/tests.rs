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

async fn verify(
    passwords: &Passwords,
    password: &str,
    stored: Option<&str>,
) -> Result<Verdict, PasswordError> {
    let seat = passwords.seat(Priority::Stranger, "").await.unwrap();
    seat.verify(secret(password), stored).await
}

#[tokio::test]
async fn a_password_is_right_and_any_other_is_wrong() {
    let passwords = passwords(CHEAP);
    let stored = passwords.hash(secret("correct horse")).await.unwrap();

    let right = verify(&passwords, "correct horse", Some(&stored));
    let wrong = verify(&passwords, "battery staple", Some(&stored));
    let nobody = verify(&passwords, "correct horse", None);

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

    let right = verify(&passwords, "correct horse", Some(OF_ANOTHER_PROGRAM));
    let wrong = verify(&passwords, "battery staple", Some(OF_ANOTHER_PROGRAM));

    assert_eq!(right.await.unwrap(), Verdict::Outdated);
    assert_eq!(wrong.await.unwrap(), Verdict::Wrong);
}

#[tokio::test]
async fn composed_and_decomposed_letters_are_one_password() {
    let passwords = passwords(CHEAP);
    let stored = passwords.hash(secret("caf\u{e9} au lait")).await.unwrap();

    let verdict = verify(&passwords, "cafe\u{301} au lait", Some(&stored));

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
        let verdict = verify(&passwords, "correct horse", Some(stored)).await;
        assert!(
            matches!(verdict, Err(PasswordError::UnknownFormat)),
            "{stored}: {verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let passwords = Passwords::start(CHEAP, 1, 1).unwrap();
    let mut seats = Vec::new();
    for _ in 0..=MORE_SEATS {
        seats.push(passwords.seat(Priority::Stranger, "").await.unwrap());
    }
    let mut waiting = Box::pin(passwords.hash(secret("correct horse")));
    assert!(poll_once(&mut waiting).await.is_none());

    let refused = passwords.hash(secret("correct horse")).await;
    drop(seats);
    let served = waiting.await;

    assert!(matches!(refused, Err(PasswordError::Busy)));
    assert!(served.is_ok());
}

/// Work of a wrong password, in KiB times passes.
async fn work_of(passwords: &Passwords, stored: Option<&str>) -> u64 {
    let before = passwords.work_done();
    let verdict = verify(passwords, "battery staple", stored).await;
    assert_eq!(verdict.unwrap(), Verdict::Wrong);
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
        let cost = Cost {
            memory_kib,
            passes,
            lanes,
        };
        let other = Passwords::start(cost, 1, 8).unwrap();
        hashes.push(other.hash(secret("correct horse")).await.unwrap());
    }
    let cost = Cost {
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
    let expensive = Cost {
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

    assert_eq!(work_of(&passwords, None).await, 64 * MOST_TIMES);
}

/// Polls a future once.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
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
        (
            15,
            "a long\0password!",
            "contains NUL, which no login may send",
        ),
    ];

    for (min_bytes, password, reason) in table {
        let refusal = Policy::new(min_bytes).check(&secret(password), "Alice@example.org");
        assert_eq!(refusal, Err(reason.to_owned()), "{password}");
    }
}

#[test]
fn lengths_at_the_bounds_are_accepted() {
    // Without pattern, and the same in every run.
    let mut random = fastrand::Rng::with_seed(7);
    let longest: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(MAX_BYTES)
        .collect();

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

/// Passwords of 15 bytes and more that people choose because 8 were not enough.
const WEAK: [&str; 60] = [
    "Password12345678",
    "P@ssw0rdP@ssw0rd1",
    "password123password",
    "passwordpassword1",
    "mypasswordispassword",
    "123456789012345",
    "1234567890123456789",
    "987654321987654321",
    "112233445566778899",
    "qwertyuiopasdfgh",
    "qwertyuiop1234567890",
    "qwertyqwerty12345",
    "QwertyQwertyQwerty!",
    "qwertzuiopasdfghjkl",
    "azertyuiopqsdfghjklm",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv",
    "!QAZ2wsx#EDC4rfv",
    "zaq12wsxcde34rfv",
    "q1w2e3r4t5y6u7i8",
    "asdfghjklasdfghjkl",
    "asdfasdfasdfasdf1",
    "abcdefghijklmno",
    "abcdefghijklmnop123",
    "zyxwvutsrqponmlk",
    "abc123abc123abc123",
    "iloveyouiloveyou",
    "iloveyou1iloveyou2",
    "ILoveYou!ILoveYou!",
    "letmeinletmeinletmein1",
    "welcome1welcome1",
    "Welcome2026Welcome2026",
    "Summer2026Summer2026",
    "summer2026winter2026",
    "football123456789",
    "footballbaseball",
    "dragon-dragon-dragon",
    "monkey_monkey_2024",
    "princessprincess1",
    "trustno1trustno1!",
    "administrator123",
    "adminadminadmin123",
    "superman12345678",
    "batmanbatman2024!",
    "michael01011990",
    "jessica19900101!!",
    "01011990010119900",
    "2026-01-01-2026-01-01",
    "aaaaaaaabbbbbbbb",
    "aaaaabbbbbccccc",
    "11111111111111111a",
    "000000000000000",
    "!!!!!!!!password",
    "drowssapdrowssap1",
    "passworddrowssap",
    "latchetlatchet1",
    "Latchet-2026-Latchet",
    "alice.wonder2026",
    "alice123alice123",
    "examplepassword1",
];

/// Phrases and random texts.
const STRONG: [&str; 16] = [
    "correct horse battery staple",
    "a long password of alice",
    "quite a long password",
    "not it, though long enough",
    "purple monkey dishwasher",
    "der Hund frisst keine Gurken",
    "k7Vq2xTzWm9pLd4",
    "wjfhqpxnvbzkrtm",
    "3f8a1c9e7b2d4056",
    "739184620571936",
    "Kaffee, Regen und die Katze",
    "fifteen bytes!!",
    "my cat hates tuesdays",
    "three blind mice ran off",
    "tr0ub4dor&3 or similar",
    "пять слов на русском языке",
];

#[test]
fn long_passwords_that_are_made_of_weak_ones_are_refused() {
    let policy = Policy::new(15).with_service("auth.example.org");

    let accepted: Vec<_> = WEAK
        .into_iter()
        .filter(|password| policy.check(&secret(password), "alice.wonder").is_ok())
        .collect();

    assert_eq!(accepted, [""; 0]);
}

#[test]
fn phrases_and_random_passwords_are_accepted() {
    let policy = Policy::new(15).with_service("auth.example.org");

    for password in STRONG {
        assert_eq!(
            policy.check(&secret(password), "alice"),
            Ok(()),
            "{password}"
        );
    }
}

#[test]
fn random_passwords_are_accepted_at_every_length_that_may_be_set() {
    let mut random = fastrand::Rng::with_seed(16);
    for (min_bytes, length, letters) in [
        (8, 8, "lower"),
        (10, 10, "lower"),
        (15, 15, "lower"),
        (15, 18, "digits"),
    ] {
        let policy = Policy::new(min_bytes);
        let refused = (0..300)
            .filter(|_| {
                let password: String = std::iter::repeat_with(|| match letters {
                    "digits" => random.digit(10),
                    _ => random.lowercase(),
                })
                .take(length)
                .collect();
                policy.check(&secret(&password), "alice").is_err()
            })
            .count();

        // Three common letters in a row can be there by chance.
        assert!(refused <= 3, "{refused} of 300: {min_bytes} {letters}");
    }
}

#[test]
fn names_of_the_account_and_the_service_are_no_secrets() {
    let check = |password: &str, username: &str, service: &str| {
        let policy = Policy::new(15).with_service(service);
        policy.check(&secret(password), username)
    };
    for (password, username, service) in [
        ("wilhelmina-2026!", "wilhelmina", "localhost"),
        ("wilhelmina.koch.1", "Wilhelmina.Koch", "localhost"),
        ("animlehliwanimlehliw", "wilhelmina", "localhost"),
        ("schnabeltier2026", "bob", "auth.schnabeltier.example"),
        (
            "schnabeltier-wilhelmina",
            "wilhelmina",
            "schnabeltier.example",
        ),
    ] {
        assert!(check(password, username, service).is_err(), "{password}");
    }
}
