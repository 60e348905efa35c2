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
fn expected_response(letter: char) -> TestResponse {
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

impl TestService {
    fn with(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.sign(&claims)
    }

    fn revoked(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.deny(DenialTarget::Session(claims.sid.clone().unwrap()));
        self.sign(&claims)
    }
}

fn refresh(claims: &mut Claims) {
    claims.kind = TokenKind::Refresh;
}

fn fresh(claims: &mut Claims) {
    claims.fresh = token::FreshClaim::Yes;
}

fn everything(claims: &mut Claims) {
    fresh(claims);
    claims.roles = vec!["staff".into(), "admin".into()];
    claims.scope = Some("profile mail:read".into());
}

#[expect(clippy::cast_precision_loss, reason = "the claim is a number in JSON")]
fn fresh_for(service: &TestService, secs: i64) -> String {
    let until = service.clock.now().secs() + secs;
    service.with(|claims| claims.fresh = token::FreshClaim::Until(until as f64))
}

fn roles(service: &TestService, role: &str) -> String {
    service.with(|claims| claims.roles = vec![role.to_owned()])
}

fn scope(service: &TestService, scope: &str) -> String {
    service.with(|claims| claims.scope = Some(scope.to_owned()))
}

fn expired(service: &TestService, kind: TokenKind) -> String {
    service.with(|claims| {
        claims.kind = kind;
        claims.iat -= 10;
        claims.exp = Some(claims.iat + 5);
    })
}

/// A name, a token, and a letter for each guard.
type Row = (&'static str, String, &'static str);

fn good_tokens(service: &TestService) -> Vec<Row> {
    vec![
        ("access", service.token(), "aafkaaafssf"),
        ("fresh", service.with(fresh), "aaakaaaasss"),
        ("fresh for a while", fresh_for(service, 60), "aaakaaaasss"),
        ("no longer fresh", fresh_for(service, -60), "aafkaaafssf"),
        ("refresh", service.with(refresh), "kkkaakkkkkk"),
        ("admin", roles(service, "admin"), "aafkaaafasf"),
        ("role in capitals", roles(service, "Admin"), "aafkaaafssf"),
        ("scope", scope(service, "a mail:read b"), "aafkaaafsaf"),
        (
            "part of a scope",
            scope(service, "mail:reader"),
            "aafkaaafssf",
        ),
        ("everything", service.with(everything), "aaakaaaaaaa"),
    ]
}

fn bad_tokens(service: &TestService) -> Vec<Row> {
    let access = service.token();
    let (signed, _) = access.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", "A".repeat(86));
    vec![
        (
            "expired",
            expired(service, TokenKind::Access),
            "xxxxxxxxxxx",
        ),
        (
            "expired refresh",
            expired(service, TokenKind::Refresh),
            "xxxxxxxxxxx",
        ),
        ("forged", TestService::new().token(), "iiiiiiiiiii"),
        ("tampered", tampered, "iiiiiiiiiii"),
        ("unsigned", format!("{signed}."), "iiiiiiiiiii"),
        ("garbage", "xxx".to_owned(), "mmmmmmmmmmm"),
        ("revoked", service.revoked(|_| ()), "rrfkrrrfrrf"),
        ("revoked, fresh", service.revoked(everything), "rrrkrrrrrrr"),
        ("revoked refresh", service.revoked(refresh), "kkkrrkkkkkk"),
    ]
}

async fn check(service: &TestService, (name, token, letters): Row) {
    let app = service.app();
    let authorization = format!("Bearer {token}");
    assert_eq!(letters.len(), GUARDS.len(), "{name}");
    for (guard, letter) in GUARDS.iter().zip(letters.chars()) {
        let answer = get(&app, guard, Some(&authorization)).await;

        assert_eq!(answer, expected_response(letter), "{name} on {guard}");
    }
}

#[tokio::test]
async fn valid_tokens_pass_exactly_the_guards_they_satisfy() {
    let service = TestService::new();
    for row in good_tokens(&service) {
        check(&service, row).await;
    }
}

#[tokio::test]
async fn bad_tokens_are_refused_even_on_optional_routes() {
    let service = TestService::new();
    for row in bad_tokens(&service) {
        check(&service, row).await;
    }
}

#[tokio::test]
async fn requests_without_a_token_pass_only_optional_guards() {
    let app = TestService::new().app();
    for (guard, letter) in GUARDS.iter().zip("-----nnn---".chars()) {
        assert_eq!(
            get(&app, guard, None).await,
            expected_response(letter),
            "{guard}"
        );
    }
}
