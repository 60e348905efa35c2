//! What a durable refresh costs.

use super::Side;
use crate::Options;
use crate::backend::Postgres;
use crate::floor::Floor;
use crate::load::{CONNECTIONS, Repeat, Script, get, post};
use crate::process::Cores;
use crate::report::{Finding, Target, median, median_ratio};
use crate::service::{Home, Service, field};
use crate::worker::{Work, Worker};

/// A client that refreshes as soon as it can, each time with the token it was given last.
struct Refresher {
    token: String,
    request: Vec<u8>,
}

impl Script for Refresher {
    fn request(&mut self) -> &[u8] {
        let body = format!(r#"{{"refresh_token":"{}"}}"#, self.token);
        self.request = post("/v1/refresh", &body);
        &self.request
    }

    fn answered(&mut self, body: &[u8]) {
        let next = field(body, "refresh_token");
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

pub(super) fn sqlite(options: &Options) -> Vec<Finding> {
    let home = Home::new();
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

pub(super) fn postgres(options: &Options) -> Vec<Finding> {
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
    compare(options, &Home::new(), &databases, &names)
}

fn compare(options: &Options, home: &Home, databases: &Databases, names: &Names) -> Vec<Finding> {
    let empty = Floor::start(&["empty"]);
    let worker = |role: &[&str]| Worker::start(Cores::Server, role);
    let mut updates = worker(&["updates", &databases.updates]);
    let mut parts = [
        worker(&["hmac"]),
        worker(&["eddsa"]),
        worker(&["batches", &databases.batches]),
    ];
    // Within grace a session rotates sixteen times and then only repeats its answer, which writes
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
    let mut refresh = Side::new(service.target(), refreshers.collect());
    let mut handler: Side<Repeat> = Side::new(empty.target(), vec![get("/", None); CONNECTIONS]);
    let (mut single, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let window = options.window();
        single.push(updates.work(window));
        refresh.measure(window);
        handler.measure(window);
        bare.push(parts.each_mut().map(|part| part.work(window / 2)));
    }
    let single_rates: Vec<f64> = single.iter().map(|work| work.per_second).collect();
    vec![
        Finding {
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
        },
        processor(names.cpu, &refresh, &handler, &bare),
    ]
}

fn processor(
    what: &'static str,
    refresh: &Side<Refresher>,
    handler: &Side<Repeat>,
    bare: &[[Work; 3]],
) -> Finding {
    let cpu = |part: usize| median(bare.iter().map(|round| round[part].cpu_micros).collect());
    let (hmac, eddsa, batch) = (cpu(0), cpu(1), cpu(2));
    let floor = handler.cpu_micros() + 2.0 * hmac + eddsa + batch;
    Finding {
        what,
        ours: format!("{:.1} µs", refresh.cpu_micros()),
        floor: format!("{floor:.1} µs"),
        value: refresh.cpu_micros() / floor,
        target: Target::AtMost(1.7),
        note: format!(
            "floors: handler {:.1}, 2 × HMAC {hmac:.1}, EdDSA {eddsa:.1}, of the batches {batch:.1} µs",
            handler.cpu_micros()
        ),
    }
}
