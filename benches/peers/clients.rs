//! Clients whose next request depends on the last response.

use crate::adapter::{Adapter, Request, Values};
use crate::support::connection::HttpResponse;
use crate::support::load::RequestScript;

/// Reason why a server has no refresh.
pub(crate) const NO_REFRESH: &str = "has no refresh: a session is a cookie that stays";

/// A client that refreshes as soon as it can, each time with the token it was given last.
pub(crate) struct Refresher {
    adapter: Adapter,
    form: Request,
    values: Values,
    request: Vec<u8>,
}

impl Refresher {
    /// Returns one that is logged in.
    pub(crate) fn new(adapter: &Adapter, values: Values) -> Result<Self, &'static str> {
        Ok(Self {
            adapter: adapter.clone(),
            form: adapter.refresh.clone().ok_or(NO_REFRESH)?,
            values,
            request: Vec::new(),
        })
    }
}

impl RequestScript for Refresher {
    fn request(&mut self) -> &[u8] {
        self.request = self.form.bytes(&self.values);
        &self.request
    }

    fn kind(&self) -> &'static str {
        "refresh"
    }

    fn on_response(&mut self, response: HttpResponse<'_>) {
        let shown = self.values["refresh"].clone();
        self.adapter.take(response, &mut self.values);
        let next = &self.values["refresh"];
        assert_ne!(&shown, next, "a token used once has a successor");
    }
}

/// Kinds of requests of a client of a service in use.
#[derive(Clone, Copy, Debug)]
enum MixedKind {
    Check,
    Refresh,
    Login,
    Logout,
}

/// A person with one session or more, who asks for one thing after another at random.
pub(crate) struct MixedClient {
    adapter: Adapter,
    refresh: Request,
    sessions: Vec<Values>,
    random: fastrand::Rng,
    kind: MixedKind,
    request: Vec<u8>,
}

impl MixedClient {
    /// Returns one that is logged in; the seed decides on the order of the requests.
    pub(crate) fn new(adapter: &Adapter, values: Values, seed: u64) -> Result<Self, &'static str> {
        Ok(Self {
            adapter: adapter.clone(),
            refresh: adapter.refresh.clone().ok_or(NO_REFRESH)?,
            sessions: vec![values],
            random: fastrand::Rng::with_seed(seed),
            kind: MixedKind::Check,
            request: Vec::new(),
        })
    }

    fn newest(&self) -> &Values {
        self.sessions
            .last()
            .expect("the last session is never ended")
    }
}

impl RequestScript for MixedClient {
    fn request(&mut self) -> &[u8] {
        self.kind = match self.random.u8(..100) {
            0..80 => MixedKind::Check,
            80..95 => MixedKind::Refresh,
            99.. if self.sessions.len() > 1 => MixedKind::Logout,
            _ => MixedKind::Login,
        };
        self.request = match self.kind {
            MixedKind::Check => self.adapter.check.bytes(self.newest()),
            MixedKind::Refresh => self.refresh.bytes(self.newest()),
            MixedKind::Login => self.adapter.login.bytes(self.newest()),
            MixedKind::Logout => self.adapter.logout.bytes(&self.sessions.remove(0)),
        };
        &self.request
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            MixedKind::Check => "check",
            MixedKind::Refresh => "refresh",
            MixedKind::Login => "login",
            MixedKind::Logout => "logout",
        }
    }

    fn on_response(&mut self, response: HttpResponse<'_>) {
        let mut values = self.newest().clone();
        match self.kind {
            MixedKind::Check | MixedKind::Logout => {}
            MixedKind::Refresh => {
                self.adapter.take(response, &mut values);
                self.sessions.pop();
                self.sessions.push(values);
            }
            MixedKind::Login => {
                self.adapter.take(response, &mut values);
                self.sessions.push(values);
            }
        }
    }
}
