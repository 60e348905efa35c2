//! Lists of an administrator among many users and sessions.

use crate::Options;
use crate::findings::{Judgement, Line, ScaleResults, power};
use crate::support::fill::id;
use crate::support::load::get;
use crate::support::report::Target;
use crate::support::service::Service;
use crate::support::side::BenchSide;

/// Milliseconds in which 99 of 100 pages are there at the largest size.
const MOST: f64 = 20.0;

/// Measures pages of 50 at one size, asked for by one administrator after another.
pub(crate) fn measure(
    options: &Options,
    (name, size): (&str, u64),
    service: &Service,
    findings: &mut ScaleResults,
) {
    let token = service.login(1).remove(0).access;
    let rare = format!("user{}", size / 2);
    let of_user = format!("/v1/users/{}/sessions", id(size / 2));
    let lists = [
        (
            "users by a prefix that few names have",
            format!("/v1/users?search={rare}"),
        ),
        (
            "users by a prefix that most names have",
            "/v1/users?search=user".to_owned(),
        ),
        (
            "users by that prefix, a page in the middle",
            format!("/v1/users?search=user&after={rare}"),
        ),
        (
            "sessions by a prefix that few names have",
            format!("/v1/sessions?search={rare}"),
        ),
        (
            "sessions by a prefix that most names have",
            "/v1/sessions?search=user".to_owned(),
        ),
        (
            "sessions of all users, the newest",
            "/v1/sessions".to_owned(),
        ),
        ("sessions of one user", of_user),
    ];
    for (what, path) in lists {
        let mut pages = BenchSide::new(service.target(), vec![get(&path, Some(&token))]);
        for _ in 0..options.rounds {
            pages.measure(options.window());
        }
        let p99 = pages.percentile(0.99);
        findings.line(Line {
            what: format!("{what}, {name}, p99 in ms"),
            at: power(size),
            figure: format!("{p99:.1} ms"),
            judged: Judgement::by(p99, Target::AtMost(MOST)),
            note: format!("p50 {:.1} ms, {}", pages.percentile(0.5), pages.summary()),
        });
    }
}
