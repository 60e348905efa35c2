//! Properties of `decide` over any session and any history of rotations.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    Grace, PresentedGeneration, RetryKeyHash, RevokeReason, RotationDecision, SessionEnd,
    SessionState, Superseded, decide,
};
use latchet_guard::clock::Time;

const HOUR: u64 = 3_600_000;
const START: Time = Time::from_millis(1_800_000_000_000);

/// A session together with its whole history, of which the row keeps only a part.
#[derive(Clone, Debug)]
struct RotationHistory {
    session: SessionState,
    superseded_at: Vec<Time>,
    now: Time,
}

impl RotationHistory {
    fn begin() -> Self {
        Self {
            session: SessionState {
                generation: 0,
                rotated_at: START,
                superseded: Superseded::default(),
                retry_key: None,
                expires_at: START + Duration::from_hours(1000),
                idle_limit: Duration::from_hours(100),
                revoked: None,
            },
            superseded_at: Vec::new(),
            now: START,
        }
    }

    /// Waits, then presents the current token.
    fn present_current(&mut self, delay: u64, grace: Grace) -> RotationDecision {
        self.present_current_with_key(None, delay, grace)
    }

    /// Waits, then presents the current token with a retry key.
    fn present_current_with_key(
        &mut self,
        retry_key: Option<RetryKeyHash>,
        delay: u64,
        grace: Grace,
    ) -> RotationDecision {
        self.now = self.now + Duration::from_millis(delay);
        let presented = PresentedGeneration {
            retry_key: retry_key.map(Into::into),
            ..without_retry_key(self.session.generation)
        };
        let decision = decide(&self.session, presented, self.now, grace);
        if decision == RotationDecision::Rotate {
            self.session = self.session.rotated(retry_key, self.now);
            self.superseded_at.push(self.now);
        }
        decision
    }
}

/// A token of this generation, without a retry key.
fn without_retry_key(generation: u64) -> PresentedGeneration {
    PresentedGeneration {
        generation,
        retry_key: None,
    }
}

/// Two keys and none, so that equal keys are frequent.
fn retry_key() -> impl Strategy<Value = Option<RetryKeyHash>> {
    prop::option::of((0..2_u8).prop_map(|byte| RetryKeyHash::new([byte; 32])))
}

fn grace() -> impl Strategy<Value = Grace> {
    prop_oneof![Just(0), Just(10_000), 0..=60_000_u64]
        .prop_map(|millis| Grace::new(Duration::from_millis(millis)).unwrap())
}

/// Waits from a burst to a pause, so that histories cross the end of the grace period in both directions.
fn delays() -> impl Strategy<Value = Vec<u64>> {
    let delay = prop_oneof![Just(0), 0..50_u64, 0..3_000_u64, 0..120_000_u64];
    prop::collection::vec(delay, 0..60)
}

prop_compose! {
    fn history()(delays in delays(), keys in prop::collection::vec(retry_key(), 60), grace in grace(), pause in 0..90_000_u64) -> (RotationHistory, Grace) {
        let mut history = RotationHistory::begin();
        for (delay, retry_key) in delays.into_iter().zip(keys) {
            history.present_current_with_key(retry_key, delay, grace);
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
    fn a_superseded_token_is_a_retry_inside_its_own_grace_and_reuse_after_it((history, grace) in history()) {
        for (presented, superseded_at) in (0_u64..).zip(&history.superseded_at) {
            let inside = history.now.since(*superseded_at) < grace.duration();
            let expected = if inside { RotationDecision::Retry } else { RotationDecision::Reuse };

            let decision = decide(&history.session, without_retry_key(presented), history.now, grace);

            prop_assert_eq!(decision, expected, "generation {}", presented);
        }
    }

    #[test]
    fn the_current_token_rotates_unless_too_many_times_are_inside_grace((history, grace) in history()) {
        let recent = history.superseded_at.iter()
            .filter(|time| history.now.since(**time) < grace.duration())
            .count();
        let expected = if recent >= Superseded::MAX_TIMES { RotationDecision::Retry } else { RotationDecision::Rotate };

        let decision = decide(&history.session, without_retry_key(history.session.generation), history.now, grace);

        prop_assert_eq!(decision, expected);
    }

    #[test]
    fn the_parent_with_the_retry_key_of_its_successor_is_a_retry_for_a_day((history, grace) in history(), retry_key in retry_key(), later in 0..48 * HOUR) {
        prop_assume!(history.session.generation > 0);
        let now = history.now + Duration::from_millis(later);
        let parent = without_retry_key(history.session.generation - 1);
        let is_its_key = retry_key.is_some() && retry_key == history.session.retry_key;
        let in_time = now.since(history.session.rotated_at) < RetryKeyHash::RETRY_WINDOW;
        let expected = if is_its_key && in_time {
            RotationDecision::Retry
        } else {
            decide(&history.session, parent, now, grace)
        };

        let decision = decide(&history.session, PresentedGeneration { retry_key: retry_key.map(Into::into), ..parent }, now, grace);

        prop_assert_eq!(decision, expected);
    }

    #[test]
    fn a_retry_key_turns_reuse_of_another_generation_into_indeterminate_only_within_grace_of_its_use((history, grace) in history(), retry_key in retry_key(), presented in 0..100_u64, later in prop_oneof![0..60_000_u64, 0..48 * HOUR]) {
        prop_assume!(presented + 1 != history.session.generation);
        let now = history.now + Duration::from_millis(later);
        let without = decide(&history.session, without_retry_key(presented), now, grace);
        let used_at = usize::try_from(presented + 1).ok().and_then(|next| history.superseded_at.get(next));
        let was_used_recently = used_at.is_some_and(|used| now.since(*used) < grace.duration());
        let is_spared = without == RotationDecision::Reuse && retry_key.is_some() && was_used_recently;

        let decision = decide(&history.session, PresentedGeneration { retry_key: retry_key.map(Into::into), ..without_retry_key(presented) }, now, grace);

        prop_assert_eq!(decision, if is_spared { RotationDecision::Indeterminate } else { without });
    }

    #[test]
    fn an_ended_session_has_ended_for_every_retry_key((history, grace) in history(), reason in reason()) {
        prop_assume!(history.session.generation > 0);
        let presented = PresentedGeneration { generation: history.session.generation - 1, retry_key: history.session.retry_key.map(Into::into) };
        let revoked = SessionState { revoked: Some(reason), ..history.session.clone() };
        let expired = SessionState { expires_at: history.now, ..history.session.clone() };
        let idle_too_long = SessionState { idle_limit: history.now.since(history.session.rotated_at), ..history.session };

        let decided = [revoked, expired, idle_too_long].map(|session| decide(&session, presented, history.now, grace));

        let over = RotationDecision::Ended(SessionEnd::Expired);
        prop_assert_eq!(decided, [RotationDecision::Ended(SessionEnd::Revoked(reason)), over, over]);
    }

    #[test]
    fn a_retry_key_hash_is_read_as_it_was_written(bytes in any::<[u8; 32]>()) {
        let hash = RetryKeyHash::new(bytes);

        prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        prop_assert!(hash.to_string()[1..].parse::<RetryKeyHash>().is_err());
    }

    #[test]
    fn a_generation_that_does_not_exist_is_unknown((history, grace) in history(), ahead in 1..u64::from(u32::MAX)) {
        let presented = history.session.generation + ahead;

        let decision = decide(&history.session, without_retry_key(presented), history.now, grace);

        prop_assert_eq!(decision, RotationDecision::UnknownGeneration);
    }

    #[test]
    fn a_revoked_session_has_ended_for_every_token((history, grace) in history(), reason in reason(), presented in 0..100_u64, later in 0..2_000 * HOUR) {
        let session = SessionState { revoked: Some(reason), ..history.session };

        let decision = decide(&session, without_retry_key(presented), history.now + Duration::from_millis(later), grace);

        prop_assert_eq!(decision, RotationDecision::Ended(SessionEnd::Revoked(reason)));
    }

    #[test]
    fn an_expired_session_has_ended_for_every_token((history, grace) in history(), presented in 0..100_u64, later in 0..HOUR) {
        let later = Duration::from_millis(later);
        let idle_too_long = history.session.rotated_at + history.session.idle_limit + later;
        let over = history.session.expires_at + later;

        for now in [idle_too_long, over] {
            let decision = decide(&history.session, without_retry_key(presented), now, grace);

            prop_assert_eq!(decision, RotationDecision::Ended(SessionEnd::Expired));
        }
    }

    #[test]
    fn a_session_is_live_until_its_last_millisecond((history, grace) in history()) {
        let session = SessionState { expires_at: history.now + Duration::from_millis(1), ..history.session };

        prop_assert_eq!(session.end(history.now), None);
        prop_assert_eq!(session.end(session.expires_at), Some(SessionEnd::Expired));
        prop_assert_eq!(decide(&session, without_retry_key(0), session.expires_at, grace), RotationDecision::Ended(SessionEnd::Expired));
    }

    #[test]
    fn rotating_adds_one_generation_and_keeps_the_limits_of_the_session((history, _) in history()) {
        let before = history.session;

        let after = before.rotated(None, history.now);

        prop_assert_eq!(after.generation, before.generation + 1);
        prop_assert_eq!(after.rotated_at, history.now);
        prop_assert_eq!(after.expires_at, before.expires_at);
        prop_assert_eq!(after.idle_limit, before.idle_limit);
        prop_assert_eq!(after.revoked, before.revoked);
    }

    #[test]
    fn superseded_times_are_read_as_they_were_written((history, _) in history()) {
        let text = history.session.superseded.text();

        let read: Superseded = text.parse().unwrap();

        prop_assert_eq!(read, history.session.superseded);
    }

    #[test]
    fn a_slow_clock_turns_no_legitimate_retry_into_reuse((history, grace) in history(), behind in 1..HOUR) {
        prop_assume!(grace > Grace::STRICT && history.session.generation > 0);
        let slow = history.session.rotated_at - Duration::from_millis(behind);

        let decision = decide(&history.session, without_retry_key(history.session.generation - 1), slow, grace);

        prop_assert_eq!(decision, RotationDecision::Retry);
    }
}

#[test]
fn a_retry_key_is_valid_until_the_last_millisecond_of_its_day() {
    let mut history = RotationHistory::begin();
    let retry_key = Some(RetryKeyHash::new([7; 32]));
    history.present_current_with_key(retry_key, 0, Grace::STRICT);
    let presented = PresentedGeneration {
        retry_key: retry_key.map(Into::into),
        ..without_retry_key(0)
    };
    let day = history.now + Duration::from_hours(24);

    let before = decide(
        &history.session,
        presented,
        day - Duration::from_millis(1),
        Grace::STRICT,
    );
    let after = decide(&history.session, presented, day, Grace::STRICT);

    assert_eq!(
        [before, after],
        [RotationDecision::Retry, RotationDecision::Reuse]
    );
}

#[test]
fn without_a_grace_period_every_superseded_token_is_reuse_at_once() {
    let mut history = RotationHistory::begin();
    history.present_current(0, Grace::STRICT);

    let decision = decide(
        &history.session,
        without_retry_key(0),
        history.now,
        Grace::STRICT,
    );

    assert_eq!(decision, RotationDecision::Reuse);
}

#[test]
fn the_seventeenth_rotation_inside_grace_is_postponed() {
    let mut history = RotationHistory::begin();

    let decisions: Vec<_> = (0..17)
        .map(|_| history.present_current(100, Grace::default()))
        .collect();
    let after_grace = history.present_current(9_000, Grace::default());

    assert_eq!(decisions[..16], [RotationDecision::Rotate; 16]);
    assert_eq!(decisions[16], RotationDecision::Retry);
    assert_eq!(after_grace, RotationDecision::Rotate);
    assert_eq!(history.session.generation, 17);
}

#[test]
fn a_retry_that_waited_while_others_rotated_is_not_reuse() {
    let mut history = RotationHistory::begin();
    let retry_key = Some(RetryKeyHash::new([7; 32]));
    history.present_current_with_key(retry_key, 0, Grace::STRICT);
    history.present_current(1000, Grace::STRICT);
    let used_at = history.now;
    history.present_current(1000, Grace::STRICT);
    let decide = |retry_key: Option<RetryKeyHash>, now| {
        decide(
            &history.session,
            PresentedGeneration {
                retry_key: retry_key.map(Into::into),
                ..without_retry_key(0)
            },
            now,
            Grace::STRICT,
        )
    };
    let before = used_at - Duration::from_millis(1);

    let another_key = Some(RetryKeyHash::new([8; 32]));
    assert_eq!(decide(retry_key, before), RotationDecision::Indeterminate);
    // The key that would decide is overwritten.
    assert_eq!(decide(another_key, before), RotationDecision::Indeterminate);
    assert_eq!(decide(None, before), RotationDecision::Reuse);
    assert_eq!(decide(retry_key, used_at), RotationDecision::Reuse);
}

#[test]
fn a_delayed_duplicate_of_a_successful_retry_is_not_reuse() {
    let grace = Grace::TEN_SECONDS;
    let mut history = RotationHistory::begin();
    let retry_key = Some(RetryKeyHash::new([7; 32]));
    history.present_current_with_key(retry_key, 0, grace);
    history.present_current(60_000, grace);
    let decide = |retry_key: Option<RetryKeyHash>, later| {
        let now = history.now + Duration::from_millis(later);
        decide(
            &history.session,
            PresentedGeneration {
                retry_key: retry_key.map(Into::into),
                ..without_retry_key(0)
            },
            now,
            grace,
        )
    };

    assert_eq!(decide(retry_key, 9_999), RotationDecision::Indeterminate);
    assert_eq!(decide(retry_key, 10_000), RotationDecision::Reuse);
    assert_eq!(decide(None, 0), RotationDecision::Reuse);
}

#[test]
fn a_token_that_waited_while_its_time_was_removed_is_not_reuse() {
    let mut history = RotationHistory::begin();
    history.present_current(0, Grace::default());
    let came = history.now;
    history.present_current(
        Grace::MAX.duration().as_millis().try_into().unwrap(),
        Grace::default(),
    );

    let decide = |now| {
        decide(
            &history.session,
            without_retry_key(0),
            now,
            Grace::default(),
        )
    };

    assert_eq!(decide(came), RotationDecision::Indeterminate);
    assert_eq!(decide(history.now), RotationDecision::Reuse);
}

#[test]
fn times_older_than_the_longest_grace_are_removed_from_the_row() {
    let mut history = RotationHistory::begin();
    for delay in [0, 100, 59_999, 60_000, 100] {
        history.present_current(delay, Grace::default());
    }

    let times = history.session.superseded.text();

    // The third rotation kept the times of both before it, the fourth kept none.
    let fourth = START.millis() + 120_099;
    assert_eq!(times, format!("{},{fourth}", fourth + 100));
}

#[test]
fn a_revocation_reason_is_read_as_it_was_written() {
    for reason in RevokeReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
    assert!("".parse::<RevokeReason>().is_err());
}

#[test]
fn an_invalid_list_of_times_is_refused() {
    let seventeen = vec!["1"; 17].join(",");
    let too_great = "9223372036854775808";

    for text in [
        ",", "1,", "1,,2", "x", " 1", "-1", "1x", too_great, &seventeen,
    ] {
        assert!(text.parse::<Superseded>().is_err(), "{text:?}");
    }
}

#[test]
fn a_grace_period_is_at_most_a_minute() {
    assert_eq!(Grace::new(Duration::from_mins(1)), Some(Grace::MAX));
    assert_eq!(Grace::new(Duration::from_millis(60_001)), None);
}
