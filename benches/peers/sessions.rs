//! Many live sessions at once, to be ended. A login would cost a hash for each.

use std::cell::Cell;

use crate::adapter::{Adapter, Request, Values};
use crate::server::Server;
use crate::support::connection::HttpResponse;
use crate::support::fill::{FilledDatabase, refresh_tokens_of};
use crate::support::load::{CONNECTIONS, RequestScript, run_until_done};

/// Account of a peer whose password hash costs next to nothing; its sessions are like all others.
pub(crate) const QUICK: &str = "quick";

/// Where live sessions come from.
pub(crate) enum SessionSource {
    /// Logins to the quick account.
    QuickLogins,
    /// Rows that are written beside the server, each of which is refreshed once.
    Rows {
        database: FilledDatabase,
        count: Cell<u64>,
    },
}

impl SessionSource {
    /// Returns one for Latchet, which hashes at full cost at every login.
    pub(crate) fn rows(database: FilledDatabase) -> Self {
        Self::Rows {
            database,
            count: Cell::new(0),
        }
    }
}

/// Requests of one connection that each open a session.
struct Openings {
    adapter: Adapter,
    form: Request,
    left: Vec<Values>,
    under_way: Values,
    request: Vec<u8>,
    opened: Vec<Values>,
}

impl RequestScript for Openings {
    fn request(&mut self) -> &[u8] {
        self.under_way = self.left.pop().expect("it is not done");
        self.request = self.form.bytes(&self.under_way);
        &self.request
    }

    fn on_response(&mut self, response: HttpResponse<'_>) {
        let mut values = std::mem::take(&mut self.under_way);
        self.adapter.take(response, &mut values);
        self.opened.push(values);
    }

    fn is_done(&self) -> bool {
        self.left.is_empty()
    }
}

/// Opens about so many sessions, and returns what their next requests carry.
pub(crate) fn open(server: &Server<'_>, count: usize) -> Vec<Values> {
    let adapter = &server.adapter;
    let (form, starts) = match &server.sessions {
        SessionSource::QuickLogins => (&adapter.login, vec![server.account(QUICK); count]),
        SessionSource::Rows {
            database,
            count: made,
        } => {
            let wanted = u64::try_from(count).expect("it is small");
            let numbers = made.get() + 1..=made.get() + wanted;
            made.set(*numbers.end());
            database.sessions(numbers.clone());
            let account = server.account("");
            let starts = refresh_tokens_of(numbers).into_iter().map(|token| {
                let mut values = account.clone();
                values.insert("refresh".to_owned(), token);
                values
            });
            let refresh = adapter.refresh.as_ref();
            (refresh.expect("Latchet refreshes"), starts.collect())
        }
    };
    let chunks = starts.chunks(starts.len().div_ceil(CONNECTIONS).max(1));
    let scripts = chunks.map(|left| Openings {
        adapter: adapter.clone(),
        form: form.clone(),
        left: left.to_vec(),
        under_way: Values::new(),
        request: Vec::new(),
        opened: Vec::new(),
    });
    let scripts = run_until_done(server.address, scripts.collect());
    scripts
        .into_iter()
        .flat_map(|script| script.opened)
        .collect()
}
