use super::backends::{database_clock, same_time};
use super::*;

#[test]
fn clocks_that_disagree_are_reported() {
    let clock = Clock::system();
    let now = clock.now();

    let near = same_time("Redis", now + Duration::from_secs(1), &clock);
    let behind = same_time("Redis", now - Duration::from_mins(1), &clock);
    let ahead = same_time("Redis", now + Duration::from_mins(1), &clock);

    assert!(matches!(near, Finding::Good(_)));
    assert!(matches!(behind, Finding::Bad { .. }));
    assert!(matches!(ahead, Finding::Bad { .. }));
}

#[test]
fn a_clock_that_keeps_a_server_from_starting_is_reported_as_such() {
    let clock = Clock::system();
    let now = clock.now();
    let fault = |theirs| match database_clock(theirs, &clock) {
        Finding::Bad { fault, .. } => fault,
        Finding::Good(text) | Finding::Doubtful { doubt: text, .. } => text,
    };

    let wrong = fault(now - Duration::from_mins(20));
    let off = fault(now - Duration::from_secs(10));

    assert!(wrong.contains("no server starts"), "{wrong}");
    assert!(
        off.contains("10 s from ours") || off.contains("9 s from ours"),
        "{off}"
    );
    assert!(!off.contains("no server starts"), "{off}");
    assert!(matches!(database_clock(now, &clock), Finding::Good(_)));
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_can_read_is_reported_with_the_command_that_fixes_it() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    let set = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file.path(), permissions).unwrap();
        privacy(file.path()).unwrap()
    };

    let open = set(0o644);
    let closed = set(0o600);

    let Finding::Bad { fix, .. } = open else {
        panic!("accepted a file that everybody can read");
    };
    assert_eq!(fix, format!("chmod go= {}", file.path().display()));
    assert!(matches!(closed, Finding::Good(_)));
}

#[test]
fn a_proxy_that_nobody_named_is_doubtful_and_no_fault() {
    let found = |settings: &[(&str, &str)]| {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        proxies(&Config::load(["latchet"], settings).unwrap())
    };
    let url = ("LATCHET_PUBLIC_URL", "https://auth.example.org");

    let Some(Finding::Doubtful { fix, .. }) = found(&[url]) else {
        panic!("not noticed");
    };
    assert!(fix.contains("LATCHET_TRUSTED_PROXIES"), "{fix}");
    assert_eq!(found(&[]), None);
    assert_eq!(found(&[url, ("LATCHET_TRUSTED_PROXIES", "10.0.0.1")]), None);
}
