//! Histories written by hand, request by request.

use super::super::*;
use crate::history::{Act, Outcome, Spares, Token, Who};

pub(super) const SECOND: u64 = 1_000_000;

/// A history of a run too short to be counted.
#[derive(Default)]
pub(super) struct Story {
    pub(super) lines: Vec<Line>,
    pub(super) now: u64,
}

pub(super) fn head() -> Line {
    Line::Head(Head {
        topology: "c".to_owned(),
        seed: 0,
        seconds: 0,
        grace: 2 * SECOND,
        recovery: 2 * SECOND,
        guesses: 2,
        shortest_life: Some(10 * SECOND),
        max_sessions: Some(3),
        administrators: vec!["root".to_owned()],
    })
}

pub(super) fn token(session: &str, generation: u64) -> Token {
    Token {
        session: session.to_owned(),
        generation,
        digest: generation,
    }
}

pub(super) fn no(code: &str) -> Outcome {
    Outcome::No {
        code: code.to_owned(),
    }
}

/// The client did not wait for the response.
pub(super) fn unknown() -> Outcome {
    Outcome::Unknown {
        code: "hung_up".to_owned(),
    }
}

/// The service was not there.
pub(super) fn failed() -> Outcome {
    Outcome::Unknown {
        code: "unavailable".to_owned(),
    }
}

impl Story {
    fn op(&mut self, act: Act, session: Option<&str>, outcome: Outcome) -> &mut Op {
        self.now += 1000;
        self.lines.push(Line::Op(Box::new(Op {
            who: Who::Honest,
            user: "alice".to_owned(),
            act,
            session: session.map(str::to_owned),
            shown: None,
            key: None,
            given: None,
            expires: None,
            issued: None,
            roles: None,
            listed: None,
            known_device: false,
            replica: 0,
            start: self.now,
            end: self.now + 500,
            outcome,
        })));
        match self.lines.last_mut() {
            Some(Line::Op(op)) => op,
            _ => unreachable!("it was just pushed"),
        }
    }

    pub(super) fn sign_up(mut self) -> Self {
        self.op(Act::SignUp { password: 0 }, None, Outcome::Ok);
        self
    }

    pub(super) fn login(mut self, session: &str, password: u32) -> Self {
        let op = self.op(Act::LogIn { password }, Some(session), Outcome::Ok);
        op.given = Some(token(session, 0));
        self
    }

    pub(super) fn no_login(mut self, password: u32) -> Self {
        self.op(Act::LogIn { password }, None, no("invalid_credentials"));
        self
    }

    pub(super) fn does(mut self, act: Act, session: &str, outcome: Outcome) -> Self {
        self.op(act, Some(session), outcome);
        self
    }

    pub(super) fn check(self, session: &str, outcome: Outcome) -> Self {
        self.does(Act::Check, session, outcome)
    }

    pub(super) fn refresh(mut self, session: &str, shown: u64, given: u64) -> Self {
        let op = self.op(Act::Refresh, Some(session), Outcome::Ok);
        op.shown = Some(token(session, shown));
        op.given = Some(token(session, given));
        op.key = Some(shown);
        self
    }

    pub(super) fn no_refresh(mut self, session: &str, shown: u64, outcome: Outcome) -> Self {
        let op = self.op(Act::Refresh, Some(session), outcome);
        op.shown = Some(token(session, shown));
        op.key = Some(shown);
        self
    }

    /// Changes the last request.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Op)) -> Self {
        match self.lines.last_mut() {
            Some(Line::Op(op)) => change(op),
            _ => panic!("no request to change"),
        }
        self
    }

    pub(super) fn by_thief(self) -> Self {
        self.but(|op| {
            op.who = Who::Thief;
            op.key = None;
        })
    }

    pub(super) fn wait(mut self, time: u64) -> Self {
        self.now += time;
        self
    }

    pub(super) fn fault(mut self, start: u64, end: u64, blackout: Option<u64>) -> Self {
        self.lines.push(Line::Fault(Fault {
            name: "Test".to_owned(),
            start,
            end,
            blackout,
            spares: Spares::Nobody,
        }));
        self
    }

    pub(super) fn broken(self) -> Vec<Rule> {
        let history = History::new(std::iter::once(head()).chain(self.lines)).unwrap();
        let mut rules: Vec<Rule> = check(&history)
            .violations
            .into_iter()
            .map(|violation| violation.rule)
            .collect();
        rules.dedup();
        rules
    }
}

pub(super) fn alice() -> Story {
    Story::default().sign_up().login("a", 0)
}

pub(super) const NONE: [Rule; 0] = [];
