use super::*;

mod environment;

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let args = std::iter::once("latchet").chain(args.iter().copied());
    Config::load(args, env.iter().copied())
}

fn refusal(args: &[&str], env: &[(&str, &str)]) -> String {
    match load(args, env) {
        Ok(_) => panic!("these settings were accepted: {args:?} {env:?}"),
        Err(error) => error.to_string(),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

const STRONG: &str = "uJ2rWq8kB0c5m1XyZp4vTn7aGd9eHs3f";

#[test]
fn no_settings_at_all_serve_sqlite_on_loopback() {
    let config = load(&[], &[]).unwrap();

    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8080");
    assert_eq!(config.issuer, "http://127.0.0.1:8080");
    assert_eq!(config.audience, ["http://127.0.0.1:8080"]);
    assert_eq!(config.database_url.expose(), "sqlite://./data/latchet.db");
    assert_eq!(config.access_ttl, Duration::from_mins(15));
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file = file("access_ttl = \"1m\"\nsession_ttl = \"1h\"\nidle_ttl = \"50m\"");
    let env = [
        ("LATCHET_CONFIG", file.path().to_str().unwrap()),
        ("LATCHET_ACCESS_TTL", "2m"),
        ("LATCHET_SESSION_TTL", "2h"),
    ];

    let config = load(&["--access-ttl", "3m"], &env).unwrap();

    assert_eq!(config.access_ttl, Duration::from_mins(3));
    assert_eq!(config.session_ttl, Duration::from_hours(2));
    assert_eq!(config.idle_ttl, Duration::from_mins(50));
    assert_eq!(config.grace, Duration::from_secs(10));
}

#[test]
fn a_variable_may_name_a_file_that_holds_the_value() {
    let file = file(&format!("{STRONG}\n"));
    let path = file.path().to_str().unwrap();

    let config = load(&[], &[("LATCHET_ROOT_SECRET_FILE", path)]).unwrap();

    assert_eq!(RootSecret::load(&config).unwrap().expose(), STRONG);
}

#[test]
fn lists_come_from_commas_or_toml_arrays() {
    let file = file("trusted_proxies = [\"10.0.0.0/8\", \"192.168.0.7\"]");
    let path = file.path().to_str().unwrap();

    let config = load(&["--config", path], &[("LATCHET_AUDIENCE", "a,b")]).unwrap();

    assert_eq!(config.audience, ["a", "b"]);
    assert_eq!(config.trusted_proxies.len(), 2);
}

#[test]
fn booleans_accept_words_and_default_to_false() {
    let file = file("compat_flask_jwt = true");
    let path = file.path().to_str().unwrap();

    let neither = load(&[], &[]).unwrap();
    let both = load(
        &["--config", path],
        &[("LATCHET_COMPAT_FLASK_JWT_EXTENDED", "true")],
    );

    assert!(!neither.compat_flask_jwt && !neither.compat_flask_jwt_extended);
    let both = both.unwrap();
    assert!(both.compat_flask_jwt && both.compat_flask_jwt_extended);
    for (text, meaning) in [
        ("1", true),
        ("yes", true),
        ("True", true),
        ("ON", true),
        ("0", false),
        ("no", false),
        ("False", false),
        ("off", false),
    ] {
        let config = load(&[], &[("LATCHET_COMPAT_FLASK_JWT", text)]).unwrap();
        assert_eq!(config.compat_flask_jwt, meaning, "{text}");
    }
    assert_eq!(
        refusal(&[], &[("LATCHET_COMPAT_FLASK_JWT", "maybe")]),
        "LATCHET_COMPAT_FLASK_JWT: `maybe` is neither `true` nor `false`"
    );
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let file = file("acces_ttl = \"1m\"");
    let path = file.path().to_str().unwrap();

    let key = refusal(&["--config", path], &[]);
    let variable = refusal(&[], &[("LATCHET_ACCES_TTL", "1m")]);

    assert!(
        key.ends_with("unknown key `acces_ttl`; did you mean `access_ttl`?"),
        "{key}"
    );
    assert_eq!(
        variable,
        "unknown variable LATCHET_ACCES_TTL; did you mean `LATCHET_ACCESS_TTL`?"
    );
}

#[test]
fn a_malformed_variable_is_named_and_its_password_is_not_printed() {
    let database = refusal(&[], &[("DATABASE_URL", "mysql://me:hunter2@host/db")]);
    let duration = refusal(&[], &[("LATCHET_GRACE", "10 parsecs")]);

    assert!(database.starts_with("DATABASE_URL: this is not a database URL"));
    assert!(!database.contains("hunter2"));
    assert_eq!(
        duration,
        "LATCHET_GRACE: `10 parsecs` is not a duration; write it like 10s, 15m, 12h or 30d"
    );
}

#[test]
fn unsafe_settings_are_refused_with_a_fix() {
    let postgres = ("DATABASE_URL", "postgres://localhost/latchet");
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[postgres], "set LATCHET_ROOT_SECRET"),
        (&[("LATCHET_ROOT_SECRET", "short")], "shorter than 32"),
        (
            &[("LATCHET_ROOT_SECRET", "changeme-changeme-changeme-12345")],
            "placeholder",
        ),
        (
            &[(
                "LATCHET_ROOT_SECRET",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            )],
            "same few characters",
        ),
        (
            &[("LATCHET_PUBLIC_URL", "http://auth.example.org")],
            "LATCHET_PUBLIC_URL to the https://",
        ),
        (
            &[("LATCHET_LISTEN", "0.0.0.0:80")],
            "LATCHET_PUBLIC_URL to the https://",
        ),
        (
            &[
                ("LATCHET_LISTEN", "0.0.0.0:80"),
                ("LATCHET_PUBLIC_URL", "http://localhost"),
            ],
            "listen on 127.0.0.1",
        ),
        (&[("LATCHET_TLS_CERT", "cert.pem")], "set both or neither"),
        (
            &[
                ("LATCHET_TLS_CERT", "cert.pem"),
                ("LATCHET_TLS_KEY", "key.pem"),
                ("LATCHET_PUBLIC_URL", "http://localhost:8080"),
            ],
            "terminates TLS",
        ),
        (&[("LATCHET_GRACE", "61s")], "between 0s and 60s"),
        (&[("LATCHET_MIN_PASSWORD", "7")], "between 8 and 64"),
        (&[("LATCHET_ARGON2_PASSES", "1")], "use at least 47104 KiB"),
        (
            &[("LATCHET_BOOTSTRAP_ADMIN", "root")],
            "set both or neither",
        ),
        (&[("LATCHET_TRUSTED_PROXIES", "0.0.0.0/0")], "only"),
        (
            &[("LATCHET_ALLOWED_ORIGINS", "http://app.example.org")],
            "not https",
        ),
        (
            &[("LATCHET_COMPAT_FLASK_JWT_IDENTITY", "exp")],
            "has another meaning in a token",
        ),
    ];

    for (env, way_out) in table {
        let text = refusal(&[], env);
        assert!(text.contains(way_out), "{env:?} said: {text}");
    }
}

#[test]
fn plain_http_from_other_machines_requires_a_setting() {
    let allowed = ("LATCHET_ALLOW_PLAIN_HTTP", "yes");
    let listen = ("LATCHET_LISTEN", "0.0.0.0:8080");
    let url = ("LATCHET_PUBLIC_URL", "http://192.168.1.5:8080");
    let page = ("LATCHET_ALLOWED_ORIGINS", "http://192.168.1.5:5173");

    let config = load(&[], &[allowed, listen, url, page]).unwrap();

    assert!(config.exposes_plain_http());
    assert!(!load(&[], &[allowed]).unwrap().exposes_plain_http());
    assert!(refusal(&[], &[listen, url]).contains("LATCHET_ALLOW_PLAIN_HTTP=true"));
    assert!(refusal(&[], &[listen]).contains("LATCHET_ALLOW_PLAIN_HTTP=true"));
    assert!(refusal(&[], &[allowed, listen]).contains("no address that clients can use"));
}

#[test]
fn urls_name_the_port_that_the_system_chose() {
    let listening = |env: &[(&str, &str)]| {
        let env = [&[("LATCHET_LISTEN", "127.0.0.1:0")], env].concat();
        let config = load(&[], &env).unwrap();
        let config = config.with_bound_address("127.0.0.1:4321".parse().unwrap());
        (
            config.public_url.to_string(),
            config.issuer,
            config.audience,
        )
    };
    let url = |text: &str| text.to_owned();

    let here = url("http://127.0.0.1:4321");
    assert_eq!(
        listening(&[]),
        (here.clone(), here.clone(), vec![here.clone()])
    );
    assert_eq!(
        listening(&[("LATCHET_ISSUER", "me"), ("LATCHET_AUDIENCE", "a")]),
        (here, url("me"), vec![url("a")])
    );
    let set = "https://auth.example.org";
    assert_eq!(
        listening(&[("LATCHET_PUBLIC_URL", set)]),
        (url(set), url(set), vec![url(set)])
    );
}

#[test]
fn plain_http_on_all_addresses_is_accepted_behind_a_proxy_with_tls() {
    let env = [
        ("LATCHET_LISTEN", "0.0.0.0:8080"),
        ("LATCHET_PUBLIC_URL", "https://auth.example.org/"),
    ];

    let config = load(&[], &env).unwrap();

    assert_eq!(config.public_url.as_str(), "https://auth.example.org");
}

#[test]
fn https_on_this_machine_needs_a_certificate_or_a_proxy_that_has_one() {
    let https = ("LATCHET_PUBLIC_URL", "https://localhost:8443");
    let proxy = ("LATCHET_TRUSTED_PROXIES", "127.0.0.1");

    let text = refusal(&[], &[https]);
    let config = load(&[], &[https, proxy]).unwrap();

    for way_out in ["LATCHET_TLS_CERT", "LATCHET_TRUSTED_PROXIES"] {
        assert!(text.contains(way_out), "{text}");
    }
    assert!(config.is_https());
}

#[test]
fn a_cookie_prefix_has_only_characters_of_cookie_names() {
    for good in ["latchet", "shop-staging", "a", "A_1", "_x"] {
        let config = load(&[], &[("LATCHET_COOKIE_PREFIX", good)]).unwrap();

        assert_eq!(config.cookie_prefix.as_str(), good);
    }
    let long = "x".repeat(33);
    for bad in [
        "a b",
        "a=b",
        "a;b",
        "__Host-a",
        "__secure-a",
        "ü",
        "a\"b",
        "a'",
        &long,
    ] {
        let text = refusal(&[], &[("LATCHET_COOKIE_PREFIX", bad)]);

        assert!(text.starts_with("LATCHET_COOKIE_PREFIX: `"), "{text}");
    }
    assert_eq!(load(&[], &[]).unwrap().cookie_prefix.as_str(), "latchet");
}

#[test]
fn an_origin_without_a_port_has_the_default_port_of_its_scheme() {
    for (url, port) in [
        ("https://auth.example.org", 443),
        ("https://auth.example.org:8443", 8443),
        ("http://localhost", 80),
        ("http://[::1]", 80),
        ("http://[::1]:9080", 9080),
    ] {
        assert_eq!(url.parse::<WebOrigin>().unwrap().port(), port, "{url}");
    }
}

#[test]
fn the_root_secret_is_not_taken_from_the_command_line() {
    let text = refusal(&["--root-secret", STRONG], &[]);

    assert!(text.contains("LATCHET_ROOT_SECRET_FILE"));
    assert!(!text.contains(STRONG));
}

#[cfg(unix)]
#[test]
fn a_root_secret_is_created_once_and_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = load(&["--data-dir", data.to_str().unwrap()], &[]).unwrap();

    let first = RootSecret::load(&config).unwrap();
    let second = RootSecret::load(&config).unwrap();

    assert_eq!(first.expose(), second.expose());
    assert_eq!(first.expose().len(), 43);
    let mode = std::fs::metadata(data.join("root-secret"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn processes_that_start_together_share_one_root_secret_and_leave_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = load(&["--data-dir", folder.path().to_str().unwrap()], &[]).unwrap();
    let start = std::sync::Barrier::new(8);

    let secrets: Vec<String> = std::thread::scope(|scope| {
        let threads = (0..8).map(|_| {
            scope.spawn(|| {
                start.wait();
                RootSecret::load(&config).unwrap().expose().to_owned()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });

    assert!(secrets.iter().all(|secret| secret == &secrets[0]));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn special_characters_of_the_data_folder_are_escaped_in_the_url() {
    let config = load(&["--data-dir", "/srv/a%2Fb/why?#1 2"], &[]).unwrap();

    let url = "sqlite:///srv/a%252Fb/why%3F%231%202/latchet.db";
    assert_eq!(config.database_url.expose(), url);
}

#[test]
fn a_password_is_refused_as_a_flag_and_taken_from_a_variable() {
    let url = "postgres://u:hunter2@h/d";
    let secret = ("LATCHET_ROOT_SECRET", STRONG);

    let error = load(&["--database-url", url], &[secret])
        .unwrap_err()
        .to_string();
    assert!(error.contains("LATCHET_DATABASE_URL_FILE"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    load(&["--database-url", "postgres://u@h/d"], &[secret]).unwrap();
    load(&[], &[secret, ("DATABASE_URL", url)]).unwrap();
    load(&["--redis-url", "redis://h:6379"], &[]).unwrap();
    load(&[], &[("REDIS_URL", "redis://:hunter2@h")]).unwrap();
}

#[test]
fn database_connections_is_accepted_for_postgresql_only() {
    let secret = ("LATCHET_ROOT_SECRET", STRONG);
    let postgres = ("DATABASE_URL", "postgres://u@h/d");
    let refusal = |env: &[(&str, &str)]| load(&[], env).unwrap_err().to_string();

    let config = load(
        &[],
        &[secret, postgres, ("LATCHET_DATABASE_CONNECTIONS", "1")],
    );
    assert_eq!(config.unwrap().database_connections.unwrap().get(), 1);
    assert!(refusal(&[("LATCHET_DATABASE_CONNECTIONS", "4")]).contains("SQLite"));
    for wrong in ["0", "1001", "many"] {
        refusal(&[secret, postgres, ("LATCHET_DATABASE_CONNECTIONS", wrong)]);
    }
}

#[test]
fn durations_sizes_and_rates_are_read_in_the_usual_notations() {
    assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(parse_duration("30d"), Ok(Duration::from_hours(720)));
    assert_eq!(parse_duration("900"), Ok(Duration::from_mins(15)));
    assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
    assert!(parse_duration("-1").is_err());
    assert!(parse_duration("1.5").is_err());
    assert!(parse_duration("99999999999999999999").is_err());
    assert!(parse_duration("").is_err());
    assert!(parse_duration("99999999999999999999d").is_err());
    assert_eq!(parse_size("64KiB"), Ok(65_536));
    assert_eq!(parse_size("65536"), Ok(65_536));
    assert!(parse_size("64 parsecs").is_err());
    assert_eq!(
        "10/15m".parse(),
        Ok(RateLimit {
            limit: 10,
            window: Duration::from_mins(15)
        })
    );
    assert!("0/15m".parse::<RateLimit>().is_err());
}

#[test]
fn help_groups_the_settings_and_names_their_variables() {
    let text = refusal(&["--help"], &[]);

    for part in [
        "Network:",
        "Tokens and sessions:",
        "--access-ttl <TIME>",
        "LATCHET_ACCESS_TTL",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}
