use super::backends::{compare_clocks, database_clock};
use super::*;

#[test]
fn clocks_that_disagree_are_reported() {
    let clock = Clock::system();
    let now = clock.now();

    let near = compare_clocks("Redis", now + Duration::from_secs(1), &clock);
    let behind = compare_clocks("Redis", now - Duration::from_mins(1), &clock);
    let ahead = compare_clocks("Redis", now + Duration::from_mins(1), &clock);

    assert!(matches!(near, Finding::Passed(_)));
    assert!(matches!(behind, Finding::Failed { .. }));
    assert!(matches!(ahead, Finding::Failed { .. }));
}

#[test]
fn a_clock_deviation_that_prevents_a_start_is_reported() {
    let clock = Clock::system();
    let now = clock.now();
    let problem = |remote| match database_clock(remote, &clock) {
        Finding::Failed { problem, .. } => problem,
        Finding::Passed(text) | Finding::Warning { problem: text, .. } => text,
    };

    let wrong = problem(now - Duration::from_mins(20));
    let off = problem(now - Duration::from_secs(10));

    assert!(wrong.contains("no server starts"), "{wrong}");
    assert!(
        off.contains("10 s from ours") || off.contains("9 s from ours"),
        "{off}"
    );
    assert!(!off.contains("no server starts"), "{off}");
    assert!(matches!(database_clock(now, &clock), Finding::Passed(_)));
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_can_read_is_reported_with_the_command_that_fixes_it() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    let set = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file.path(), permissions).unwrap();
        check_permissions(file.path()).unwrap()
    };

    let open = set(0o644);
    let closed = set(0o600);

    let Finding::Failed { fix, .. } = open else {
        panic!("accepted a file that everybody can read");
    };
    assert_eq!(fix, format!("chmod go= {}", file.path().display()));
    assert!(matches!(closed, Finding::Passed(_)));
}

#[cfg(unix)]
#[test]
fn settings_of_root_may_be_readable_by_the_group_of_the_server() {
    const ROOT: u32 = 0;
    const LATCHET: u32 = 999;

    assert!(is_private(0o100_640, ROOT, true));
    assert!(is_private(0o100_600, LATCHET, true));
    for (mode, owner, has_own_group) in [
        (0o100_640, ROOT, false),
        (0o100_660, ROOT, true),
        (0o100_644, ROOT, true),
        (0o100_640, LATCHET, true),
    ] {
        assert!(
            !is_private(mode, owner, has_own_group),
            "{mode:o} of {owner}"
        );
    }
}

#[test]
fn a_proxy_missing_from_the_settings_is_a_warning_and_no_failure() {
    let found = |settings: &[(&str, &str)]| {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        check_proxies(&Config::load(["latchet"], settings).unwrap())
    };
    let url = ("LATCHET_PUBLIC_URL", "https://auth.example.org");

    let Some(Finding::Warning { fix, .. }) = found(&[url]) else {
        panic!("not noticed");
    };
    assert!(fix.contains("LATCHET_TRUSTED_PROXIES"), "{fix}");
    assert_eq!(found(&[]), None);
    assert_eq!(found(&[url, ("LATCHET_TRUSTED_PROXIES", "10.0.0.1")]), None);
}
