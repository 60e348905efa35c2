//! Order in which passwords get a hashing thread.
//!
//! A [`Seat`] is held from before an attempt is charged until it is decided. There are few more seats than
//! threads, so that all work of logins is bounded, in the database too. Those without a seat wait, a
//! bounded number of them, in four classes that share the seats by weight. Within a class the networks
//! take turns: a flood from one address makes itself wait, and newcomers from elsewhere pass it. A flood
//! from many addresses fills a class of its own as soon as it has failed once from each.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::PasswordError;

/// The class of work that waits for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A password of a signed-in user or from a known device.
    Known,
    /// A login of an unknown client.
    Stranger,
    /// A login of an unknown client, from a network in which another one failed a short time ago.
    AfterFailure,
    /// A new password: registration, new users, password changes.
    NewPassword,
}

/// The turns of the classes while all of them wait. No class starves.
const TURNS: [Priority; 9] = [
    Priority::Known,
    Priority::Stranger,
    Priority::Known,
    Priority::AfterFailure,
    Priority::Known,
    Priority::Stranger,
    Priority::AfterFailure,
    Priority::Known,
    Priority::NewPassword,
];

/// The seats, and the requests that wait for one. Clones share them.
#[derive(Clone)]
pub(super) struct Admission(Arc<Mutex<State>>);

struct State {
    free: usize,
    turn: usize,
    classes: [Class; 4],
}

/// Waiting requests of one class.
struct Class {
    bound: usize,
    waiting: usize,
    lanes: HashMap<String, VecDeque<oneshot::Sender<Seat>>>,
    /// Names of the lanes that are not empty, the next one first.
    order: VecDeque<String>,
}

/// The right to use a hashing thread. Dropping it lets the next one in.
pub(super) struct Seat(Option<Admission>);

impl Admission {
    /// Returns `seats` seats, for which `bound` requests of each class may wait; of new passwords, which have
    /// the fewest turns, a quarter.
    pub(super) fn new(seats: usize, bound: usize) -> Self {
        let classes = [bound, bound, bound, bound.div_ceil(4)].map(Class::new);
        Self(Arc::new(Mutex::new(State {
            free: seats,
            turn: 0,
            classes,
        })))
    }

    /// Returns the number of waiting requests.
    pub(super) fn waiting(&self) -> usize {
        self.lock().classes.iter().map(|class| class.waiting).sum()
    }

    /// Waits for a seat in `lane`.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub(super) async fn enter(
        &self,
        priority: Priority,
        lane: &str,
    ) -> Result<Seat, PasswordError> {
        let turn = self.lock().join(priority, lane)?;
        match turn {
            None => Ok(Seat(Some(self.clone()))),
            // Dropped for a newcomer of a shorter lane.
            Some(turn) => turn.await.map_err(|_| PasswordError::Busy),
        }
    }

    fn release(&self) {
        loop {
            let next = self.lock().next();
            let Some(next) = next else { return };
            match next.send(Seat(Some(self.clone()))) {
                Ok(()) => return,
                // It stopped waiting. The seat is for the next one.
                Err(mut seat) => drop(seat.0.take()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a free seat, or a place in the queue.
    fn join(
        &mut self,
        priority: Priority,
        lane: &str,
    ) -> Result<Option<oneshot::Receiver<Seat>>, PasswordError> {
        if self.free > 0 {
            self.free -= 1;
            return Ok(None);
        }
        self.classes[priority as usize].push(lane).map(Some)
    }

    /// Returns the next in turn. Without one, the seat is free.
    fn next(&mut self) -> Option<oneshot::Sender<Seat>> {
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

impl Class {
    fn new(bound: usize) -> Self {
        Self {
            bound,
            waiting: 0,
            lanes: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn push(&mut self, lane: &str) -> Result<oneshot::Receiver<Seat>, PasswordError> {
        if self.waiting >= self.bound {
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

    fn pop(&mut self) -> Option<oneshot::Sender<Seat>> {
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

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.release();
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::poll_once;
    use super::*;

    /// Lets each of them wait for the only seat in this order. Returns the lanes that got a turn, in the
    /// order of their turns, and the lanes that were refused.
    async fn turns(waiting: &[(Priority, &str)], bound: usize) -> (Vec<String>, Vec<String>) {
        let admission = Admission::new(1, bound);
        let mut seat = admission.enter(Priority::Known, "first").await.ok();
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
                        assert!(seat.replace(next).is_none(), "one seat, two holders");
                    }
                }
                *slot = None;
            }
            if seat.take().is_none() {
                assert_eq!(admission.lock().free, 1);
                return (served, refused);
            }
        }
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let waiting = ["a", "a", "a", "b"].map(|lane| (Priority::Stranger, lane));

        let (served, refused) = turns(&waiting, 8).await;

        assert_eq!(served, ["a", "b", "a", "a"]);
        assert_eq!(refused, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_latest_of_a_flood() {
        let waiting =
            ["flood", "flood", "flood", "flood", "alice"].map(|lane| (Priority::Stranger, lane));

        let (served, refused) = turns(&waiting, 4).await;

        assert_eq!(served, ["flood", "alice", "flood", "flood"]);
        assert_eq!(refused, ["flood"]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_more_of_the_same_network() {
        let waiting = ["a", "a", "a"].map(|lane| (Priority::Stranger, lane));

        let (served, refused) = turns(&waiting, 2).await;

        assert_eq!(served, ["a", "a"]);
        assert_eq!(refused, ["a"]);
    }

    #[tokio::test]
    async fn new_passwords_wait_behind_logins_but_not_for_ever() {
        let new = [(Priority::NewPassword, "new"); 2];
        let logins = [(Priority::Stranger, "login"); 40];

        let (served, _) = turns(&[&new[..], &logins[..]].concat(), 40).await;

        let first = served.iter().position(|lane| lane == "new");
        assert!(first.is_some_and(|first| (1..8).contains(&first)));
        assert_eq!(served[..16].iter().filter(|lane| *lane == "new").count(), 2);
    }

    #[tokio::test]
    async fn a_login_from_a_network_without_failures_passes_a_flood_from_many_networks() {
        let flood: Vec<_> = (0..40).map(|number| format!("flood-{number}")).collect();
        let flood = flood.iter().map(|lane| (Priority::AfterFailure, &**lane));
        let mut waiting: Vec<_> = flood.collect();
        waiting.push((Priority::Stranger, "alice"));

        let (served, refused) = turns(&waiting, 40).await;

        assert_eq!(refused, Vec::<String>::new());
        let alice = served.iter().position(|lane| lane == "alice");
        assert!(alice.is_some_and(|place| place < 3), "{alice:?}");
        assert_eq!(served.len(), 41);
    }

    #[tokio::test]
    async fn a_seat_whose_taker_is_gone_goes_to_the_next() {
        let admission = Admission::new(1, 8);
        let seat = admission.enter(Priority::Known, "a").await.unwrap();
        let mut gone = Box::pin(admission.enter(Priority::Known, "b"));
        let mut next = Box::pin(admission.enter(Priority::Known, "c"));
        assert!(poll_once(&mut gone).await.is_none());
        assert!(poll_once(&mut next).await.is_none());

        drop(gone);
        drop(seat);

        drop(next.await.unwrap());
        assert_eq!(admission.lock().free, 1);
    }
}
