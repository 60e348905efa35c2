//! Cost of a guard per request.

use std::time::Duration;

use latchet_guard::token::{Claims, Issuer};

use crate::Options;
use crate::support::backend::Redis;
use crate::support::connection::HttpResponse;
use crate::support::floor::Floor;
use crate::support::floor::handler::{claims, hs256_key};
use crate::support::load::{CONNECTIONS, RepeatedRequest, RequestScript, WARM_UP, get};
use crate::support::process::Cores;
use crate::support::report::{BenchResult, Target, median_ratio};
use crate::support::service::{DataFolder, Service};
use crate::support::side::BenchSide;

/// Each connection presents a token of its own again and again.
fn scripts(floor: &Floor) -> Vec<RepeatedRequest> {
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
pub(super) fn memory(options: &Options) -> Vec<BenchResult> {
    let (empty, guarded) = (
        Floor::start(&["empty"]),
        Floor::start(&["guarded", "memory"]),
    );
    let home = DataFolder::new();
    let service = Service::start(Cores::Server, &home, &[]);
    let tokens = service.login(CONNECTIONS);
    let me = tokens
        .iter()
        .map(|tokens| get("/v1/me", Some(&tokens.access)));
    let mut floor = BenchSide::new(empty.target(), scripts(&empty));
    let mut ours = BenchSide::new(guarded.target(), scripts(&guarded));
    let mut livez = BenchSide::new(service.target(), vec![get("/livez", None); CONNECTIONS]);
    let mut me = BenchSide::new(service.target(), me.collect());
    for _ in 0..options.rounds {
        for side in [&mut floor, &mut ours, &mut livez, &mut me] {
            side.measure(options.window());
        }
    }
    let line = |what, side: &BenchSide<RepeatedRequest>, target| BenchResult {
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
pub(super) fn redis(options: &Options) -> Vec<BenchResult> {
    let redis = Redis::start();
    let asking = Floor::start(&["mget", &redis.url()]);
    let home = DataFolder::new();
    let role = ["guarded", "redis", &redis.url(), &home.sqlite("latchet")];
    let guarded = Floor::start(&role);
    let mut floor = BenchSide::new(asking.target(), scripts(&asking));
    let mut ours = BenchSide::new(guarded.target(), scripts(&guarded));
    for _ in 0..options.rounds {
        floor.measure(options.window());
        ours.measure(options.window());
    }
    let what = "guarded GET, denylist in Redis / handler with one MGET";
    vec![compared(what, (&ours, &floor), Target::AtLeast(0.9))]
}

/// A new token for every request. They are signed before the load begins: a load that signs is slower
/// than the server, which then goes to sleep and is woken for every request.
struct FreshTokens {
    issuer: Issuer,
    claims: Claims,
    count: usize,
    requests: Vec<RepeatedRequest>,
    current: RepeatedRequest,
}

impl FreshTokens {
    /// Requests per second that no server here answers.
    const TOO_FAST: f64 = 150_000.0;

    fn of(number: usize) -> Self {
        Self {
            issuer: Issuer::new(hs256_key()),
            claims: claims(number),
            count: 0,
            requests: Vec::new(),
            current: get("/", None),
        }
    }

    fn next(&mut self) -> RepeatedRequest {
        self.count += 1;
        self.claims.jti = format!("{}-{:016}", self.claims.sub, self.count);
        let token = self.issuer.sign(&self.claims);
        get("/", Some(&token.expect("the claims are our own")))
    }

    /// Signs enough for a measurement.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "some thousands"
    )]
    fn prepare(&mut self, window: Duration) {
        let all = Self::TOO_FAST * (window + WARM_UP).as_secs_f64();
        for _ in self.requests.len()..(all / CONNECTIONS as f64) as usize {
            let next = self.next();
            self.requests.push(next);
        }
    }
}

impl RequestScript for FreshTokens {
    fn request(&mut self) -> &[u8] {
        self.current = self.requests.pop().unwrap_or_else(|| self.next());
        self.current.request()
    }

    fn on_response(&mut self, _response: HttpResponse<'_>) {}
}

/// The processor time that checking a token takes, beside a service that does it by hand.
pub(super) fn costs(options: &Options) -> Vec<BenchResult> {
    let empty = Floor::start(&["empty"]);
    let guarded = Floor::start(&["guarded", "memory"]);
    let by_hand = Floor::start(&["by hand", "eddsa"]);
    let guarded_hs256 = Floor::start(&["guarded", "hs256"]);
    let by_hand_hs256 = Floor::start(&["by hand", "hs256"]);
    let unseen = || (0..CONNECTIONS).map(FreshTokens::of).collect();
    let mut floor = BenchSide::new(empty.target(), scripts(&empty));
    let mut seen = [&guarded, &by_hand].map(|side| BenchSide::new(side.target(), scripts(side)));
    let mut hs256 =
        [&guarded_hs256, &by_hand_hs256].map(|side| BenchSide::new(side.target(), unseen()));
    for _ in 0..options.rounds {
        floor.measure(options.window());
        for side in &mut seen {
            side.measure(options.window());
        }
        for side in &mut hs256 {
            for script in &mut side.scripts {
                script.prepare(options.window());
            }
            side.measure(options.window());
        }
    }
    let line = |what, micros: f64, target| BenchResult {
        what,
        ours: format!("{micros:.1} µs"),
        floor: format!("{:.1} µs", floor.cpu_micros()),
        value: micros - floor.cpu_micros(),
        target,
        note: String::new(),
    };
    let [seen, seen_by_hand] = seen.map(|side| side.cpu_micros());
    let [new, new_by_hand] = hs256.map(|side| side.cpu_micros());
    vec![
        line(
            "guard, EdDSA token seen before, µs over empty handler",
            seen,
            Target::AtMost(3.0),
        ),
        line(
            "  axum and jsonwebtoken by hand, EdDSA",
            seen_by_hand,
            Target::None,
        ),
        line(
            "guard, HS256 token never seen, µs over empty handler",
            new,
            Target::AtMost(7.0),
        ),
        line(
            "  axum and jsonwebtoken by hand, HS256",
            new_by_hand,
            Target::None,
        ),
    ]
}

fn compared(
    what: &'static str,
    (ours, floor): (&BenchSide<RepeatedRequest>, &BenchSide<RepeatedRequest>),
    target: Target,
) -> BenchResult {
    BenchResult {
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
