//! The store on a SQLite file, or on the PostgreSQL that `TEST_DATABASE_URL` names.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, EntityTrait};
use secrecy::SecretString;
use tempfile::TempDir;

use super::batch_connection::BatchConnection;
use super::{
    DenialPeriod, EventPageRequest, ListedSession, LoginDevice, NewPassword, NewSession, NewUser,
    PresentedRefreshToken, Revocation, RotationOutcome, RotationSettings, SecurityEvent, Session,
    SessionId, SessionPageRequest, Store, StoreError, User,
};
use crate::config::{DatabaseKind, DatabaseUrl};
use crate::rotation::{Grace, RevokeReason};
use crate::security_events::{Actor, EventKind};
use latchet_guard::clock::Time;
use latchet_guard::denylist::{Denial, DenialTarget, TokenIds, TokenStatus};

mod announced_lifetimes;
mod authority;
mod authorization;
mod clock;
mod codes;
mod connections;
mod emails;
mod end_everything;
mod outbox;
mod reset_links;
mod revocations;
mod rotations;
mod security_events;
mod session_lists;
mod sessions;
mod signing_keys;
mod throttle;
mod users;

/// In the past by the clock of every database: sessions and tokens that end in a test have ended there, too.
pub(super) const NOW: Time = Time::from_millis(1_700_000_000_000);
const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const MINUTE: Duration = Duration::from_mins(1);
const ACCESS_TTL: Duration = Duration::from_mins(15);

pub(super) const ROTATION_SETTINGS: RotationSettings = RotationSettings {
    grace: Grace::TEN_SECONDS,
    denial_ttl: ACCESS_TTL,
};

/// A store on a separate, empty database.
pub(super) struct TestStore {
    pub(super) store: Store,
    url: DatabaseUrl,
    /// Removed when the test is over.
    _folder: TempDir,
}

impl TestStore {
    pub(super) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let url = empty_database(&folder).await;
        let store = Store::open(&url).await.unwrap();
        Self {
            store,
            url,
            _folder: folder,
        }
    }

    /// Another process on the same database.
    async fn replica(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }

    /// Returns a connection for several statements.
    pub(super) async fn acquire_batch_connection(&self) -> BatchConnection {
        self.store
            .0
            .connections
            .acquire_batch_connection()
            .await
            .unwrap()
    }

    pub(super) async fn user(&self, name: &str) -> User {
        let created = self
            .store
            .create_user(new_user(name), &Actor::Operator, NOW);
        created.await.unwrap()
    }

    async fn administrator(&self, name: &str) -> User {
        let new = NewUser {
            roles: vec!["admin".to_owned()],
            locale: None,
            ..new_user(name)
        };
        let created = self.store.create_user(new, &Actor::Operator, NOW);
        created.await.unwrap()
    }

    pub(super) async fn log_in(&self, user: &User) -> Session {
        let created = self
            .store
            .create_session(user, new_session(), &[], NOW)
            .await;
        created.unwrap().unwrap().current.session
    }

    pub(super) async fn log_in_alice(&self) -> Session {
        self.log_in(&self.user("alice").await).await
    }

    pub(super) async fn present_token(
        &self,
        session: &Session,
        generation: u64,
        now: Time,
    ) -> RotationOutcome {
        present_token(&self.store, session, generation, now).await
    }

    pub(super) async fn stored(&self, session: &Session) -> Session {
        let stored = self.store.session(&session.id).await.unwrap();
        stored.unwrap().session
    }

    /// Returns the user's live sessions, newest login first.
    async fn sessions_of(&self, user: &User, now: Time) -> Vec<ListedSession> {
        let page = SessionPageRequest {
            user: Some(user.id.clone()),
            after: None,
            search: None,
            limit: 1000,
        };
        let named = self.store.sessions(&page, now).await.unwrap();
        named.into_iter().map(|named| named.listed).collect()
    }

    /// Returns the time of the session's revocation in the database.
    async fn revoked_at(&self, session: &Session) -> Option<Time> {
        let row = entity::session::Entity::find_by_id(session.id.as_str());
        let row = row.one(self.store.reader()).await.unwrap().unwrap();
        row.revoked_at.map(Time::from_millis)
    }

    pub(super) async fn log_out(&self, session: &Session, now: Time) -> Vec<Denial> {
        let revocation = revocation_for(RevokeReason::Logout, now);
        let revoked = self
            .store
            .revoke_session(&session.id, None, &revocation, None);
        revoked.await.unwrap()
    }

    /// Returns all events, newest first.
    async fn events(&self) -> Vec<SecurityEvent> {
        let page = EventPageRequest {
            after: None,
            limit: 100,
        };
        self.store.events(&page).await.unwrap()
    }

    /// Returns the sessions of the events of this kind.
    pub(super) async fn sessions_of_events(&self, kind: EventKind) -> Vec<SessionId> {
        let events = self.events().await.into_iter();
        let of_kind = events.filter(|event| event.kind == kind);
        of_kind.filter_map(|event| event.session).collect()
    }

    async fn is_denied(&self, session: &Session) -> bool {
        self.status(session, 0).await != TokenStatus::NotDenied
    }

    /// Returns the status of a token of the session that was issued with this version.
    async fn status(&self, session: &Session, authority_version: u64) -> TokenStatus {
        let ids = TokenIds {
            sid: Some(session.id.as_str()),
            jti: "no token",
            sub: session.user_id.as_str(),
            authority_version,
        };
        self.store.token_status(ids).await.unwrap()
    }
}

async fn empty_database(folder: &TempDir) -> DatabaseUrl {
    #[expect(clippy::disallowed_methods, reason = "not a setting of the server")]
    let Ok(url) = std::env::var("TEST_DATABASE_URL") else {
        return sqlite_url(folder);
    };
    let schema = format!("t{:x}", rand_u64());
    let admin = Database::connect(&url).await.unwrap();
    let create = format!("CREATE SCHEMA {schema}");
    admin.execute_unprepared(&create).await.unwrap();
    let with = if url.contains('?') { '&' } else { '?' };
    format!("{url}{with}options=-csearch_path%3D{schema}")
        .parse()
        .unwrap()
}

fn rand_u64() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn sqlite_url(folder: &TempDir) -> DatabaseUrl {
    let path = folder.path().join("data/latchet.db");
    format!("sqlite://{}", path.display()).parse().unwrap()
}

async fn present_token(
    store: &Store,
    session: &Session,
    generation: u64,
    now: Time,
) -> RotationOutcome {
    let token = presented_token(session, generation);
    store.rotate(token, now, ROTATION_SETTINGS).await.unwrap()
}

fn new_password(hash: &str) -> NewPassword {
    NewPassword {
        hash: hash.into(),
        notices: Vec::new(),
    }
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        username: name.to_owned(),
        password_hash: SecretString::from("first"),
        roles: vec!["reader".to_owned()],
        locale: None,
    }
}

fn new_session() -> NewSession {
    NewSession {
        limit: NonZeroU32::MAX,
        period: period(NOW),
        expires_at: NOW + Duration::from_hours(720),
        idle_limit: Duration::from_hours(336),
        amr: vec!["pwd".to_owned()],
        scope: Vec::new(),
        is_narrowed: false,
        client_id: String::new(),
        device: laptop(),
    }
}

/// Returns the list entry of a session that was created at `now`.
fn listed(session: &Session, now: Time) -> ListedSession {
    ListedSession {
        session: session.clone(),
        created_at: now,
        device: laptop(),
    }
}

fn laptop() -> LoginDevice {
    LoginDevice {
        user_agent: "a browser".to_owned(),
        ip: "192.0.2.1".to_owned(),
        label: "laptop".to_owned(),
    }
}

pub(super) fn presented_token(session: &Session, generation: u64) -> PresentedRefreshToken {
    PresentedRefreshToken {
        session: session.id.clone(),
        user: session.user_id.clone(),
        generation,
        csrf_epoch: session.csrf_epoch,
        retry_key: None,
        ip: None,
    }
}

fn revocation_for(reason: RevokeReason, now: Time) -> Revocation {
    Revocation {
        reason,
        period: period(now),
    }
}

fn period(now: Time) -> DenialPeriod {
    DenialPeriod {
        now,
        not_after: now + ACCESS_TTL,
    }
}

/// Returns the version below which a denial refuses the tokens of the user.
fn denied_below(denial: &Denial, user: &User) -> u64 {
    match &denial.denied {
        DenialTarget::User { id, below } if *id == user.id.to_string() => *below,
        other => panic!("{other:?} is not about {}", user.id),
    }
}

/// Returns the user as the actor, in that session if one is given.
fn as_actor(user: &User, session: Option<&Session>) -> Actor {
    Actor::User {
        id: user.id.clone(),
        session: session.map(|session| session.id.clone()),
        jti: "a token".to_owned(),
        authority_version: u64::MAX,
        ip: IP,
    }
}

fn denial(session: &Session, not_after: Time) -> Denial {
    Denial {
        denied: DenialTarget::Session(session.id.to_string()),
        not_after,
    }
}

/// Runs the futures at once and returns their outputs in order.
async fn run_concurrently<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "each is awaited below")]
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}
