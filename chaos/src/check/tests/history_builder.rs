//! Histories written by hand, request by request.

use super::super::*;
use crate::history::{Action, RequestOutcome, Sender, ServedClients, TokenIdentity};

pub(super) const SECOND: u64 = 1_000_000;

/// A history of a run too short to be counted.
#[derive(Default)]
pub(super) struct HistoryBuilder {
    pub(super) lines: Vec<HistoryLine>,
    pub(super) now: u64,
}

pub(super) fn head() -> HistoryLine {
    HistoryLine::RunSettings(RunSettings {
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

pub(super) fn token(session: &str, generation: u64) -> TokenIdentity {
    TokenIdentity {
        session: session.to_owned(),
        generation,
        digest: generation,
        signed_digest: generation,
    }
}

pub(super) fn no(code: &str) -> RequestOutcome {
    RequestOutcome::Refused {
        code: code.to_owned(),
    }
}

/// The client did not wait for the response.
pub(super) fn unknown() -> RequestOutcome {
    RequestOutcome::Unknown {
        code: "hung_up".to_owned(),
    }
}

/// The service was not there.
pub(super) fn failed() -> RequestOutcome {
    RequestOutcome::Unknown {
        code: "unavailable".to_owned(),
    }
}

impl HistoryBuilder {
    fn op(
        &mut self,
        action: Action,
        session: Option<&str>,
        outcome: RequestOutcome,
    ) -> &mut Operation {
        self.now += 1000;
        self.lines.push(HistoryLine::Operation(Box::new(Operation {
            sender: Sender::Honest,
            user: "alice".to_owned(),
            action,
            session: session.map(str::to_owned),
            presented: None,
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
            Some(HistoryLine::Operation(op)) => op,
            _ => unreachable!("it was just pushed"),
        }
    }

    pub(super) fn sign_up(mut self) -> Self {
        self.op(Action::SignUp { password: 0 }, None, RequestOutcome::Ok);
        self
    }

    pub(super) fn login(mut self, session: &str, password: u32) -> Self {
        let op = self.op(
            Action::LogIn { password },
            Some(session),
            RequestOutcome::Ok,
        );
        op.given = Some(token(session, 0));
        self
    }

    pub(super) fn refused_login(mut self, password: u32) -> Self {
        self.op(Action::LogIn { password }, None, no("invalid_credentials"));
        self
    }

    pub(super) fn request(
        mut self,
        action: Action,
        session: &str,
        outcome: RequestOutcome,
    ) -> Self {
        self.op(action, Some(session), outcome);
        self
    }

    pub(super) fn check(self, session: &str, outcome: RequestOutcome) -> Self {
        self.request(Action::Check, session, outcome)
    }

    pub(super) fn refresh(mut self, session: &str, presented: u64, given: u64) -> Self {
        let op = self.op(Action::Refresh, Some(session), RequestOutcome::Ok);
        op.presented = Some(token(session, presented));
        op.given = Some(token(session, given));
        op.key = Some(presented);
        self
    }

    pub(super) fn refused_refresh(
        mut self,
        session: &str,
        presented: u64,
        outcome: RequestOutcome,
    ) -> Self {
        let op = self.op(Action::Refresh, Some(session), outcome);
        op.presented = Some(token(session, presented));
        op.key = Some(presented);
        self
    }

    /// Changes the last request.
    pub(super) fn change_last(mut self, change: impl FnOnce(&mut Operation)) -> Self {
        match self.lines.last_mut() {
            Some(HistoryLine::Operation(op)) => change(op),
            _ => panic!("no request to change"),
        }
        self
    }

    pub(super) fn by_thief(self) -> Self {
        self.change_last(|op| {
            op.sender = Sender::Thief;
            op.key = None;
        })
    }

    pub(super) fn wait(mut self, time: u64) -> Self {
        self.now += time;
        self
    }

    pub(super) fn fault(self, start: u64, end: u64, blackout: Option<u64>) -> Self {
        self.named_fault("Test", (start, end), blackout)
    }

    pub(super) fn root_secret_rotation(self, start: u64, end: u64) -> Self {
        self.named_fault("RotateRootSecret", (start, end), None)
    }

    fn named_fault(mut self, name: &str, (start, end): (u64, u64), blackout: Option<u64>) -> Self {
        self.lines.push(HistoryLine::InjectedFault(InjectedFault {
            name: name.to_owned(),
            start,
            end,
            blackout,
            serves: ServedClients::Nobody,
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

pub(super) fn alice() -> HistoryBuilder {
    HistoryBuilder::default().sign_up().login("a", 0)
}

pub(super) const NO_VIOLATIONS: [Rule; 0] = [];
