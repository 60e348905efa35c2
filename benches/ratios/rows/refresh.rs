//! Cost of a durable refresh.

use crate::Options;
use crate::support::backend::Postgres;
use crate::support::connection::HttpResponse;
use crate::support::floor::Floor;
use crate::support::load::{CONNECTIONS, RepeatedRequest, RequestScript, get, post};
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median, median_ratio};
use crate::support::service::{DataFolder, Service, field};
use crate::support::side::BenchSide;
use crate::support::worker::{Work, Worker};

/// A client that refreshes as soon as it can, each time with the token it was given last.
struct Refresher {
    token: String,
    request: Vec<u8>,
}

impl RequestScript for Refresher {
    fn request(&mut self) -> &[u8] {
        let body = format!(r#"{{"refresh_token":"{}"}}"#, self.token);
        self.request = post("/v1/refresh", &body);
        &self.request
    }

    fn on_response(&mut self, response: HttpResponse<'_>) {
        let next = field(response.body, "refresh_token");
        assert_ne!(self.token, next, "a token used once has a successor");
        self.token = next;
    }
}

/// Where server and floors keep their rows.
struct Databases {
    ours: String,
    updates: String,
    batches: String,
}

/// The names of the lines.
struct Names {
    rate: &'static str,
    cpu: &'static str,
}

/// The least that an HTTP request costs.
struct Handlers<'a> {
    empty: BenchSide<'a, RepeatedRequest>,
    /// One that waits for something in common, as for a commit: its answers leave in bursts, and each
    /// burst finds sleepers to wake.
    waiting: BenchSide<'a, RepeatedRequest>,
}

pub(super) fn sqlite(options: &Options) -> Vec<BenchResult> {
    let home = DataFolder::new();
    let databases = Databases {
        ours: home.sqlite("latchet"),
        updates: home.sqlite("updates"),
        batches: home.sqlite("batches"),
    };
    let names = Names {
        rate: "refresh, SQLite / one UPDATE per commit",
        cpu: "CPU per refresh, SQLite / sum of its floors",
    };
    compare(options, &home, &databases, &names)
}

pub(super) fn postgres(options: &Options) -> Vec<BenchResult> {
    let postgres = Postgres::start();
    let databases = Databases {
        ours: postgres.database("latchet"),
        updates: postgres.database("updates"),
        batches: postgres.database("batches"),
    };
    let names = Names {
        rate: "refresh, PostgreSQL / one UPDATE per commit",
        cpu: "CPU per refresh, PostgreSQL / sum of its floors",
    };
    compare(options, &DataFolder::new(), &databases, &names)
}

fn compare(
    options: &Options,
    home: &DataFolder,
    databases: &Databases,
    names: &Names,
) -> Vec<BenchResult> {
    let (empty, waiting) = (Floor::start(&["empty"]), Floor::start(&["waiting"]));
    let worker = |role: &[&str]| Worker::start(Cores::Server, role);
    let mut updates = worker(&["updates", &databases.updates]);
    let mut parts = [
        worker(&["hmac"]),
        worker(&["eddsa"]),
        worker(&["batches", &databases.batches]),
    ];
    // Within grace a session rotates sixteen times and then only repeats its response, which writes
    // nothing; nobody refreshes that often, but this load does.
    let settings = [
        ("DATABASE_URL", databases.ours.as_str()),
        ("LATCHET_GRACE", "0s"),
    ];
    let service = Service::start(Cores::Server, home, &settings);
    let refreshers = service
        .login(CONNECTIONS)
        .into_iter()
        .map(|tokens| Refresher {
            token: tokens.refresh,
            request: Vec::new(),
        });
    let mut refresh = BenchSide::new(service.target(), refreshers.collect());
    let requests = || vec![get("/", None); CONNECTIONS];
    let mut handlers = Handlers {
        empty: BenchSide::new(empty.target(), requests()),
        waiting: BenchSide::new(waiting.target(), requests()),
    };
    let (mut single, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let window = options.window();
        single.push(updates.work(window));
        refresh.measure(window);
        handlers.empty.measure(window);
        handlers.waiting.measure(window);
        bare.push(parts.each_mut().map(|part| part.work(window / 2)));
    }
    let single_rates: Vec<f64> = single.iter().map(|work| work.per_second).collect();
    let rate = BenchResult {
        what: names.rate,
        ours: refresh.summary(),
        floor: format!("{:.0}/s", median(single_rates.clone())),
        value: median_ratio(&refresh.rates(), &single_rates),
        target: Target::AtLeast(2.0),
        note: format!(
            "server {} busy, p99 {:.1} ms",
            refresh.busy(),
            refresh.percentile(0.99)
        ),
    };
    let mut findings = vec![rate];
    findings.extend(processor(names.cpu, &refresh, &handlers, &bare));
    findings
}

fn processor(
    what: &'static str,
    refresh: &BenchSide<Refresher>,
    handlers: &Handlers<'_>,
    bare: &[[Work; 3]],
) -> [BenchResult; 2] {
    let cpu = |part: usize| median(bare.iter().map(|round| round[part].cpu_micros).collect());
    let (hmac, eddsa, batch) = (cpu(0), cpu(1), cpu(2));
    let line = |what, handler: f64, target| {
        let floor = handler + 2.0 * hmac + eddsa + batch;
        BenchResult {
            what,
            ours: format!("{:.1} µs", refresh.cpu_micros()),
            floor: format!("{floor:.1} µs"),
            value: refresh.cpu_micros() / floor,
            target,
            note: format!(
                "handler {handler:.1}, 2 × HMAC {:.1}, EdDSA {eddsa:.1}, of the batches {batch:.1} µs",
                2.0 * hmac
            ),
        }
    };
    [
        line(what, handlers.empty.cpu_micros(), Target::AtMost(1.7)),
        line(
            "  with a handler that waits as for a commit",
            handlers.waiting.cpu_micros(),
            Target::None,
        ),
    ]
}
