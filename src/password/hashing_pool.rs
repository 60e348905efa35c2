//! Threads that do one job each at a time, and a bounded queue before them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::PasswordError;
use super::argon2id::HashingMemory;

/// Time for which a thread without work keeps its memory: longer than the gaps between frequent logins, and
/// so short that an idle server is small.
const KEEP_MEMORY: Duration = Duration::from_secs(2);

pub(super) type HashingJob = Box<dyn FnOnce(&mut HashingMemory) + Send>;

/// The threads. They end when this is dropped, after the jobs that wait.
pub(super) struct HashingPool {
    queue: Arc<JobQueue>,
}

struct JobQueue {
    state: Mutex<JobQueueState>,
    changed: Condvar,
    bound: usize,
}

#[derive(Default)]
struct JobQueueState {
    jobs: VecDeque<HashingJob>,
    is_closed: bool,
}

impl HashingPool {
    pub(super) fn start(threads: usize, bound: usize) -> std::io::Result<Self> {
        let queue = Arc::new(JobQueue {
            state: Mutex::default(),
            changed: Condvar::new(),
            bound,
        });
        // Created first, so that dropping it ends the running threads if one fails to start.
        let pool = Self {
            queue: Arc::clone(&queue),
        };
        for number in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || queue.work())?;
        }
        Ok(pool)
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    pub(super) fn push(&self, job: HashingJob) -> Result<(), PasswordError> {
        let mut state = self.queue.lock();
        if state.jobs.len() >= self.queue.bound {
            return Err(PasswordError::Busy);
        }
        state.jobs.push_back(job);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }
}

impl Drop for HashingPool {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

impl fmt::Debug for HashingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashingPool").finish_non_exhaustive()
    }
}

impl JobQueue {
    fn work(&self) {
        lower_thread_priority();
        let mut memory = None;
        while let Some(job) = self.next(&mut memory) {
            job(memory.get_or_insert_default());
        }
    }

    /// Waits for a job; gives the memory back when none comes for a while.
    fn next(&self, memory: &mut Option<HashingMemory>) -> Option<HashingJob> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state = if memory.is_none() {
                let waited = self.changed.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.changed.wait_timeout(state, KEEP_MEMORY);
                let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                if waited.timed_out() {
                    *memory = None;
                }
                state
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, JobQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets every other thread go first: a login can wait some milliseconds, and must not keep all other
/// requests waiting while many people log in.
#[cfg(target_os = "linux")]
fn lower_thread_priority() {
    const NICENESS: i32 = 10;
    // Linux counts niceness per thread. Without it, only fairness is lost.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn lower_thread_priority() {}
