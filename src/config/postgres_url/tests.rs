use secrecy::ExposeSecret;

use super::*;

mod parameters;
mod variables;

fn parse(rest: &str) -> PostgresUrl {
    let url = format!("postgres://{rest}");
    PostgresUrl::parse(&url).unwrap_or_else(|why| panic!("{url}: {why}"))
}

fn refusal(rest: &str) -> String {
    PostgresUrl::parse(&format!("postgres://{rest}")).unwrap_err()
}

fn hosts(url: &PostgresUrl) -> Vec<(Option<&str>, Option<u16>)> {
    let hosts = url.hosts.iter();
    hosts
        .map(|host| (host.name.as_deref(), host.port))
        .collect()
}

#[test]
fn every_form_of_host_is_parsed() {
    let socket = Some("/run/postgresql");
    let cases = [
        ("", vec![(None, None)]),
        ("/d", vec![(None, None)]),
        ("u@localhost", vec![(Some("localhost"), None)]),
        (
            "u:p@localhost:5433/d",
            vec![(Some("localhost"), Some(5433))],
        ),
        ("u:p@localhost:/d", vec![(Some("localhost"), None)]),
        ("u:p@[::1]/d", vec![(Some("::1"), None)]),
        ("u:p@[::1]:5432/d", vec![(Some("::1"), Some(5432))]),
        ("[2001:db8::1234]/d", vec![(Some("2001:db8::1234"), None)]),
        ("%2Frun%2Fpostgresql/d", vec![(socket, None)]),
        ("u@%2frun%2Fpostgresql:5433/d", vec![(socket, Some(5433))]),
        ("/d?host=/run/postgresql", vec![(socket, None)]),
        (
            "u@/d?host=%2Frun%2Fpostgresql&port=5433",
            vec![(socket, Some(5433))],
        ),
        (
            "a:1,[::1]:2,c/d",
            vec![
                (Some("a"), Some(1)),
                (Some("::1"), Some(2)),
                (Some("c"), None),
            ],
        ),
        ("/d?host=a,b", vec![(Some("a"), None), (Some("b"), None)]),
        (
            "/d?host=a,b&port=1",
            vec![(Some("a"), Some(1)), (Some("b"), Some(1))],
        ),
        (
            "/d?host=a,b&port=1,2",
            vec![(Some("a"), Some(1)), (Some("b"), Some(2))],
        ),
        ("h/d?hostaddr=::1", vec![(Some("::1"), None)]),
    ];
    for (rest, wanted) in cases {
        assert_eq!(hosts(&parse(rest)), wanted, "{rest}");
    }
}

#[test]
fn names_and_passwords_are_decoded_once() {
    let url = parse("u%40x:p%2F%25%2B+%23@h/my%20db?application_name=a+b%26c");

    assert_eq!(url.user.as_deref(), Some("u@x"));
    assert_eq!(url.password.unwrap().expose_secret(), "p/%++#");
    assert_eq!(url.database.as_deref(), Some("my db"));
    assert_eq!(url.application_name.as_deref(), Some("a+b&c"));
}

#[test]
fn parameters_win_over_the_address() {
    let url = parse("u:p@h:1/d?user=v&password=q&dbname=e&host=i&port=2");

    assert_eq!(url.user.as_deref(), Some("v"));
    assert_eq!(url.password.unwrap().expose_secret(), "q");
    assert_eq!(url.database.as_deref(), Some("e"));
    assert_eq!(url.hosts[0].to_string(), "i:2");
}

#[test]
fn every_sslmode_is_known() {
    for (text, mode) in [
        ("disable", TlsMode::Disable),
        ("allow", TlsMode::Allow),
        ("prefer", TlsMode::Prefer),
        ("require", TlsMode::Require),
        ("verify-full", TlsMode::VerifyFull),
    ] {
        assert_eq!(parse(&format!("h/d?sslmode={text}")).tls, Some(mode));
    }
    let url = parse("h/d?sslmode=verify-ca&sslrootcert=/etc/ca.pem");
    assert_eq!(url.tls, Some(TlsMode::VerifyCa));
    assert_eq!(url.root_certificate, Some(PathBuf::from("/etc/ca.pem")));
    assert_eq!(parse("h/d?ssl=true").tls, Some(TlsMode::Require));
    assert_eq!(parse("h/d").tls, None);
    let system = parse("h/d?sslmode=verify-full&sslrootcert=system");
    assert_eq!(system.root_certificate, None);
    // As libpq does.
    let alone = parse("h/d?sslrootcert=system");
    assert_eq!(alone.tls, Some(TlsMode::VerifyFull));
    assert!(alone.trusts_system_only && !url.trusts_system_only);
}

#[test]
fn the_remaining_parameters_are_used() {
    let url = parse(
        "h/d?connect_timeout=7&options=-c%20geqo%3Doff&target_session_attrs=read-write&load_balance_hosts=random&pgbouncer=true&sslcert=c.pem&sslkey=k.pem",
    );

    assert_eq!(url.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(url.options.as_deref(), Some("-c geqo=off"));
    assert_eq!(url.target, TargetSessionAttributes::Writable);
    assert!(url.is_shuffled && url.is_pooled);
    assert_eq!(url.client_certificate.unwrap().key, PathBuf::from("k.pem"));
    assert_eq!(parse("h/d?connect_timeout=0").connect_timeout, None);
    assert_eq!(parse("h/d?connect_timeout=-1").connect_timeout, None);
}

#[test]
fn with_several_servers_a_writable_one_is_required() {
    assert_eq!(parse("a,b/d").target, TargetSessionAttributes::Writable);
    assert_eq!(
        parse("a,b/d?target_session_attrs=any").target,
        TargetSessionAttributes::Any
    );
    assert_eq!(parse("a/d").target, TargetSessionAttributes::Any);
}

#[test]
fn parameters_without_effect_are_refused_with_the_reason() {
    for (rest, wanted) in [
        ("h/d?sslmode=verify-ca", "sslrootcert"),
        ("h/d?sslmode=require&sslrootcert=system", "verify-full"),
        ("h/d?sslmode=on", "sslmode is one of"),
        ("h/d?sslmode=REQUIRE", "sslmode is one of"),
        ("h/d?sslcert=c.pem", "belong together"),
        ("h/d?target_session_attrs=standby", "every login writes"),
        ("h/d?target_session_attrs=rw", "read-write"),
        ("h/d?ssl_mode=require", "did you mean `sslmode`"),
        ("h/d?schema=x", "does not know"),
        ("h/d?sslmode", "has no `=`"),
        ("h/d?connect_timeout=soon", "number of seconds"),
        ("/d?host=a,b&port=1,2,3", "as many ports"),
        ("/d?host=@abstract", "abstract"),
        ("u:100%@h/d", "%25"),
        ("u:p%zz@h/d", "%25"),
        ("u:p%00@h/d", "%00"),
        ("h:0/d", "1 to 65535"),
        ("h:99999/d", "1 to 65535"),
        ("[::1/d", "not closed"),
        ("[::1]5432/d", "after `]`"),
        ("::1/d", "in brackets"),
    ] {
        let why = refusal(rest);
        assert!(why.contains(wanted), "{rest}: {why}");
    }
}

#[test]
fn neither_refusals_nor_redacted_urls_contain_the_password() {
    for rest in [
        "u:hunter2%@h/d",
        "u:hunter2@h:x/d",
        "u:hunter2@h/d?hunter2=1",
    ] {
        assert!(!refusal(rest).contains("hunter2"), "{rest}");
    }
    let url = parse("u:hunter2@a:1,[::1]:2/d?password=hunter2");
    assert_eq!(url.redacted(), "postgres://u@a:1,[::1]:2/d");
    assert!(!format!("{url:?}").contains("hunter2"));
}
