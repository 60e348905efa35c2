//! Refuses settings that are unsafe or contradict each other: all at once, each with a fix.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{
    AllowedOrigin, Config, ConfigError, DatabaseKind, MailMode, RootSecret, RootSecretError,
    SmtpUrl,
};
use crate::names::USERNAME_CLAIM;
use latchet_guard::token::{Claims, NARROWED_CLAIM};

/// OWASP's table for argon2id with one lane: number of passes and minimum memory in KiB.
const OWASP_ARGON2_MINIMUMS: [(u32, u32); 5] = [
    (1, 47_104),
    (2, 19_456),
    (3, 12_288),
    (4, 9_216),
    (5, 7_168),
];
const MINUTE: Duration = Duration::from_mins(1);

/// Returns a duration in the syntax of the settings; `Debug` writes zero as `0ns`.
fn duration_text(duration: Duration) -> String {
    if duration.is_zero() {
        "0s".to_owned()
    } else {
        format!("{duration:?}")
    }
}

impl Config {
    /// Checks that a server with these settings would be safe.
    ///
    /// # Errors
    /// Every reason against it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        self.check_network(&mut faults);
        self.check_origins(&mut faults);
        self.check_data_dir(&mut faults);
        self.check_secret(&mut faults);
        self.check_times(&mut faults);
        self.check_sessions(&mut faults);
        self.check_storage(&mut faults);
        self.check_accounts(&mut faults);
        self.check_mail(&mut faults);
        self.check_compat(&mut faults);
        self.tables.check(self.registration, &mut faults);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Refused(faults))
        }
    }

    fn check_network(&self, faults: &mut Vec<String>) {
        let mut refuse = |text: String| faults.push(text);
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            refuse("tls_cert and tls_key belong together: set both or neither".to_owned());
        }
        if self.tls_cert.is_some() && !self.public_url.is_https() {
            refuse(format!(
                "this server terminates TLS, but public_url is {}: set LATCHET_PUBLIC_URL to the https:// address that clients use",
                self.public_url
            ));
        }
        let listen = self.listen_address();
        let is_plain = !self.public_url.is_https() && !self.allow_plain_http;
        if is_plain && !self.public_url.is_loopback() {
            refuse(format!(
                "passwords and tokens would be sent unencrypted to {}: put a proxy with TLS in front, or set LATCHET_TLS_CERT and LATCHET_TLS_KEY, and set LATCHET_PUBLIC_URL to the https:// address that clients use (for a test in a private network, LATCHET_ALLOW_PLAIN_HTTP=true)",
                self.public_url
            ));
        } else if is_plain && !listen.ip().is_loopback() {
            refuse(format!(
                "listening on {listen} accepts plain http from other machines: listen on 127.0.0.1, or set LATCHET_PUBLIC_URL to the https:// address of the proxy in front (for a test in a private network, LATCHET_ALLOW_PLAIN_HTTP=true, and LATCHET_PUBLIC_URL to the http:// address that clients use)"
            ));
        }
        // A proxy for development may be on this machine: Caddy, or one with a certificate of mkcert.
        let has_proxy = !self.trusted_proxies.is_empty();
        let is_https_here = self.public_url.is_loopback() && self.public_url.is_https();
        if is_https_here && self.tls_cert.is_none() && !has_proxy {
            refuse(format!(
                "public_url is {}, but nothing terminates TLS there: set LATCHET_TLS_CERT and LATCHET_TLS_KEY, or name the proxy that does in LATCHET_TRUSTED_PROXIES, or use http:// for development",
                self.public_url
            ));
        }
        for proxies in &self.trusted_proxies {
            if proxies.prefix_len() == 0 {
                refuse(format!(
                    "trusted_proxies {proxies} lets every client choose its own address: name only the networks of your proxies"
                ));
            }
        }
        for origin in self.allowed_origins.iter().filter_map(AllowedOrigin::web) {
            if !origin.is_https() && !origin.is_loopback() && !self.allow_plain_http {
                refuse(format!(
                    "allowed_origins {origin} is not https: anyone on the network path could act as its pages"
                ));
            }
        }
    }

    /// Refuses origins that match no request: an origin is compared as a whole, and clients never use
    /// 0.0.0.0.
    fn check_origins(&self, faults: &mut Vec<String>) {
        if self.allow_plain_http && self.public_url.is_unspecified() {
            faults.push(format!(
                "public_url {} is no address that clients can use: set LATCHET_PUBLIC_URL to the http:// address of this machine",
                self.public_url
            ));
        }
        let origins = self.allowed_origins.iter().map(AllowedOrigin::as_str);
        let origins = origins.chain([self.public_url.as_str()]);
        for origin in origins.filter(|origin| origin.contains('*')) {
            faults.push(format!(
                "{origin} has a wildcard, and would match nothing: name each origin"
            ));
        }
    }

    /// Checks a configured secret. The file in the data folder is read when the server starts.
    fn check_secret(&self, faults: &mut Vec<String>) {
        if self.root_secret_previous.is_some()
            && let Err(error) = RootSecret::find_previous(self)
        {
            faults.push(error.to_string());
        }
        if self.root_secret.is_none() && self.database_url.kind() == DatabaseKind::Sqlite {
            return;
        }
        if let Err(error @ (RootSecretError::Weak(_) | RootSecretError::Missing)) =
            RootSecret::load(self)
        {
            faults.push(error.to_string());
        }
    }

    fn check_mail(&self, faults: &mut Vec<String>) {
        let mut refuse = |text: String| faults.push(text);
        if let Some(url) = &self.smtp_url
            && let Err(fault) = SmtpUrl::parse(url.expose_secret())
        {
            refuse(format!("smtp_url cannot be used: {fault}"));
        }
        if let Some(from) = &self.mail_from
            && !is_sender(from)
        {
            refuse(format!(
                "mail_from {from:?} is no sender: write it like `Example <no-reply@example.org>`, with the domain in ASCII"
            ));
        }
        if self.mail_mode() != MailMode::Smtp {
            return;
        }
        if self.smtp_url.is_none() {
            refuse(
                "mail is `smtp`, but there is no smtp_url: set LATCHET_SMTP_URL, or LATCHET_MAIL to `log` or `off`"
                    .to_owned(),
            );
        }
        if self.mail_from.is_none() {
            refuse(
                "mails need a sender: set LATCHET_MAIL_FROM, such as `Example <no-reply@example.org>`"
                    .to_owned(),
            );
        }
    }

    fn check_compat(&self, faults: &mut Vec<String>) {
        let name = &self.compat_flask_jwt_identity;
        if name.is_empty()
            || Claims::has_field(name)
            || [NARROWED_CLAIM, USERNAME_CLAIM].contains(&&**name)
        {
            faults.push(format!(
                "compat_flask_jwt_identity is `{name}`, which is empty or has another meaning in a token: use the name that your apps read, such as `identity`"
            ));
        }
    }

    /// Refuses a folder that does not fit into the URL of the database, which is text.
    fn check_data_dir(&self, faults: &mut Vec<String>) {
        if self.data_dir.to_str().is_none() {
            faults.push(format!(
                "data_dir {} is not UTF-8: give the folder another name",
                self.data_dir.display()
            ));
        }
    }

    fn check_sessions(&self, faults: &mut Vec<String>) {
        const MOST: u32 = 1000;
        if self.max_sessions.get() > MOST {
            faults.push(format!(
                "max_sessions is {}; it must be between 1 and {MOST}",
                self.max_sessions
            ));
        }
    }

    fn check_storage(&self, faults: &mut Vec<String>) {
        const MOST: u32 = 1000;
        let Some(connections) = self.database_connections else {
            return;
        };
        if self.database_url.kind() == DatabaseKind::Sqlite {
            faults.push(
                "database_connections is for PostgreSQL, and the database is a SQLite file: leave it out"
                    .to_owned(),
            );
        } else if connections.get() > MOST {
            faults.push(format!(
                "database_connections is {connections}; it must be between 1 and {MOST}"
            ));
        }
    }

    fn check_times(&self, faults: &mut Vec<String>) {
        let mut between = |name: &str, value: Duration, least: Duration, most: Duration| {
            if value < least || value > most {
                faults.push(format!(
                    "{name} is {}; it must be between {} and {}",
                    duration_text(value),
                    duration_text(least),
                    duration_text(most)
                ));
            }
        };
        let year = MINUTE * 60 * 24 * 366;
        between("grace", self.grace, Duration::ZERO, MINUTE);
        between("leeway", self.leeway, Duration::ZERO, MINUTE);
        between(
            "access_ttl",
            self.access_ttl,
            Duration::from_secs(10),
            MINUTE * 60 * 24,
        );
        between("session_ttl", self.session_ttl, self.access_ttl, year * 2);
        between("idle_ttl", self.idle_ttl, self.access_ttl, year * 2);
        between(
            "collect_every",
            self.collect_every,
            Duration::from_secs(1),
            MINUTE * 60 * 24,
        );
        between(
            "event_retention",
            self.event_retention,
            MINUTE * 60 * 24,
            MINUTE * 60 * 24 * 3660,
        );
        between(
            "header_timeout",
            self.header_timeout,
            Duration::from_millis(100),
            MINUTE * 5,
        );
        between(
            "request_timeout",
            self.request_timeout,
            Duration::from_millis(100),
            MINUTE * 60,
        );
        between(
            "idle_timeout",
            self.idle_timeout,
            Duration::from_millis(100),
            MINUTE * 60,
        );
        between("drain_delay", self.drain_delay, Duration::ZERO, MINUTE * 60);
        between(
            "drain_timeout",
            self.drain_timeout,
            Duration::ZERO,
            MINUTE * 60,
        );
    }

    fn check_accounts(&self, faults: &mut Vec<String>) {
        let mut refuse = |text: String| faults.push(text);
        if !(8..=64).contains(&self.min_password) {
            refuse(format!(
                "min_password is {}; it must be between 8 and 64 bytes",
                self.min_password
            ));
        }
        let (memory, passes) = (self.argon2_memory_kib, self.argon2_passes);
        let least = OWASP_ARGON2_MINIMUMS
            .iter()
            .rev()
            .find(|(row, _)| *row <= passes);
        if least.is_none_or(|(_, least)| memory < *least) {
            refuse(format!(
                "argon2 with {memory} KiB and {passes} passes is weaker than OWASP's table: use at least {} KiB, or more passes",
                least.unwrap_or(&OWASP_ARGON2_MINIMUMS[0]).1
            ));
        }
        if !(1..=16).contains(&self.argon2_lanes) || memory > 4 << 20 || passes > 100 {
            refuse("argon2 takes 1 to 16 lanes, at most 4 GiB and at most 100 passes".to_owned());
        }
        if self.bootstrap_admin.is_some() != self.bootstrap_admin_password_file.is_some() {
            refuse("bootstrap_admin and bootstrap_admin_password_file belong together: set both or neither".to_owned());
        }
        if self
            .password_threads
            .is_some_and(|threads| !(1..=1024).contains(&threads))
        {
            refuse("password_threads must be between 1 and 1024".to_owned());
        }
        if !(1..=1_000_000).contains(&self.max_connections) {
            refuse("max_connections must be between 1 and 1000000".to_owned());
        }
        if !(1 << 10..=16 << 20).contains(&self.body_limit) {
            refuse("body_limit must be between 1KiB and 16MiB".to_owned());
        }
    }
}

/// Returns whether mails can have this sender, also at mail servers that accept addresses in ASCII alone.
fn is_sender(text: &str) -> bool {
    let sender = text.parse::<lettre::message::Mailbox>();
    sender.is_ok_and(|sender| AsRef::<str>::as_ref(&sender.email).is_ascii())
}
