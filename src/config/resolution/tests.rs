use super::*;
use crate::config::Config;

fn resolve_with(args: &[&str], env: &[(&str, &str)]) -> Resolution<Config> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let env: Vec<(OsString, OsString)> = env
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    resolve(&args, &env).unwrap()
}

fn setting<'a>(resolution: &'a Resolution<Config>, name: &str) -> &'a ResolvedSetting {
    let mut settings = resolution.settings.iter();
    settings.find(|setting| setting.name == name).unwrap()
}

#[test]
fn each_source_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (toml, grace) = (folder.path().join("a.toml"), folder.path().join("grace"));
    std::fs::write(&toml, "leeway = \"5s\"\nscopes = [\"a\", \"b\"]\n").unwrap();
    std::fs::write(&grace, "7s\n").unwrap();
    let (toml, grace) = (toml.to_str().unwrap(), grace.to_str().unwrap());

    let resolution = resolve_with(
        &["latchet", "--idle-ttl", "3d", "--config", toml],
        &[
            ("LATCHET_GRACE_FILE", grace),
            ("REDIS_URL", "redis://cache"),
        ],
    );

    assert_eq!(resolution.faults, Vec::<String>::new());
    for (name, value, source) in [
        ("idle_ttl", "3d", "option --idle-ttl".to_owned()),
        ("leeway", "5s", format!("key leeway in {toml}")),
        (
            "grace",
            "7s",
            format!("file {grace}, named by LATCHET_GRACE_FILE"),
        ),
        (
            "redis_url",
            "redis://cache",
            "variable REDIS_URL".to_owned(),
        ),
        ("access_ttl", "15m", "default".to_owned()),
        ("issuer", "http://127.0.0.1:8080", "default".to_owned()),
    ] {
        let setting = setting(&resolution, name);
        assert_eq!(setting.value, PrintableValue::Text(value.to_owned()));
        assert_eq!(setting.source.to_string(), source);
    }
    let scopes = PrintableValue::List(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(setting(&resolution, "scopes").value, scopes);
    assert_eq!(
        setting(&resolution, "tls_cert").value,
        PrintableValue::NotSet
    );
}

#[test]
fn every_fault_is_found_and_no_malformed_value_is_printed() {
    let resolution = resolve_with(
        &["latchet"],
        &[
            ("LATCHET_GRACE", "hunter2"),
            ("LATCHET_LISTEN", "nowhere at all"),
            ("LATCHET_REGISTRATION", "maybe"),
            ("LATCHET_NONSENSE", "1"),
        ],
    );

    let faults = resolution.faults.join("\n");
    for name in ["GRACE", "LISTEN", "REGISTRATION", "NONSENSE"] {
        assert!(faults.contains(&format!("LATCHET_{name}")), "{faults}");
    }
    assert_eq!(resolution.faults.len(), 4, "{faults}");
    assert_eq!(
        setting(&resolution, "grace").value,
        PrintableValue::Malformed
    );
    assert!(!format!("{:?}", resolution.settings).contains("hunter2"));
}

#[test]
fn passwords_in_urls_are_masked_even_when_they_are_not_escaped() {
    for (url, printed) in [
        (
            "postgres://latchet@db/latchet",
            "postgres://latchet@db/latchet",
        ),
        (
            "postgres://latchet:pw@db/latchet",
            "postgres://latchet:********@db/latchet",
        ),
        (
            "redis://:p@s/s:x@cache:6379/1",
            "redis://:********@cache:6379/1",
        ),
        (
            "redis://cache?sentinel_password=pw&db=1",
            "redis://cache?sentinel_password=********&db=1",
        ),
        (
            "postgres://db/x?user=a&password=pw",
            "postgres://db/x?user=a&password=********",
        ),
        (
            "postgres://db/x?p%61ssword=pw",
            "postgres://db/x?p%61ssword=********",
        ),
        ("sqlite:data/latchet.db", "sqlite:data/latchet.db"),
        ("redis:pw@cache", "redis:********"),
    ] {
        assert_eq!(mask_url(url), printed);
    }
}

#[test]
fn secrets_are_masked() {
    let secret = "r7Jq2xW9vTz4LmN8bKc3PdHs6FgYtQaE";
    let resolution = resolve_with(
        &["latchet"],
        &[
            ("LATCHET_ROOT_SECRET", secret),
            ("DATABASE_URL", "postgres://latchet:hunter2@db/latchet"),
            ("REDIS_URL", "redis://:hunter2@cache"),
        ],
    );
    let printed = format!("{:?}", resolution.settings);

    assert!(
        !printed.contains(secret) && !printed.contains("hunter2"),
        "{printed}"
    );
    let table: toml::Table = "[token_services.a]\nsecret = \"hunter2\"\nsecret_file = \"/s\"\n"
        .parse()
        .unwrap();
    let masked = mask_table(table).to_string();
    assert!(
        !masked.contains("hunter2") && masked.contains("\"/s\""),
        "{masked}"
    );
}
