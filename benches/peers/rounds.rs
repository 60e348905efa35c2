//! Rounds of an operation: all sides in turns, and the tables of what was measured.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Options;
use crate::report::{Cpu, Figures, Row, Table};
use crate::support::load::{LoadResult, RequestScript, ResponseTimes, Target, run};

/// Figures of one round, by kind of request. Those of all requests have no kind.
pub(crate) type Round = BTreeMap<&'static str, Figures>;

/// Requests of every kind together.
pub(crate) const ALL_KINDS: &str = "";

/// Measurement of one round, or the reason why there is none.
pub(crate) type Measurement<'a> = Result<Box<dyn FnMut(Duration) -> Round + 'a>, &'static str>;

/// A server or a floor under one operation.
pub(crate) struct Side<'a> {
    pub(crate) name: String,
    pub(crate) measure: Measurement<'a>,
    /// A kind of request that it does not have, and why.
    pub(crate) lacks: Option<(&'static str, &'static str)>,
}

/// A table of one kind of request.
#[derive(Clone, Copy)]
pub(crate) struct TableHead {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
}

/// Measures the sides in turns, and prints the tables. The rows are in the order of the sides.
pub(crate) fn measure(
    heads: &[TableHead],
    (prefix, remark): (&str, &str),
    mut sides: Vec<Side<'_>>,
    options: &Options,
) -> Vec<Table> {
    let mut rounds: Vec<Vec<Round>> = sides.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (side, rounds) in sides.iter_mut().zip(&mut rounds) {
            if let Ok(measure) = &mut side.measure {
                rounds.push(measure(options.window()));
            }
        }
    }
    let table = |head: &TableHead| Table {
        name: format!("{prefix}{}", head.name),
        title: format!("{}{remark}", head.title),
        rows: sides
            .iter()
            .zip(&rounds)
            .map(|(side, rounds)| row(side, rounds, head.kind))
            .collect(),
    };
    let tables: Vec<Table> = heads.iter().map(table).collect();
    for table in &tables {
        table.print();
    }
    tables
}

fn row(side: &Side<'_>, rounds: &[Round], kind: &str) -> Row {
    if let Err(why) = side.measure {
        return Row::without(&side.name, why);
    }
    if let Some((lacking, why)) = side.lacks
        && lacking == kind
    {
        return Row::without(&side.name, why);
    }
    let figures = rounds.iter().map(|round| round.get(kind).copied());
    match figures.collect::<Option<Vec<_>>>() {
        Some(figures) => Row::measured(&side.name, &figures),
        None => Row::without(&side.name, "no response in a whole round"),
    }
}

/// Returns the measurement of scripts that go on from round to round.
pub(crate) fn continued<'a, S: RequestScript>(
    target: Target<'a>,
    mut scripts: Vec<S>,
) -> Box<dyn FnMut(Duration) -> Round + 'a> {
    Box::new(move |window| {
        let (seen, again) = run(target.clone(), std::mem::take(&mut scripts), window);
        scripts = again;
        round(&seen)
    })
}

/// Returns a measurement that lasts three times as long: of rare or slow responses there are few in a second.
pub(crate) fn lengthened<'a>(
    mut measure: Box<dyn FnMut(Duration) -> Round + 'a>,
) -> Box<dyn FnMut(Duration) -> Round + 'a> {
    Box::new(move |window| measure(3 * window))
}

/// Returns the figures of each kind. The processor time cannot be divided among the kinds.
pub(crate) fn round(seen: &LoadResult) -> Round {
    let mut round: Round = seen
        .kinds()
        .map(|(kind, times)| (kind, figures(times, None)))
        .collect();
    if !seen.all.is_empty() {
        let cpu = Cpu {
            server_micros: seen.cpu_micros,
            databases_micros: Some(seen.database_micros),
        };
        round.insert(ALL_KINDS, figures(&seen.all, Some(cpu)));
    }
    round
}

fn figures(times: &ResponseTimes, cpu: Option<Cpu>) -> Figures {
    let at = |part| times.percentile(part).as_secs_f64() * 1000.0;
    Figures {
        per_second: times.per_second,
        p50_ms: Some(at(0.5)),
        p99_ms: Some(at(0.99)),
        cpu,
    }
}
