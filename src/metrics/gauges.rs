//! Gauges, whose values are read when the metrics are scraped.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::App;
use crate::denylist::DenylistHealth;
use crate::logging;
use crate::middleware::BodyBudget;
use crate::queue_level::QueueLevel;
use crate::readiness::Readiness;
use crate::serve::TlsCertificate;
use crate::store::{PoolStatus, free_disk_bytes};

/// A gauge, perhaps with labels. Without a value it is left out of the metrics.
type LabelledGauge = Family<Vec<(&'static str, String)>, Gauge>;

/// The gauges of a server.
#[derive(Debug)]
pub(super) struct Gauges {
    build_info: LabelledGauge,
    ready: LabelledGauge,
    clock_trusted: LabelledGauge,
    denylist_trusted: LabelledGauge,
    redis_connected: LabelledGauge,
    database_connections: LabelledGauge,
    database_connections_max: LabelledGauge,
    database_requests_waiting: LabelledGauge,
    database_disk_free: LabelledGauge,
    passwords_waiting: LabelledGauge,
    passwords_waiting_max: LabelledGauge,
    passwords_refused: Counter,
    refreshes_waiting: LabelledGauge,
    refreshes_waiting_max: LabelledGauge,
    body_bytes: LabelledGauge,
    body_bytes_max: LabelledGauge,
    log_queue_bytes: LabelledGauge,
    log_queue_bytes_max: LabelledGauge,
    log_lines_lost: Counter,
    mails_waiting: LabelledGauge,
    mails: Family<Vec<(&'static str, String)>, Counter>,
    certificate_expiry: LabelledGauge,
    body_budget: OnceLock<BodyBudget>,
    certificate: OnceLock<TlsCertificate>,
}

impl Gauges {
    #[expect(
        clippy::too_many_lines,
        reason = "a list of names with their texts, which no part of the function uses twice"
    )]
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = LabelledGauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let gauges = Self {
            build_info: gauge("build_info", "1, with the version of the program"),
            ready: gauge(
                "ready",
                "1 if `/readyz` reports that requests can be served",
            ),
            clock_trusted: gauge(
                "clock_trusted",
                "1 while the clock of this machine agrees with that of the database",
            ),
            denylist_trusted: gauge(
                "denylist_trusted",
                "1 while checks use the configured denylist; 0 while they query SQL instead, or fail",
            ),
            redis_connected: gauge(
                "redis_connected",
                "1 while there is a connection to Redis; absent without Redis",
            ),
            database_connections: gauge(
                "database_connections",
                "Connections to the database, in_use or idle; SQLite has three pools",
            ),
            database_connections_max: gauge(
                "database_connections_max",
                "Maximum number of connections to the database",
            ),
            database_requests_waiting: gauge(
                "database_requests_waiting",
                "Requests that wait for a connection to PostgreSQL",
            ),
            database_disk_free: gauge(
                "database_disk_free_bytes",
                "Free space on the disk of the SQLite file",
            ),
            passwords_waiting: gauge(
                "passwords_waiting",
                "Passwords that wait for a hashing thread",
            ),
            passwords_waiting_max: gauge(
                "passwords_waiting_max",
                "Maximum number of passwords that wait, of all four classes together",
            ),
            refreshes_waiting: gauge(
                "refreshes_waiting",
                "Refreshes that wait for the next batch",
            ),
            refreshes_waiting_max: gauge(
                "refreshes_waiting_max",
                "Maximum number of refreshes that wait; more are refused with 503",
            ),
            body_bytes: gauge(
                "body_bytes",
                "Memory for request bodies that are incomplete or in use",
            ),
            body_bytes_max: gauge(
                "body_bytes_max",
                "Maximum memory for request bodies; more are refused with 503",
            ),
            log_queue_bytes: gauge("log_queue_bytes", "Log lines that wait to be written"),
            log_queue_bytes_max: gauge(
                "log_queue_bytes_max",
                "Maximum size of the log lines that wait; more are lost",
            ),
            mails_waiting: gauge(
                "mails_waiting",
                "Mails in the outbox, of all servers; absent while the database does not respond, and without mail",
            ),
            certificate_expiry: gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "Time at which the first certificate of a served chain expires, in unix seconds",
            ),
            mails: Family::default(),
            passwords_refused: Counter::default(),
            log_lines_lost: Counter::default(),
            body_budget: OnceLock::new(),
            certificate: OnceLock::new(),
        };
        registry.register(
            "passwords_refused",
            "Passwords that were refused with 503, because too many were waiting",
            gauges.passwords_refused.clone(),
        );
        registry.register(
            "mails",
            "Mails of this server: sent, postponed after a failed attempt, or given up",
            gauges.mails.clone(),
        );
        registry.register(
            "log_lines_lost",
            "Log lines that could not be written, because the reader hangs or has ended or the disk is full",
            gauges.log_lines_lost.clone(),
        );
        gauges
    }

    /// Reports the use of this budget, if none was set before.
    pub(super) fn watch_body_budget(&self, budget: BodyBudget) {
        let _ = self.body_budget.set(budget);
    }

    /// Reports the expiry of this certificate, also of those that replace it.
    pub(super) fn watch_certificate(&self, certificate: TlsCertificate) {
        let _ = self.certificate.set(certificate);
    }

    /// Reads all values.
    pub(super) fn update(&self, app: &App, readiness: Option<&Readiness>) {
        let version = env!("CARGO_PKG_VERSION");
        set(&self.build_info, &[("version", version)], 1_u8);
        // A check that takes too long is as good as one that fails.
        let is_ready = readiness.is_some_and(Readiness::is_ready);
        set(&self.ready, &[], is_ready);
        if let Some(readiness) = readiness {
            set(&self.clock_trusted, &[], readiness.clock);
        }
        let denylist = &app.revocations.denylist;
        let is_trusted = matches!(denylist.health(), DenylistHealth::Healthy);
        set(&self.denylist_trusted, &[], is_trusted);
        if let Some(is_connected) = denylist.is_redis_connected() {
            set(&self.redis_connected, &[], is_connected);
        }
        self.update_database(app);
        self.update_queues(app);
        if let Some(certificate) = self.certificate.get()
            && let Some(time) = certificate.expires_at()
        {
            let file = certificate.file().display().to_string();
            set(&self.certificate_expiry, &[("file", &file)], time.secs());
        }
    }

    fn update_database(&self, app: &App) {
        for status in app.store.pool_status() {
            let PoolStatus { pool, .. } = status;
            for (state, count) in [("in_use", status.in_use), ("idle", status.idle)] {
                let labels = [("pool", pool), ("state", state)];
                set(&self.database_connections, &labels, count);
            }
            set(
                &self.database_connections_max,
                &[("pool", pool)],
                status.max,
            );
            if let Some(waiting) = status.waiting {
                set(&self.database_requests_waiting, &[("pool", pool)], waiting);
            }
        }
        if let Some(bytes) = free_disk_bytes(&app.config.database_url) {
            set(&self.database_disk_free, &[], bytes);
        }
    }

    /// Sets the number of mails that wait.
    pub(super) fn update_mails(&self, app: &App, waiting: Option<u64>) {
        let Some(sender) = &app.mail_sender else {
            return;
        };
        match waiting {
            Some(waiting) => set(&self.mails_waiting, &[], waiting),
            None => self.mails_waiting.clear(),
        }
        let counters = sender.counters();
        for (outcome, counter) in [
            ("sent", &counters.sent),
            ("postponed", &counters.postponed),
            ("given_up", &counters.given_up),
        ] {
            let shown = self
                .mails
                .get_or_create(&vec![("outcome", outcome.to_owned())]);
            shown.inner().store(counter.get(), Ordering::Relaxed);
        }
    }

    fn update_queues(&self, app: &App) {
        let passwords = &app.accounts.passwords;
        set(&self.passwords_waiting, &[], passwords.waiting());
        set(&self.passwords_waiting_max, &[], passwords.queue_capacity());
        let refused = self.passwords_refused.inner();
        refused.store(passwords.refused(), Ordering::Relaxed);
        let lost = self.log_lines_lost.inner();
        lost.store(logging::lost_lines(), Ordering::Relaxed);
        let refreshes = app.store.refresh_queue();
        let level = [&self.refreshes_waiting, &self.refreshes_waiting_max];
        set_level(level, Some(refreshes));
        let bodies = self.body_budget.get().map(BodyBudget::level);
        set_level([&self.body_bytes, &self.body_bytes_max], bodies);
        let log = [&self.log_queue_bytes, &self.log_queue_bytes_max];
        set_level(log, logging::queue_level());
    }
}

fn set_level([used, max]: [&LabelledGauge; 2], level: Option<QueueLevel>) {
    if let Some(level) = level {
        set(used, &[], level.used);
        set(max, &[], level.max);
    }
}

fn set(gauge: &LabelledGauge, labels: &[(&'static str, &str)], value: impl TryInto<i64>) {
    let labels = labels.iter();
    let labels: Vec<_> = labels
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    let value = value.try_into().unwrap_or(i64::MAX);
    gauge.get_or_create(&labels).set(value);
}
