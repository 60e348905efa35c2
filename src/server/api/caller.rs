//! The sender of a request: its address, its user agent, and the user that its token names.

use std::net::IpAddr;

use poem::Request;
use poem::http::header::USER_AGENT;

use crate::server::client_address::{ClientAddress, ClientAddresses};
use crate::server::config::Config;
use crate::server::events::Actor;
use crate::server::sessions::Caller;
use crate::server::store::{SessionId, UserId};
use crate::token::Claims;

/// Longest part of a user agent that a session stores.
const LONGEST_USER_AGENT: usize = 256;

/// Returns the address and user agent of a request.
pub(super) fn caller(request: &Request, config: &Config) -> Caller {
    let user_agent = request.headers().get(USER_AGENT);
    let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let user_agent = user_agent.unwrap_or_default();
    Caller {
        ip: ip(request, config),
        user_agent: user_agent.chars().take(LONGEST_USER_AGENT).collect(),
    }
}

/// Returns the IP address of the client.
pub(super) fn ip(request: &Request, config: &Config) -> IpAddr {
    let known = request.data::<ClientAddress>().copied();
    // The envelope has set it, except where a test calls the routes without an envelope.
    let found = known.unwrap_or_else(|| ClientAddresses::new(&config.trusted_proxies).of(request));
    found.0
}

/// Returns the actor of a recorded event: the user of the access token.
pub(super) fn actor(claims: &Claims, request: &Request, config: &Config) -> Actor {
    Actor::User {
        id: UserId::from(claims.sub.as_str()),
        session: claims.sid.as_deref().map(SessionId::from),
        jti: claims.jti.clone(),
        authority_version: claims.authority_version,
        ip: ip(request, config),
    }
}

/// Returns the actor of a recorded event for a request without an access token.
pub(super) fn stranger(request: &Request, config: &Config) -> Actor {
    Actor::Stranger {
        ip: ip(request, config),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn a_user_agent_is_kept_whatever_its_bytes_and_cut() {
        let config = Config::load(
            ["latchet"],
            [("", ""); 0].map(|(a, b)| (a.to_owned(), b.to_owned())),
        );
        let config = config.unwrap();
        for (sent, kept) in [
            (b"Firefox".to_vec(), "Firefox".to_owned()),
            ("Bücher/1".as_bytes().to_vec(), "Bücher/1".to_owned()),
            (b"B\xfccher/1".to_vec(), "B\u{fffd}cher/1".to_owned()),
            (vec![b'x'; 5000], "x".repeat(LONGEST_USER_AGENT)),
        ] {
            let mut request = Request::builder().finish();
            let value = HeaderValue::from_bytes(&sent).unwrap();
            request.headers_mut().insert(USER_AGENT, value);

            assert_eq!(caller(&request, &config).user_agent, kept);
        }
    }
}
