//! Validity of announcements and readings.

use super::*;
use crate::test_app::TestApp;

const LONG: Duration = Duration::from_mins(20);
const SHORT: Duration = Duration::from_secs(10);
/// Just before an hour has passed.
const ALMOST: Duration = Duration::from_millis(3_599_999);
/// An hour after which nothing that the tests start is still valid.
const LATER: Duration = Duration::from_hours(1);

async fn lifetimes(own: Duration) -> (TestApp, TokenLifetimes) {
    let test = TestApp::open(&[]).await;
    let lifetimes = TokenLifetimes::new(test.app.store.clone(), own);
    (test, lifetimes)
}

fn announcement(at: Instant, renew_from: Instant) -> Announcement {
    Announcement {
        at,
        renew_from,
        phase_in: None,
    }
}

impl TokenLifetimes {
    fn keep(&self, announcement: Announcement) {
        self.0.announcement.store(Some(Arc::new(announcement)));
    }

    async fn announced(&self) -> Option<Duration> {
        self.0.store.longest_lifetime().await.unwrap()
    }
}

#[test]
fn a_shorter_lifetime_is_used_until_the_end_of_the_phase_in() {
    let now = Instant::now();
    let until = now + LATER;
    let phased_in = Announcement {
        phase_in: Some((until, SHORT)),
        ..announcement(now, now)
    };

    assert_eq!(phased_in.lifetime(LONG, now + ALMOST), SHORT);
    assert_eq!(phased_in.lifetime(LONG, until), LONG);
    assert_eq!(announcement(now, now).lifetime(LONG, now), LONG);
}

#[tokio::test]
async fn an_announcement_is_valid_for_an_hour() {
    let (_test, lifetimes) = lifetimes(LONG).await;
    let now = Instant::now();
    assert!(lifetimes.valid_announcement(now).is_none());

    lifetimes.keep(announcement(now, now));

    assert!(lifetimes.valid_announcement(now + ALMOST).is_some());
    assert!(
        lifetimes
            .valid_announcement(now + TRUSTED_VALIDITY)
            .is_none()
    );
}

#[tokio::test]
async fn an_announcement_states_its_time_its_renewal_and_the_phase_in() {
    let (_test, shorter) = lifetimes(SHORT).await;
    let longer = TokenLifetimes::new(shorter.0.store.clone(), LONG);
    let now = Instant::now();

    let first = shorter.announce(now, None).await.unwrap();
    let same = shorter.announce(now, None).await.unwrap();
    let before = Instant::now();
    let phased_in = longer.announce(now, None).await.unwrap();
    let renewed = longer.announce(now, Some(&phased_in)).await.unwrap();
    let known = longer.announce(now, Some(&first)).await.unwrap();

    assert_eq!((first.at, first.renew_from), (now, now + RENEWAL_AGE));
    assert!(first.phase_in.is_none(), "nothing was announced before");
    assert!(same.phase_in.is_none(), "the same lifetime was announced");
    let (until, lifetime) = phased_in.phase_in.expect("a shorter lifetime is in use");
    assert_eq!(lifetime, SHORT);
    assert!(until >= before + PHASE_IN_DELAY);
    assert_eq!(renewed.phase_in, Some((until, SHORT)));
    assert!(known.phase_in.is_none(), "it was phased in before");
}

#[tokio::test]
async fn a_valid_announcement_is_not_repeated_before_its_renewal() {
    let (_test, lifetimes) = lifetimes(LONG).await;
    let now = Instant::now();

    lifetimes.keep(announcement(now, now + LATER));
    assert_eq!(lifetimes.lifetime_to_issue().await.unwrap(), LONG);
    assert_eq!(lifetimes.announced().await, None);

    lifetimes.keep(announcement(now, now));
    assert_eq!(lifetimes.lifetime_to_issue().await.unwrap(), LONG);
    assert_eq!(lifetimes.announced().await, Some(LONG));
}

#[tokio::test]
async fn the_longest_lifetime_is_read_again_after_five_seconds() {
    let (_test, lifetimes) = lifetimes(SHORT).await;
    let keep = |at| {
        let reading = LongestLifetimeReading { at, longest: LONG };
        lifetimes.0.longest.store(Some(Arc::new(reading)));
    };
    let now = Instant::now();

    keep(now + LATER);
    assert_eq!(lifetimes.longest_in_use().await.unwrap(), LONG);

    keep(
        now.checked_sub(MAX_READING_AGE)
            .expect("the system has run for longer"),
    );
    assert_eq!(lifetimes.longest_in_use().await.unwrap(), SHORT);
}

#[tokio::test]
async fn a_server_announces_its_lifetime_without_a_request() {
    let (_test, lifetimes) = lifetimes(LONG).await;

    let announced = async {
        while lifetimes.announced().await.is_none() {
            tokio::task::yield_now().await;
        }
    };

    tokio::select! {
        () = lifetimes.renew_periodically() => unreachable!("it ends with its task"),
        done = tokio::time::timeout(Duration::from_secs(30), announced) => done.unwrap(),
    }
    assert_eq!(lifetimes.announced().await, Some(LONG));
}
