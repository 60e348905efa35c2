//! Order in which passwords get a hashing thread.
//!
//! A [`QueuePermit`] is held from before an attempt is charged until its password was right or its failure was
//! counted. There are a few permits for each thread, so that all work of logins is bounded, in the database too.
//! Those without a permit wait, a bounded number of them, in four classes that share the permits by weight. Within a class the networks
//! take turns: a flood from one address makes itself wait, and newcomers from elsewhere pass it. A flood
//! from many addresses fills a class of its own as soon as it has failed once from each.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::PasswordError;

/// The class of work that waits for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashingPriority {
    /// A password of a signed-in user or from a known device.
    KnownClient,
    /// A login of an unknown client.
    UnknownClient,
    /// A login of an unknown client, from a network in which another one failed a short time ago.
    UnknownAfterFailure,
    /// A new password: registration, new users, password changes.
    NewPassword,
}

/// The turns of the classes while all of them wait. No class starves.
const TURNS: [HashingPriority; 9] = [
    HashingPriority::KnownClient,
    HashingPriority::UnknownClient,
    HashingPriority::KnownClient,
    HashingPriority::UnknownAfterFailure,
    HashingPriority::KnownClient,
    HashingPriority::UnknownClient,
    HashingPriority::UnknownAfterFailure,
    HashingPriority::KnownClient,
    HashingPriority::NewPassword,
];

/// The permits, and the requests that wait for one. Clones share them.
#[derive(Clone)]
pub(super) struct HashingQueue(Arc<Mutex<QueueState>>);

struct QueueState {
    free: usize,
    turn: usize,
    classes: [WaitingClass; 4],
}

/// Waiting requests of one class.
struct WaitingClass {
    bound: usize,
    waiting: usize,
    /// Number of requests that were refused since the start.
    refused: u64,
    lanes: HashMap<String, VecDeque<oneshot::Sender<QueuePermit>>>,
    /// Names of the lanes that are not empty, the next one first.
    order: VecDeque<String>,
}

/// The right to use a hashing thread. Dropping it lets the next one in.
pub(super) struct QueuePermit(Option<HashingQueue>);

impl HashingQueue {
    /// Returns `permits` permits, for which `bound` requests of each class may wait; of new passwords, which have
    /// the fewest turns, a quarter.
    pub(super) fn new(permits: usize, bound: usize) -> Self {
        let classes = [bound, bound, bound, bound.div_ceil(4)].map(WaitingClass::new);
        Self(Arc::new(Mutex::new(QueueState {
            free: permits,
            turn: 0,
            classes,
        })))
    }

    /// Returns the number of waiting requests.
    pub(super) fn waiting(&self) -> usize {
        self.lock().classes.iter().map(|class| class.waiting).sum()
    }

    /// Returns the number of requests that may wait, of all classes together.
    pub(super) fn capacity(&self) -> usize {
        self.lock().classes.iter().map(|class| class.bound).sum()
    }

    /// Returns the number of requests that were refused since the start, because too many were waiting.
    pub(super) fn refused(&self) -> u64 {
        self.lock().classes.iter().map(|class| class.refused).sum()
    }

    /// Waits for a permit in `lane`.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub(super) async fn enter(
        &self,
        priority: HashingPriority,
        lane: &str,
    ) -> Result<QueuePermit, PasswordError> {
        let turn = self.lock().join(priority, lane)?;
        match turn {
            None => Ok(QueuePermit(Some(self.clone()))),
            // Dropped for a newcomer of a shorter lane.
            Some(turn) => turn.await.map_err(|_| PasswordError::Busy),
        }
    }

    fn release(&self) {
        loop {
            let next = self.lock().next();
            let Some(next) = next else { return };
            match next.send(QueuePermit(Some(self.clone()))) {
                Ok(()) => return,
                // It stopped waiting. The permit is for the next one.
                Err(mut permit) => drop(permit.0.take()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Takes a free permit, or a place in the queue.
    fn join(
        &mut self,
        priority: HashingPriority,
        lane: &str,
    ) -> Result<Option<oneshot::Receiver<QueuePermit>>, PasswordError> {
        if self.free > 0 {
            self.free -= 1;
            return Ok(None);
        }
        self.classes[priority as usize].push(lane).map(Some)
    }

    /// Returns the next in turn. Without one, the permit is free.
    fn next(&mut self) -> Option<oneshot::Sender<QueuePermit>> {
        for step in 0..TURNS.len() {
            let turn = (self.turn + step) % TURNS.len();
            if let Some(next) = self.classes[TURNS[turn] as usize].pop() {
                self.turn = turn + 1;
                return Some(next);
            }
        }
        self.free += 1;
        None
    }
}

impl WaitingClass {
    fn new(bound: usize) -> Self {
        Self {
            bound,
            waiting: 0,
            refused: 0,
            lanes: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn push(&mut self, lane: &str) -> Result<oneshot::Receiver<QueuePermit>, PasswordError> {
        if self.waiting >= self.bound {
            // Either the newcomer or the request that makes room for it.
            self.refused += 1;
            self.make_room(lane)?;
        }
        let (sender, receiver) = oneshot::channel();
        let waiting = self.lanes.entry(lane.to_owned()).or_default();
        if waiting.is_empty() {
            self.order.push_back(lane.to_owned());
        }
        waiting.push_back(sender);
        self.waiting += 1;
        Ok(receiver)
    }

    /// Drops the latest of the longest lane, unless that would be the lane of the newcomer.
    fn make_room(&mut self, lane: &str) -> Result<(), PasswordError> {
        let own = self.lanes.get(lane).map_or(0, VecDeque::len);
        let longest = self.lanes.values_mut().max_by_key(|waiting| waiting.len());
        let longest = longest.filter(|waiting| waiting.len() > own + 1);
        longest
            .and_then(VecDeque::pop_back)
            .ok_or(PasswordError::Busy)?;
        self.waiting -= 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<oneshot::Sender<QueuePermit>> {
        let lane = self.order.pop_front()?;
        let waiting = self.lanes.get_mut(&lane)?;
        let next = waiting.pop_front()?;
        self.waiting -= 1;
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.order.push_back(lane);
        }
        Some(next)
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.release();
        }
    }
}

impl fmt::Debug for HashingQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashingQueue").finish_non_exhaustive()
    }
}

impl fmt::Debug for QueuePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePermit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::poll_once;
    use super::*;

    /// Lets each of them wait for the only permit in this order. Returns the lanes that got a turn, in the
    /// order of their turns, and the lanes that were refused.
    async fn turns(
        waiting: &[(HashingPriority, &str)],
        bound: usize,
    ) -> (Vec<String>, Vec<String>) {
        let admission = HashingQueue::new(1, bound);
        let mut permit = admission
            .enter(HashingPriority::KnownClient, "first")
            .await
            .ok();
        let mut futures: Vec<_> = waiting
            .iter()
            .map(|(priority, lane)| Some((Box::pin(admission.enter(*priority, lane)), *lane)))
            .collect();
        let (mut served, mut refused) = (Vec::new(), Vec::new());
        loop {
            for slot in &mut futures {
                let Some((future, lane)) = slot else { continue };
                match poll_once(future).await {
                    None => continue,
                    Some(Err(_)) => refused.push((*lane).to_owned()),
                    Some(Ok(next)) => {
                        served.push((*lane).to_owned());
                        assert!(permit.replace(next).is_none(), "one permit, two holders");
                    }
                }
                *slot = None;
            }
            if permit.take().is_none() {
                assert_eq!(admission.lock().free, 1);
                return (served, refused);
            }
        }
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let waiting = ["a", "a", "a", "b"].map(|lane| (HashingPriority::UnknownClient, lane));

        let (served, refused) = turns(&waiting, 8).await;

        assert_eq!(served, ["a", "b", "a", "a"]);
        assert_eq!(refused, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_newcomer_replaces_the_latest_request_of_a_flood() {
        let waiting = ["flood", "flood", "flood", "flood", "alice"]
            .map(|lane| (HashingPriority::UnknownClient, lane));

        let (served, refused) = turns(&waiting, 4).await;

        assert_eq!(served, ["flood", "alice", "flood", "flood"]);
        assert_eq!(refused, ["flood"]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_more_of_the_same_network() {
        let waiting = ["a", "a", "a"].map(|lane| (HashingPriority::UnknownClient, lane));

        let (served, refused) = turns(&waiting, 2).await;

        assert_eq!(served, ["a", "a"]);
        assert_eq!(refused, ["a"]);
    }

    #[tokio::test]
    async fn refused_requests_are_counted_whether_or_not_they_waited() {
        let admission = HashingQueue::new(1, 2);
        let class = HashingPriority::UnknownClient;
        let permit = admission.enter(class, "first").await.ok();
        let mut flood: Vec<_> = ["a", "a", "a", "b"]
            .map(|lane| Box::pin(admission.enter(class, lane)))
            .into();

        for request in &mut flood {
            let _decided = poll_once(request).await;
        }

        assert_eq!(admission.refused(), 2);
        assert_eq!(admission.waiting(), 2);
        assert_eq!(admission.capacity(), 2 + 2 + 2 + 1);
        drop(permit);
    }

    #[tokio::test]
    async fn new_passwords_wait_behind_logins_but_not_for_ever() {
        let new = [(HashingPriority::NewPassword, "new"); 2];
        let logins = [(HashingPriority::UnknownClient, "login"); 40];

        let (served, _) = turns(&[&new[..], &logins[..]].concat(), 40).await;

        let first = served.iter().position(|lane| lane == "new");
        assert!(first.is_some_and(|first| (1..8).contains(&first)));
        assert_eq!(served[..16].iter().filter(|lane| *lane == "new").count(), 2);
    }

    #[tokio::test]
    async fn a_login_from_a_network_without_failures_passes_a_flood_from_many_networks() {
        let flood: Vec<_> = (0..40).map(|number| format!("flood-{number}")).collect();
        let flood = flood
            .iter()
            .map(|lane| (HashingPriority::UnknownAfterFailure, &**lane));
        let mut waiting: Vec<_> = flood.collect();
        waiting.push((HashingPriority::UnknownClient, "alice"));

        let (served, refused) = turns(&waiting, 40).await;

        assert_eq!(refused, Vec::<String>::new());
        let alice = served.iter().position(|lane| lane == "alice");
        assert!(alice.is_some_and(|place| place < 3), "{alice:?}");
        assert_eq!(served.len(), 41);
    }

    #[tokio::test]
    async fn the_permit_of_a_cancelled_request_goes_to_the_next() {
        let admission = HashingQueue::new(1, 8);
        let permit = admission
            .enter(HashingPriority::KnownClient, "a")
            .await
            .unwrap();
        let mut gone = Box::pin(admission.enter(HashingPriority::KnownClient, "b"));
        let mut next = Box::pin(admission.enter(HashingPriority::KnownClient, "c"));
        assert!(poll_once(&mut gone).await.is_none());
        assert!(poll_once(&mut next).await.is_none());

        drop(gone);
        drop(permit);

        drop(next.await.unwrap());
        assert_eq!(admission.lock().free, 1);
    }
}
