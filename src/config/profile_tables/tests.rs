use std::fmt::Write;

use crate::config::{Config, ConfigError, RootSecret};
use crate::third_party_tokens::TokenProfiles;
use latchet_guard::keys::{Algorithm, SigningKey};

const STRONG: &str = "uJ2rWq8kB0c5m1XyZp4vTn7aGd9eHs3f";

/// A settings file with one profile and one service, any line of which a test may replace.
struct SettingsFile {
    folder: tempfile::TempDir,
    profile: Vec<(&'static str, String)>,
    service: &'static str,
}

impl SettingsFile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), format!("{STRONG}\n")).unwrap();
        let key = folder.path().join("key").display().to_string();
        Self {
            profile: vec![
                ("algorithm", "\"HS256\"".to_owned()),
                ("key_file", format!("{key:?}")),
                ("lifetime", "\"1h\"".to_owned()),
                ("claims", "{ email = { user = \"username\" } }".to_owned()),
                ("users", "\"any\"".to_owned()),
            ],
            service: "shop",
            folder,
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.profile.retain(|(known, _)| *known != name);
        self.profile.push((name, value.into()));
        self
    }

    /// Writes another key.
    fn key(self, text: &str) -> Self {
        std::fs::write(self.folder.path().join("key"), text).unwrap();
        self
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = self.folder.path();
        std::fs::write(folder.join("secret"), STRONG).unwrap();
        let mut text = "[token_profiles.iterable]\n".to_owned();
        for (name, value) in &self.profile {
            writeln!(text, "{name} = {value}").unwrap();
        }
        let secret = folder.join("secret").display().to_string();
        let service = self.service;
        writeln!(text, "[token_services.{service}]\nsecret_file = {secret:?}").unwrap();
        std::fs::write(folder.join("latchet.toml"), text).unwrap();
        let file = folder.join("latchet.toml");
        let args = ["latchet", "--config", file.to_str().unwrap()];
        Config::load(args, env.iter().copied())
    }

    fn refusal(&self, env: &[(&str, &str)]) -> String {
        match self.load(env) {
            Ok(config) => panic!("these settings were accepted: {:?}", config.tables),
            Err(error) => error.to_string(),
        }
    }
}

#[test]
fn a_profile_is_read_from_a_table_of_the_file() {
    let settings = SettingsFile::new()
        .with(
            "claims",
            "{ userId = { user = \"id\" }, plan = { constant = \"pro\" } }",
        )
        .with("services", "[\"shop\"]");

    let config = settings.load(&[]).unwrap();

    let profile = &config.tables.profiles["iterable"];
    assert_eq!(profile.lifetime.as_secs(), 3600);
    assert_eq!(profile.claims.len(), 2);
    assert_eq!(profile.services, ["shop"]);
    assert_eq!(
        profile.read_key().unwrap().private_bytes(),
        STRONG.as_bytes()
    );
    assert_eq!(config.tables.files().count(), 2);
}

#[test]
fn unsafe_or_useless_profiles_are_refused_with_a_fix() {
    let table = [
        ("lifetime", "\"366d\"", "between 1s and 365d"),
        ("lifetime", "\"0s\"", "between 1s and 365d"),
        ("lifetime", "\"soon\"", "is not a duration"),
        ("users", "\"none\"", "nobody may request"),
        ("users", "\"all\"", "unknown variant `all`"),
        ("services", "[\"bank\"]", "add [token_services.bank]"),
        ("claims", "{}", "would name no user"),
        (
            "claims",
            "{ plan = { constant = 1 } }",
            "would name no user",
        ),
        (
            "claims",
            "{ sub = { user = \"id\" }, type = { constant = \"access\" } }",
            "the claim `type` cannot be set here",
        ),
        ("claims", "{ exp = { user = \"id\" } }", "the claim `exp`"),
        (
            "claims",
            "{ email = { user = \"password\" } }",
            "unknown variant `password`",
        ),
        ("algorithm", "\"HS512\"", "unknown algorithm `HS512`"),
        ("algorithm", "\"RS256\"", "no private key in PEM"),
        ("key_file", "\"no/such/file\"", "cannot read no/such/file"),
        ("secret", "\"in the open\"", "unknown field `secret`"),
    ];

    for (name, value, way_out) in table {
        let text = SettingsFile::new().with(name, value).refusal(&[]);
        assert!(text.contains(way_out), "{name} = {value} said: {text}");
        assert!(text.contains("iterable"), "which profile? {text}");
        assert!(!text.contains("in the open"), "{text}");
    }
}

#[test]
fn weak_third_party_keys_are_refused() {
    let rsa_1024 = include_str!("../../../guard/tests/guard/keys/fixtures/rsa1024-pkcs8.pem");
    let ec = SigningKey::generate(Algorithm::Es256).unwrap();
    let ec = ec.to_pem().unwrap();
    let ec = secrecy::ExposeSecret::expose_secret(&ec);
    let table = [
        (
            "\"HS256\"",
            "short",
            "at least 32 random bytes, this one has 5",
        ),
        (
            "\"HS256\"",
            "changeme-changeme-changeme-changeme",
            "placeholder",
        ),
        (
            "\"HS256\"",
            "abababababababababababababababababab",
            "repeats itself",
        ),
        ("\"RS256\"", rsa_1024, "at least 2048 bits"),
        ("\"EdDSA\"", ec, "this key is for ES256, not for EdDSA"),
    ];

    for (algorithm, key, reason) in table {
        let text = SettingsFile::new()
            .with("algorithm", algorithm)
            .key(key)
            .refusal(&[]);
        assert!(text.contains(reason), "{text}");
        assert!(!text.contains(key), "{text}");
    }
}

#[test]
fn a_weak_secret_of_a_service_is_refused() {
    let settings = SettingsFile::new();
    settings.load(&[]).unwrap();
    let secret = settings.folder.path().join("weak");
    std::fs::write(&secret, "secret").unwrap();
    let file = settings.folder.path().join("latchet.toml");
    let text = format!(
        "[token_services.shop]\nsecret_file = {:?}",
        secret.display().to_string()
    );
    std::fs::write(&file, text).unwrap();

    let args = ["latchet", "--config", file.to_str().unwrap()];
    let error = Config::load(args, [] as [(String, String); 0]).unwrap_err();

    assert!(error.to_string().contains("token_services.shop"), "{error}");
    assert!(error.to_string().contains("at least 32"), "{error}");
}

#[test]
fn the_root_secret_is_refused_as_a_third_party_key() {
    let (settings, other) = (SettingsFile::new(), "zR8mQw2kB0c5m1XyZp4vTn7aGd9eHs3f");
    let config = |root| settings.load(&[("LATCHET_ROOT_SECRET", root)]).unwrap();
    let open = |config: &Config| {
        let root = RootSecret::load(config).unwrap();
        TokenProfiles::open(&config.tables, &root)
    };

    let refused = open(&config(STRONG)).unwrap_err().to_string();

    assert!(refused.contains("this is the root secret"), "{refused}");
    assert!(open(&config(other)).is_ok());
}

#[test]
fn email_claims_from_user_names_are_refused_while_registration_is_open() {
    let open = [("LATCHET_REGISTRATION", "open")];

    let text = SettingsFile::new().refusal(&open);

    assert!(text.contains("set LATCHET_REGISTRATION=closed"), "{text}");
    let by_id = SettingsFile::new().with("claims", "{ userId = { user = \"id\" } }");
    assert!(by_id.load(&open).is_ok());
}

#[test]
fn service_names_that_do_not_fit_into_a_url_are_refused() {
    let mut settings = SettingsFile::new();
    settings.service = "\"a:b\"";

    assert!(settings.refusal(&[]).contains("1 to 64 letters"));
}
