//! Variables and files with mistakes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;

#[test]
fn variables_of_kubernetes_services_are_no_settings() {
    let env = [
        ("LATCHET_SERVICE_HOST", "10.43.0.9"),
        ("LATCHET_SERVICE_PORT_HTTP", "8080"),
        ("LATCHET_PORT", "tcp://10.43.0.9:8080"),
        ("LATCHET_PORT_8080_TCP_ADDR", "10.43.0.9"),
        ("LATCHET_METRICS_SERVICE_HOST", "10.43.0.10"),
        ("LATCHET_METRICS_PORT", "tcp://10.43.0.10:9090"),
        ("LATCHET_METRICS_PORT_9090_TCP_PROTO", "tcp"),
    ];

    assert!(load(&[], &env).is_ok());
    for name in [
        "LATCHET_METRICS_PORT",
        "LATCHET_PORT",
        "LATCHET_SERVICE_NAME",
    ] {
        let text = refusal(&[], &[(name, "9090")]);
        assert!(text.contains(&format!("unknown variable {name}")), "{text}");
    }
}

#[test]
fn urls_are_read_from_files_like_other_settings() {
    let url = "sqlite:///srv/meant.db";
    let file = file(&format!("\u{feff}{url}\r\n"));
    let path = file.path().to_str().unwrap();

    for name in ["DATABASE_URL_FILE", "LATCHET_DATABASE_URL_FILE"] {
        let config = load(&[], &[(name, path)]).unwrap();
        assert_eq!(config.database_url.expose(), url, "{name}");
    }
    assert!(
        load(&[], &[("REDIS_URL_FILE", path)])
            .unwrap()
            .redis_url
            .is_some()
    );
    let both = refusal(&[], &[("DATABASE_URL_FILE", path), ("DATABASE_URL", url)]);
    assert!(both.contains("are both set"), "{both}");
    let missing = refusal(&[], &[("DATABASE_URL_FILE", "/nowhere/url")]);
    assert!(
        missing.contains("DATABASE_URL_FILE: cannot read /nowhere/url"),
        "{missing}"
    );
}

#[test]
fn misspelled_variables_are_refused_with_the_nearest_one() {
    let table = [
        ("latchet_grace", "LATCHET_GRACE"),
        ("Latchet_Grace", "LATCHET_GRACE"),
        ("LATCHETT_GRACE", "LATCHET_GRACE"),
        ("LATCH_ACCESS_TTL", "LATCHET_ACCESS_TTL"),
        ("LATCHETACCESS_TTL", "LATCHET_ACCESS_TTL"),
        ("LATCHET-ACCESS-TTL", "LATCHET_ACCESS_TTL"),
        ("LATCHET__ACCESS_TTL", "LATCHET_ACCESS_TTL"),
        ("LATCHET_ACCESS_TTLS", "LATCHET_ACCESS_TTL"),
        ("LATCHET_ACCESSTTL", "LATCHET_ACCESS_TTL"),
        ("database_url", "DATABASE_URL"),
        ("Redis_Url", "REDIS_URL"),
        ("database_url_file", "DATABASE_URL_FILE"),
        ("LATCHET_LOGLEVEL", "LATCHET_LOG_LEVEL"),
        ("LATCHET_TLS_KEY_FILE", "LATCHET_TLS_KEY"),
        ("LATCHET_CONFIG_FILE", "LATCHET_CONFIG"),
        ("LATCHET_DATA_DIR_FILE", "LATCHET_DATA_DIR"),
    ];

    for (name, meant) in table {
        let text = refusal(&[], &[(name, "10s")]);
        assert!(
            text.contains(&format!("unknown variable {name}; did you mean `{meant}`")),
            "{name}: {text}"
        );
    }
}

#[test]
fn variables_of_other_programs_are_ignored() {
    let env = [
        ("GRACE", "1"),
        ("LISTEN", "x"),
        ("LAUNCH_CONFIG", "x"),
        ("LANG", "C"),
        ("LATEX_CONFIG", "x"),
        ("DATABASE_URLS", "x"),
        ("REDIS", "x"),
        ("HTTP_PORT", "x"),
        ("port", "x"),
    ];

    assert!(load(&[], &env).is_ok());
}

#[test]
fn the_variable_port_is_used_if_no_listen_address_is_set() {
    let file = file("listen = \"127.0.0.1:7000\"");
    let path = file.path().to_str().unwrap();
    let port = ("PORT", "9000");
    let https = ("LATCHET_PUBLIC_URL", "https://auth.example.org");
    let address =
        |args: &[&str], env: &[(&str, &str)]| load(args, env).unwrap().listen_address().to_string();

    assert_eq!(address(&[], &[port]), "127.0.0.1:9000");
    assert_eq!(load(&[], &[port]).unwrap().issuer, "http://127.0.0.1:9000");
    assert_eq!(address(&[], &[port, https]), "0.0.0.0:9000");
    assert_eq!(address(&["--listen", "8081"], &[port]), "127.0.0.1:8081");
    assert_eq!(address(&["--config", path], &[port]), "127.0.0.1:7000");
    let own = ("LATCHET_LISTEN", "localhost:6000");
    assert_eq!(address(&[], &[port, own]), "127.0.0.1:6000");
    let text = refusal(&[], &[("PORT", "http")]);
    assert!(text.starts_with("PORT: "), "{text}");
}

#[test]
fn values_that_are_not_utf8_or_hold_nul_are_refused_and_a_byte_order_mark_is_skipped() {
    let load = |name: &str, value: &[u8]| {
        let env = [(OsString::from(name), OsString::from_vec(value.to_vec()))];
        Config::load(["latchet"], env)
    };

    for (name, value) in [
        ("LATCHET_DATA_DIR", b"/srv/caf\xe9".as_slice()),
        ("DATABASE_URL", b"sqlite:///srv/caf\xe9.db"),
        ("LATCHET_ROOT_SECRET", b"\xff\xfea\0b\0"),
        ("LATCHET_ISSUER", b"a\0b"),
    ] {
        let text = load(name, value).unwrap_err().to_string();
        assert!(text.starts_with(&format!("{name}: it ")), "{text}");
    }
    assert!(load("LATCHET_GRAC\u{e9}", b"10s").is_err());
    assert!(load("PATH", b"/caf\xe9").is_ok());
    let config = load("LATCHET_ISSUER", "\u{feff}me".as_bytes()).unwrap();
    assert_eq!(config.issuer, "me");
}

#[test]
fn a_folder_whose_name_is_not_utf8_is_refused_as_a_flag_too() {
    let folder = OsString::from_vec(b"/srv/caf\xe9".to_vec());
    let args = ["latchet".into(), "--data-dir".into(), folder];

    let refused = Config::load(args, [("", ""); 0]);

    let text = refused.unwrap_err().to_string();
    assert!(text.contains("is not UTF-8"), "{text}");
}

#[test]
fn values_without_effect_are_refused() {
    let table = [
        ("LATCHET_LOG_LEVEL", "warning", "did you mean `warn`?"),
        ("LATCHET_LOG_LEVEL", "latchet", "is no log level"),
        ("LATCHET_ISSUER", "  ", "a name is empty"),
        ("LATCHET_ISSUER", "\"https://a.example\"", "quotes"),
        ("LATCHET_DATA_DIR", "'/srv'", "quotes"),
        ("LATCHET_AUDIENCE", "a,,b", "a name is empty"),
        ("LATCHET_SCOPES", "read write", "separate several by commas"),
        ("LATCHET_SCOPES", "größe", "is no scope"),
        (
            "LATCHET_ALLOWED_ORIGINS",
            "https://*.example.org",
            "wildcard",
        ),
        ("LATCHET_PUBLIC_URL", "https://*.example.org", "wildcard"),
        ("LATCHET_TRUSTED_PROXIES", "::ffff:0:0/96", "choose its own"),
        ("LATCHET_TRUSTED_PROXIES", "proxy", "is not a network"),
        ("LATCHET_MAX_CONNECTIONS", "18446744073709551615", "between"),
        ("LATCHET_MAX_CONNECTIONS", "0", "between"),
        ("LATCHET_PASSWORD_THREADS", "100000", "between"),
    ];

    for (name, value, reason) in table {
        let text = refusal(&[], &[(name, value)]);
        assert!(text.contains(reason), "{name}={value}: {text}");
    }
}

#[test]
fn spaces_around_the_items_of_a_list_do_not_matter() {
    let env = [
        ("LATCHET_AUDIENCE", "a, b"),
        ("LATCHET_SCOPES", " read , write "),
        (
            "LATCHET_TRUSTED_PROXIES",
            "10.0.0.0/8, ::ffff:192.168.0.0/112",
        ),
    ];

    let config = load(&[], &env).unwrap();

    assert_eq!(config.audience, ["a", "b"]);
    assert_eq!(config.scopes, ["read", "write"]);
    assert_eq!(config.trusted_proxies[1].to_string(), "192.168.0.0/16");
}

#[test]
fn a_setting_with_one_value_accepts_no_list() {
    let file = file("grace = [\"1s\", \"2s\"]\nissuer = []");

    let text = refusal(&["--config", file.path().to_str().unwrap()], &[]);

    assert!(
        text.contains("`grace`") && text.contains("`issuer`"),
        "{text}"
    );
    assert!(text.contains("takes one value, not a list"), "{text}");
}

#[test]
fn a_settings_file_may_begin_with_a_byte_order_mark_and_must_not_be_utf16() {
    let marked = file("\u{feff}grace = \"7s\"\r\n");
    let utf16 = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = "\u{feff}grace = \"7s\""
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(utf16.path(), bytes).unwrap();

    let config = load(&["--config", marked.path().to_str().unwrap()], &[]).unwrap();
    let text = refusal(&["--config", utf16.path().to_str().unwrap()], &[]);

    assert_eq!(config.grace, Duration::from_secs(7));
    assert!(text.contains("UTF-16"), "{text}");
}

#[test]
fn a_root_secret_is_the_same_from_a_variable_and_from_every_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let secret = |env: &[(&str, &str)]| {
        let config = load(&["--data-dir", data], env)?;
        Ok::<_, ConfigError>(RootSecret::load(&config).unwrap().expose().to_owned())
    };

    for text in [
        STRONG.to_owned(),
        format!("{STRONG}\n"),
        format!("\u{feff}{STRONG}\r\n"),
        format!("  {STRONG} \n"),
    ] {
        let other = file(&text);
        std::fs::write(folder.path().join("root-secret"), &text).unwrap();
        let path = other.path().to_str().unwrap();

        assert_eq!(secret(&[]).unwrap(), STRONG, "{text:?}");
        assert_eq!(
            secret(&[("LATCHET_ROOT_SECRET_FILE", path)]).unwrap(),
            STRONG
        );
        assert_eq!(
            secret(&[("LATCHET_ROOT_SECRET", text.as_str())]).unwrap(),
            STRONG
        );
    }
    let empty = file("\n");
    let path = empty.path().to_str().unwrap();
    let refused = secret(&[("LATCHET_ROOT_SECRET_FILE", path)]).unwrap_err();
    assert!(refused.to_string().contains("is empty"), "{refused}");
}

#[test]
fn variables_of_libpq_complete_the_url_of_a_postgresql_database_alone() {
    let secret = ("LATCHET_ROOT_SECRET", STRONG);
    let url = ("DATABASE_URL", "postgres://u@h/d");
    let binding = ("PGCHANNELBINDING", "require");

    let config = load(&[], &[secret, url, ("PGSSLMODE", "verify-full")]).unwrap();
    assert_eq!(
        config.database_url.expose(),
        "postgres://u@h/d?sslmode=verify-full"
    );
    let text = refusal(&[], &[secret, url, binding]);
    assert!(text.starts_with("PGCHANNELBINDING: "), "{text}");
    assert!(load(&[], &[binding]).is_ok(), "the database is a file");
}
