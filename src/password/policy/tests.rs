use super::*;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[test]
fn guessable_passwords_are_refused_with_the_reason() {
    let table = [
        (15, "too short", Weakness::TooShort(15)),
        (8, "football", Weakness::Common),
        (8, "FootBall", Weakness::Common),
        (15, "passwordpassword", Weakness::Common),
        (15, "aaaaaaaaaaaaaaaaaaaa", Weakness::Repetition),
        (15, "abcabcabcabcabcabc", Weakness::Repetition),
        (15, "alice@example.org", Weakness::Username),
        (15, "a long\0password!", Weakness::Nul),
    ];

    for (min_bytes, password, reason) in table {
        let refusal = PasswordPolicy::new(min_bytes).check(&secret(password), "Alice@example.org");
        assert_eq!(refusal, Err(reason), "{password}");
    }
}

/// Typical passwords of users who must enter 15 characters, with the weakness of each.
const TYPICAL: [(&str, Weakness); 20] = [
    ("passwordpassword", Weakness::Common),
    ("qwertyuiopasdfgh", Weakness::Breached),
    ("123456789012345", Weakness::Breached),
    ("iloveyou1234567", Weakness::Breached),
    ("thequickbrownfox", Weakness::Breached),
    ("The Quick Brown Fox", Weakness::Breached),
    ("CorrectHorseBatteryStaple", Weakness::Breached),
    ("correct horse battery staple", Weakness::Breached),
    ("L1verp00lFootballClub", Weakness::Breached),
    ("May-the-force-be-with-you", Weakness::Breached),
    ("thisismypassword", Weakness::Breached),
    ("thisismypassword2026!", Weakness::Guessable),
    ("ManchesterUnited1999!", Weakness::Guessable),
    ("the-quick-brown-fox-2026", Weakness::Guessable),
    ("ihatepasswords123", Weakness::Guessable),
    ("Winter2026!Winter", Weakness::Guessable),
    ("P@ssw0rdP@ssw0rd1", Weakness::Guessable),
    ("schnabeltier2026", Weakness::Context),
    ("wilhelmina-wilhelmina", Weakness::Guessable),
    ("wilhelmina@schnabeltier", Weakness::Context),
];

#[test]
fn typical_weak_passwords_of_15_bytes_are_refused_with_the_reason() {
    let policy = PasswordPolicy::new(15).with_service("auth.schnabeltier.example");

    for (password, reason) in TYPICAL {
        let refusal = policy.check(&secret(password), "wilhelmina");
        assert_eq!(refusal, Err(reason), "{password}");
    }
}

#[test]
fn a_breached_password_is_refused_however_its_letters_are_composed() {
    let policy = PasswordPolicy::new(15);

    for password in [
        "desoxyribonukleins\u{e4}ure",
        "desoxyribonukleinsa\u{308}ure",
        "DESOXYRIBONUKLEINSA\u{308}URE",
    ] {
        assert_eq!(
            policy.check(&secret(password), "alice"),
            Err(Weakness::Breached),
            "{password}"
        );
    }
}

#[test]
fn a_breached_password_with_enough_that_is_random_is_accepted() {
    let policy = PasswordPolicy::new(15);

    assert_eq!(
        policy.check(&secret("thequickbrownfox-vq7xwz"), "alice"),
        Ok(())
    );
}

#[test]
fn lengths_at_the_bounds_are_accepted() {
    // Without pattern, and the same in every run.
    let mut random = fastrand::Rng::with_seed(7);
    let longest: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(MAX_BYTES)
        .collect();

    assert_eq!(
        PasswordPolicy::new(15).check(&secret("fifteen bytes!!"), "alice"),
        Ok(())
    );
    assert_eq!(
        PasswordPolicy::new(15).check(&secret(&longest), "alice"),
        Ok(())
    );
    assert!(
        PasswordPolicy::new(15)
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
    "an otter reads the morning paper",
    "a long password of alice",
    "quite a long password",
    "not it, though long enough",
    "velvet-anchor-mulberry-tuba",
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
    let policy = PasswordPolicy::new(15).with_service("auth.example.org");

    let accepted: Vec<_> = WEAK
        .into_iter()
        .filter(|password| policy.check(&secret(password), "alice.wonder").is_ok())
        .collect();

    assert_eq!(accepted, [""; 0]);
}

#[test]
fn phrases_and_random_passwords_are_accepted() {
    let policy = PasswordPolicy::new(15).with_service("auth.example.org");

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
        let policy = PasswordPolicy::new(min_bytes);
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
        let policy = PasswordPolicy::new(15).with_service(service);
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
