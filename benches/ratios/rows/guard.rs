//! What a guard costs a request.

use super::Side;
use crate::Options;
use crate::backend::Redis;
use crate::floor::Floor;
use crate::load::{CONNECTIONS, Repeat, get};
use crate::process::Cores;
use crate::report::{Finding, Target, median_ratio};
use crate::service::{Home, Service};

/// Each connection with a token of its own, shown again and again.
fn scripts(floor: &Floor) -> Vec<Repeat> {
    if floor.tokens.is_empty() {
        return vec![get("/", None); CONNECTIONS];
    }
    floor
        .tokens
        .iter()
        .map(|token| get("/", Some(token)))
        .collect()
}

/// A token seen before and the denylist in memory, against a handler that does nothing.
pub(super) fn memory(options: &Options) -> Vec<Finding> {
    let (empty, guarded) = (
        Floor::start(&["empty"]),
        Floor::start(&["guarded", "memory"]),
    );
    let home = Home::new();
    let service = Service::start(Cores::Server, &home, &[]);
    let tokens = service.login(CONNECTIONS);
    let me = tokens
        .iter()
        .map(|tokens| get("/v1/me", Some(&tokens.access)));
    let mut floor = Side::new(empty.target(), scripts(&empty));
    let mut ours = Side::new(guarded.target(), scripts(&guarded));
    let mut livez = Side::new(service.target(), vec![get("/livez", None); CONNECTIONS]);
    let mut me = Side::new(service.target(), me.collect());
    for _ in 0..options.rounds {
        for side in [&mut floor, &mut ours, &mut livez, &mut me] {
            side.measure(options.window());
        }
    }
    let line = |what, side: &Side<Repeat>, target| Finding {
        what,
        ours: side.summary(),
        floor: floor.summary(),
        value: median_ratio(&side.rates(), &floor.rates()),
        target,
        note: format!("server {} busy, floor {}", side.busy(), floor.busy()),
    };
    vec![
        line(
            "guarded GET, denylist in memory / empty handler",
            &ours,
            Target::AtLeast(0.6),
        ),
        line(
            "  GET /livez of the server / empty handler",
            &livez,
            Target::None,
        ),
        line(
            "  GET /v1/me of the server (one read) / empty handler",
            &me,
            Target::None,
        ),
    ]
}

/// A token seen before and the denylist in Redis, against a handler that asks Redis the same.
pub(super) fn redis(options: &Options) -> Vec<Finding> {
    let redis = Redis::start();
    let asking = Floor::start(&["mget", &redis.url()]);
    let home = Home::new();
    let role = ["guarded", "redis", &redis.url(), &home.sqlite("latchet")];
    let guarded = Floor::start(&role);
    let mut floor = Side::new(asking.target(), scripts(&asking));
    let mut ours = Side::new(guarded.target(), scripts(&guarded));
    for _ in 0..options.rounds {
        floor.measure(options.window());
        ours.measure(options.window());
    }
    let what = "guarded GET, denylist in Redis / handler with one MGET";
    vec![compared(what, (&ours, &floor), Target::AtLeast(0.9))]
}

fn compared(
    what: &'static str,
    (ours, floor): (&Side<Repeat>, &Side<Repeat>),
    target: Target,
) -> Finding {
    Finding {
        what,
        ours: ours.summary(),
        floor: floor.summary(),
        value: median_ratio(&ours.rates(), &floor.rates()),
        target,
        note: format!(
            "by processor time {:.2}; server {} busy, floor {}",
            floor.cpu_micros() / ours.cpu_micros(),
            ours.busy(),
            floor.busy()
        ),
    }
}
