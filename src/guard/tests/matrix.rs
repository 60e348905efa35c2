//! Every kind of token on every guard.

use super::*;

const GUARDS: [&str; 11] = [
    "/required",
    "/plain",
    "/fresh",
    "/refresh",
    "/either",
    "/optional",
    "/plain-optional",
    "/optional-fresh",
    "/admin",
    "/scope",
    "/all",
];

/// One letter per guard, in the order of [`GUARDS`].
fn seen(letter: char) -> Seen {
    match letter {
        'a' => ok("alice"),
        'n' => ok("nobody"),
        '-' => refused(401, "missing_token"),
        'm' => refused(401, "malformed_token"),
        'i' => refused(401, "invalid_token"),
        'x' => refused(401, "token_expired"),
        'k' => refused(401, "wrong_token_type"),
        'r' => refused(401, "token_revoked"),
        'f' => refused(401, "fresh_token_required"),
        's' => refused(403, "insufficient_scope"),
        other => unreachable!("no such letter: {other}"),
    }
}

impl Desk {
    fn with(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.sign(&claims)
    }

    fn revoked(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.deny(Denied::Session(claims.sid.clone().unwrap()));
        self.sign(&claims)
    }
}

fn refresh(claims: &mut Claims) {
    claims.kind = Kind::Refresh;
}

fn fresh(claims: &mut Claims) {
    claims.fresh = token::Fresh::Yes;
}

fn everything(claims: &mut Claims) {
    fresh(claims);
    claims.roles = vec!["staff".into(), "admin".into()];
    claims.scope = Some("profile mail:read".into());
}

#[expect(clippy::cast_precision_loss, reason = "the claim is a number in JSON")]
fn fresh_for(desk: &Desk, secs: i64) -> String {
    let until = desk.clock.now().secs() + secs;
    desk.with(|claims| claims.fresh = token::Fresh::Until(until as f64))
}

fn roles(desk: &Desk, role: &str) -> String {
    desk.with(|claims| claims.roles = vec![role.to_owned()])
}

fn scope(desk: &Desk, scope: &str) -> String {
    desk.with(|claims| claims.scope = Some(scope.to_owned()))
}

fn expired(desk: &Desk, kind: Kind) -> String {
    desk.with(|claims| {
        claims.kind = kind;
        claims.iat -= 10;
        claims.exp = Some(claims.iat + 5);
    })
}

/// A name, a token, and a letter for each guard.
type Row = (&'static str, String, &'static str);

fn good_tokens(desk: &Desk) -> Vec<Row> {
    vec![
        ("access", desk.token(), "aafkaaafssf"),
        ("fresh", desk.with(fresh), "aaakaaaasss"),
        ("fresh for a while", fresh_for(desk, 60), "aaakaaaasss"),
        ("no longer fresh", fresh_for(desk, -60), "aafkaaafssf"),
        ("refresh", desk.with(refresh), "kkkaakkkkkk"),
        ("admin", roles(desk, "admin"), "aafkaaafasf"),
        ("role in capitals", roles(desk, "Admin"), "aafkaaafssf"),
        ("scope", scope(desk, "a mail:read b"), "aafkaaafsaf"),
        ("part of a scope", scope(desk, "mail:reader"), "aafkaaafssf"),
        ("everything", desk.with(everything), "aaakaaaaaaa"),
    ]
}

fn bad_tokens(desk: &Desk) -> Vec<Row> {
    let access = desk.token();
    let (signed, _) = access.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", "A".repeat(86));
    vec![
        ("expired", expired(desk, Kind::Access), "xxxxxxxxxxx"),
        (
            "expired refresh",
            expired(desk, Kind::Refresh),
            "xxxxxxxxxxx",
        ),
        ("forged", Desk::new().token(), "iiiiiiiiiii"),
        ("tampered", tampered, "iiiiiiiiiii"),
        ("unsigned", format!("{signed}."), "iiiiiiiiiii"),
        ("garbage", "xxx".to_owned(), "mmmmmmmmmmm"),
        ("revoked", desk.revoked(|_| ()), "rrfkrrrfrrf"),
        ("revoked, fresh", desk.revoked(everything), "rrrkrrrrrrr"),
        ("revoked refresh", desk.revoked(refresh), "kkkrrkkkkkk"),
    ]
}

async fn check(desk: &Desk, (name, token, letters): Row) {
    let app = desk.app();
    let authorization = format!("Bearer {token}");
    assert_eq!(letters.len(), GUARDS.len(), "{name}");
    for (guard, letter) in GUARDS.iter().zip(letters.chars()) {
        let answer = get(&app, guard, Some(&authorization)).await;

        assert_eq!(answer, seen(letter), "{name} on {guard}");
    }
}

#[tokio::test]
async fn good_tokens_open_what_they_are_good_for() {
    let desk = Desk::new();
    for row in good_tokens(&desk) {
        check(&desk, row).await;
    }
}

#[tokio::test]
async fn bad_tokens_open_nothing_not_even_where_none_is_needed() {
    let desk = Desk::new();
    for row in bad_tokens(&desk) {
        check(&desk, row).await;
    }
}

#[tokio::test]
async fn no_token_opens_what_is_optional() {
    let app = Desk::new().app();
    for (guard, letter) in GUARDS.iter().zip("-----nnn---".chars()) {
        assert_eq!(get(&app, guard, None).await, seen(letter), "{guard}");
    }
}
