//! Properties of `decide` over any session and any history of rotations.

use std::time::Duration;

use proptest::prelude::*;

use super::{Decision, End, Grace, KeyHash, RevokeReason, SessionState, Shown, Superseded, decide};
use crate::clock::Time;

const HOUR: u64 = 3_600_000;
const START: Time = Time::from_millis(1_800_000_000_000);

/// A session together with its whole history, of which the row keeps only a part.
#[derive(Clone, Debug)]
struct History {
    session: SessionState,
    superseded_at: Vec<Time>,
    now: Time,
}

impl History {
    fn begin() -> Self {
        Self {
            session: SessionState {
                generation: 0,
                rotated_at: START,
                superseded: Superseded::default(),
                key: None,
                expires_at: START + Duration::from_hours(1000),
                idle_limit: Duration::from_hours(100),
                revoked: None,
            },
            superseded_at: Vec::new(),
            now: START,
        }
    }

    /// Waits, then presents the current token.
    fn show_current(&mut self, wait: u64, grace: Grace) -> Decision {
        self.show_current_with(None, wait, grace)
    }

    /// Waits, then presents the current token with a retry key.
    fn show_current_with(&mut self, key: Option<KeyHash>, wait: u64, grace: Grace) -> Decision {
        self.now = self.now + Duration::from_millis(wait);
        let shown = Shown {
            key,
            ..bare(self.session.generation)
        };
        let decision = decide(&self.session, shown, self.now, grace);
        if decision == Decision::Rotate {
            self.session = self.session.rotated(key, self.now);
            self.superseded_at.push(self.now);
        }
        decision
    }
}

/// A token of this generation, without a retry key.
fn bare(generation: u64) -> Shown {
    Shown {
        generation,
        key: None,
    }
}

/// Two keys and none, so that equal keys are frequent.
fn key() -> impl Strategy<Value = Option<KeyHash>> {
    prop::option::of((0..2_u8).prop_map(|byte| KeyHash::new([byte; 32])))
}

fn grace() -> impl Strategy<Value = Grace> {
    prop_oneof![Just(0), Just(10_000), 0..=60_000_u64]
        .prop_map(|millis| Grace::new(Duration::from_millis(millis)).unwrap())
}

/// Waits from a burst to a pause, so that histories cross the end of the grace period in both directions.
fn waits() -> impl Strategy<Value = Vec<u64>> {
    let wait = prop_oneof![Just(0), 0..50_u64, 0..3_000_u64, 0..120_000_u64];
    prop::collection::vec(wait, 0..60)
}

prop_compose! {
    fn history()(waits in waits(), keys in prop::collection::vec(key(), 60), grace in grace(), pause in 0..90_000_u64) -> (History, Grace) {
        let mut history = History::begin();
        for (wait, key) in waits.into_iter().zip(keys) {
            history.show_current_with(key, wait, grace);
        }
        history.now = history.now + Duration::from_millis(pause);
        (history, grace)
    }
}

fn reason() -> impl Strategy<Value = RevokeReason> {
    prop::sample::select(RevokeReason::ALL.to_vec())
}

proptest! {
    #[test]
    fn an_ancestor_is_a_replay_inside_its_own_grace_and_reuse_after_it((history, grace) in history()) {
        for (presented, superseded_at) in (0_u64..).zip(&history.superseded_at) {
            let inside = history.now.since(*superseded_at) < grace.duration();
            let expected = if inside { Decision::Replay } else { Decision::Reuse };

            let decision = decide(&history.session, bare(presented), history.now, grace);

            prop_assert_eq!(decision, expected, "generation {}", presented);
        }
    }

    #[test]
    fn the_current_token_rotates_unless_grace_is_full((history, grace) in history()) {
        let lately = history.superseded_at.iter()
            .filter(|time| history.now.since(**time) < grace.duration())
            .count();
        let expected = if lately >= Superseded::REMEMBERED { Decision::Replay } else { Decision::Rotate };

        let decision = decide(&history.session, bare(history.session.generation), history.now, grace);

        prop_assert_eq!(decision, expected);
    }

    #[test]
    fn the_parent_with_the_key_of_its_successor_is_a_replay_for_a_day((history, grace) in history(), key in key(), later in 0..48 * HOUR) {
        prop_assume!(history.session.generation > 0);
        let now = history.now + Duration::from_millis(later);
        let parent = bare(history.session.generation - 1);
        let is_its_key = key.is_some() && key == history.session.key;
        let in_time = now.since(history.session.rotated_at) < KeyHash::KEPT;
        let expected = if is_its_key && in_time {
            Decision::Replay
        } else {
            decide(&history.session, parent, now, grace)
        };

        let decision = decide(&history.session, Shown { key, ..parent }, now, grace);

        prop_assert_eq!(decision, expected);
    }

    #[test]
    fn a_key_saves_any_other_generation_from_theft_alone_and_only_within_grace_of_its_use((history, grace) in history(), key in key(), presented in 0..100_u64, later in prop_oneof![0..60_000_u64, 0..48 * HOUR]) {
        prop_assume!(presented + 1 != history.session.generation);
        let now = history.now + Duration::from_millis(later);
        let without = decide(&history.session, bare(presented), now, grace);
        let used_at = usize::try_from(presented + 1).ok().and_then(|next| history.superseded_at.get(next));
        let was_used_lately = used_at.is_some_and(|used| now.since(*used) < grace.duration());
        let is_spared = without == Decision::Reuse && key.is_some() && was_used_lately;

        let decision = decide(&history.session, Shown { key, ..bare(presented) }, now, grace);

        prop_assert_eq!(decision, if is_spared { Decision::Undecided } else { without });
    }

    #[test]
    fn an_ended_session_is_ended_whatever_the_key((history, grace) in history(), reason in reason()) {
        prop_assume!(history.session.generation > 0);
        let shown = Shown { generation: history.session.generation - 1, key: history.session.key };
        let revoked = SessionState { revoked: Some(reason), ..history.session.clone() };
        let expired = SessionState { expires_at: history.now, ..history.session.clone() };
        let rested = SessionState { idle_limit: history.now.since(history.session.rotated_at), ..history.session };

        let decided = [revoked, expired, rested].map(|session| decide(&session, shown, history.now, grace));

        let over = Decision::Ended(End::Expired);
        prop_assert_eq!(decided, [Decision::Ended(End::Revoked(reason)), over, over]);
    }

    #[test]
    fn hashes_of_keys_survive_the_database(bytes in any::<[u8; 32]>()) {
        let hash = KeyHash::new(bytes);

        prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        prop_assert!(hash.to_string()[1..].parse::<KeyHash>().is_err());
    }

    #[test]
    fn a_generation_that_was_never_made_is_unknown((history, grace) in history(), ahead in 1..u64::from(u32::MAX)) {
        let presented = history.session.generation + ahead;

        let decision = decide(&history.session, bare(presented), history.now, grace);

        prop_assert_eq!(decision, Decision::Unknown);
    }

    #[test]
    fn a_revoked_session_is_ended_whatever_is_shown((history, grace) in history(), reason in reason(), presented in 0..100_u64, later in 0..2_000 * HOUR) {
        let session = SessionState { revoked: Some(reason), ..history.session };

        let decision = decide(&session, bare(presented), history.now + Duration::from_millis(later), grace);

        prop_assert_eq!(decision, Decision::Ended(End::Revoked(reason)));
    }

    #[test]
    fn an_expired_session_is_ended_whatever_is_shown((history, grace) in history(), presented in 0..100_u64, later in 0..HOUR) {
        let later = Duration::from_millis(later);
        let rested = history.session.rotated_at + history.session.idle_limit + later;
        let over = history.session.expires_at + later;

        for now in [rested, over] {
            let decision = decide(&history.session, bare(presented), now, grace);

            prop_assert_eq!(decision, Decision::Ended(End::Expired));
        }
    }

    #[test]
    fn a_session_lives_until_the_last_millisecond((history, grace) in history()) {
        let session = SessionState { expires_at: history.now + Duration::from_millis(1), ..history.session };

        prop_assert_eq!(session.end(history.now), None);
        prop_assert_eq!(session.end(session.expires_at), Some(End::Expired));
        prop_assert_eq!(decide(&session, bare(0), session.expires_at, grace), Decision::Ended(End::Expired));
    }

    #[test]
    fn rotating_moves_one_generation_and_nothing_that_bounds_the_session((history, _) in history()) {
        let before = history.session;

        let after = before.rotated(None, history.now);

        prop_assert_eq!(after.generation, before.generation + 1);
        prop_assert_eq!(after.rotated_at, history.now);
        prop_assert_eq!(after.expires_at, before.expires_at);
        prop_assert_eq!(after.idle_limit, before.idle_limit);
        prop_assert_eq!(after.revoked, before.revoked);
    }

    #[test]
    fn superseded_times_survive_the_database((history, _) in history()) {
        let text = history.session.superseded.text();

        let read: Superseded = text.parse().unwrap();

        prop_assert_eq!(read, history.session.superseded);
    }

    #[test]
    fn a_clock_that_runs_behind_turns_no_honest_retry_into_reuse((history, grace) in history(), behind in 1..HOUR) {
        prop_assume!(grace > Grace::STRICT && history.session.generation > 0);
        let slow = history.session.rotated_at - Duration::from_millis(behind);

        let decision = decide(&history.session, bare(history.session.generation - 1), slow, grace);

        prop_assert_eq!(decision, Decision::Replay);
    }
}

#[test]
fn a_key_counts_until_the_last_millisecond_of_its_day() {
    let mut history = History::begin();
    let key = Some(KeyHash::new([7; 32]));
    history.show_current_with(key, 0, Grace::STRICT);
    let shown = Shown { key, ..bare(0) };
    let day = history.now + Duration::from_hours(24);

    let before = decide(
        &history.session,
        shown,
        day - Duration::from_millis(1),
        Grace::STRICT,
    );
    let after = decide(&history.session, shown, day, Grace::STRICT);

    assert_eq!([before, after], [Decision::Replay, Decision::Reuse]);
}

#[test]
fn strict_grace_calls_every_ancestor_reuse_at_once() {
    let mut history = History::begin();
    history.show_current(0, Grace::STRICT);

    let decision = decide(&history.session, bare(0), history.now, Grace::STRICT);

    assert_eq!(decision, Decision::Reuse);
}

#[test]
fn the_seventeenth_rotation_inside_grace_waits() {
    let mut history = History::begin();

    let decisions: Vec<_> = (0..17)
        .map(|_| history.show_current(100, Grace::default()))
        .collect();
    let after_grace = history.show_current(9_000, Grace::default());

    assert_eq!(decisions[..16], [Decision::Rotate; 16]);
    assert_eq!(decisions[16], Decision::Replay);
    assert_eq!(after_grace, Decision::Rotate);
    assert_eq!(history.session.generation, 17);
}

#[test]
fn a_retry_that_waited_while_others_got_on_is_no_theft() {
    let mut history = History::begin();
    let key = Some(KeyHash::new([7; 32]));
    history.show_current_with(key, 0, Grace::STRICT);
    history.show_current(1000, Grace::STRICT);
    let used_at = history.now;
    history.show_current(1000, Grace::STRICT);
    let decide = |key, now| {
        decide(
            &history.session,
            Shown { key, ..bare(0) },
            now,
            Grace::STRICT,
        )
    };
    let before = used_at - Duration::from_millis(1);

    let by_anybody = Some(KeyHash::new([8; 32]));
    assert_eq!(decide(key, before), Decision::Undecided);
    // The key that would decide is overwritten.
    assert_eq!(decide(by_anybody, before), Decision::Undecided);
    assert_eq!(decide(None, before), Decision::Reuse);
    assert_eq!(decide(key, used_at), Decision::Reuse);
}

#[test]
fn a_retry_that_was_on_its_way_while_its_twin_was_answered_and_used_is_no_theft() {
    let grace = Grace::TEN_SECONDS;
    let mut history = History::begin();
    let key = Some(KeyHash::new([7; 32]));
    history.show_current_with(key, 0, grace);
    history.show_current(60_000, grace);
    let decide = |key, later| {
        let now = history.now + Duration::from_millis(later);
        decide(&history.session, Shown { key, ..bare(0) }, now, grace)
    };

    assert_eq!(decide(key, 9_999), Decision::Undecided);
    assert_eq!(decide(key, 10_000), Decision::Reuse);
    assert_eq!(decide(None, 0), Decision::Reuse);
}

#[test]
fn what_was_forgotten_while_a_token_waited_is_not_held_against_it() {
    let mut history = History::begin();
    history.show_current(0, Grace::default());
    let came = history.now;
    history.show_current(
        Grace::MAX.duration().as_millis().try_into().unwrap(),
        Grace::default(),
    );

    let decide = |now| decide(&history.session, bare(0), now, Grace::default());

    assert_eq!(decide(came), Decision::Undecided);
    assert_eq!(decide(history.now), Decision::Reuse);
}

#[test]
fn a_session_at_rest_is_written_short() {
    let mut history = History::begin();
    for wait in [0, 100, 59_999, 60_000, 100] {
        history.show_current(wait, Grace::default());
    }

    let times = history.session.superseded.text();

    // The third rotation kept the times of both before it, the fourth kept none.
    let fourth = START.millis() + 120_099;
    assert_eq!(times, format!("{},{fourth}", fourth + 100));
}

#[test]
fn reasons_survive_the_database() {
    for reason in RevokeReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
    assert!("".parse::<RevokeReason>().is_err());
}

#[test]
fn text_that_is_no_list_of_times_is_refused() {
    let seventeen = vec!["1"; 17].join(",");
    let too_great = "9223372036854775808";

    for text in [
        ",", "1,", "1,,2", "x", " 1", "-1", "1x", too_great, &seventeen,
    ] {
        assert!(text.parse::<Superseded>().is_err(), "{text:?}");
    }
}

#[test]
fn grace_is_at_most_a_minute() {
    assert_eq!(Grace::new(Duration::from_mins(1)), Some(Grace::MAX));
    assert_eq!(Grace::new(Duration::from_millis(60_001)), None);
}
