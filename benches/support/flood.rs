//! A flood of requests that nobody waits for, from a thread of its own, so that those who are measured do not
//! wait for the load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::LocalSet;

use super::connection::Connection;

/// A flood that goes on until it is ended.
pub(crate) struct Flood {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Starts a connection for each request, which repeats it whatever the response, and waits for the first
    /// response.
    pub(crate) fn start(address: SocketAddr, requests: Vec<Vec<u8>>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            thread::spawn(move || send(address, requests, &is_over, &answered))
        };
        while answered.load(Ordering::Relaxed) == 0 {
            assert!(!thread.is_finished(), "the flood ended before it began");
            thread::sleep(Duration::from_millis(1));
        }
        Self {
            is_over,
            answered,
            thread,
        }
    }

    /// Ends it, and returns the number of its responses.
    pub(crate) fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the flood ends");
        self.answered.load(Ordering::Relaxed)
    }
}

fn send(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    is_over: &Arc<AtomicBool>,
    answered: &Arc<AtomicUsize>,
) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system gives an epoll");
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::new();
        for request in requests {
            let (is_over, answered) = (Arc::clone(is_over), Arc::clone(answered));
            let mut connection = Connection::open(address).await;
            tasks.push(tokio::task::spawn_local(async move {
                while !is_over.load(Ordering::Relaxed) {
                    connection.ask(&request).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        for task in tasks {
            task.await.expect("every request has a response");
        }
    });
}
