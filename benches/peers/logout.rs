//! Logouts at full rate, of sessions that were opened before.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::rounds::{Round, round};
use crate::server::Server;
use crate::sessions;
use crate::support::connection::HttpResponse;
use crate::support::load::{CONNECTIONS, RequestScript, WARM_UP, run};

/// Logouts per second that the first round expects.
const EXPECTED: f64 = 1_000.0;

/// Sessions opened for each that is expected to be ended.
const RESERVE: f64 = 1.5;

/// A connection that sends what is left in a queue of logouts.
struct Leaver {
    queue: Rc<RefCell<Vec<Vec<u8>>>>,
    request: Vec<u8>,
}

impl RequestScript for Leaver {
    fn request(&mut self) -> &[u8] {
        self.request = self.queue.borrow_mut().pop().expect("it is not done");
        &self.request
    }

    fn on_response(&mut self, _response: HttpResponse<'_>) {}

    fn is_done(&self) -> bool {
        self.queue.borrow().is_empty()
    }
}

/// Returns the measurement of a server. A round for which too few sessions were opened is repeated.
pub(crate) fn continued<'a>(server: &'a Server<'a>) -> Box<dyn FnMut(Duration) -> Round + 'a> {
    let mut expected = EXPECTED;
    Box::new(move |window| {
        loop {
            let logouts = queue(
                server,
                expected * RESERVE * (WARM_UP + window).as_secs_f64(),
            );
            let leaver = || Leaver {
                queue: Rc::clone(&logouts),
                request: Vec::new(),
            };
            let leavers = std::iter::repeat_with(leaver).take(CONNECTIONS);
            let (seen, _) = run(server.target(), leavers.collect(), window);
            if !logouts.borrow().is_empty() {
                expected = seen.all.per_second.max(EXPECTED / 10.0);
                return round(&seen);
            }
            expected *= 2.0;
        }
    })
}

fn queue(server: &Server<'_>, count: f64) -> Rc<RefCell<Vec<Vec<u8>>>> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousands"
    )]
    let sessions = sessions::open(server, count.ceil() as usize).into_iter();
    let logouts = sessions.map(|values| server.adapter.logout.bytes(&values));
    Rc::new(RefCell::new(logouts.collect()))
}
