//! The sender of a request: its address, its user agent, and the user that its token names.

use std::net::IpAddr;

use poem::Request;
use poem::http::header::USER_AGENT;

use crate::client_address::{ClientAddress, ClientAddressResolver};
use crate::config::Config;
use crate::security_events::Actor;
use crate::sessions::ClientInfo;
use crate::store::{SessionId, UserId};
use latchet_guard::token::Claims;

/// Longest part of a user agent that a session stores.
const MAX_USER_AGENT_LENGTH: usize = 256;

/// Returns the address and user agent of a request.
pub(super) fn client_details(request: &Request, config: &Config) -> ClientInfo {
    let user_agent = request.headers().get(USER_AGENT);
    let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let user_agent = user_agent.unwrap_or_default();
    ClientInfo {
        ip: client_ip(request, config),
        user_agent: user_agent.chars().take(MAX_USER_AGENT_LENGTH).collect(),
    }
}

/// Returns the IP address of the client.
pub(super) fn client_ip(request: &Request, config: &Config) -> IpAddr {
    let known = request.data::<ClientAddress>().copied();
    // The request layer has set it, except where a test calls the routes without that layer.
    let found = known
        .unwrap_or_else(|| ClientAddressResolver::new(&config.trusted_proxies).resolve(request));
    found.0
}

/// Returns the actor of a recorded event: the user of the access token.
pub(super) fn user_actor(claims: &Claims, request: &Request, config: &Config) -> Actor {
    Actor::User {
        id: UserId::from(claims.sub.as_str()),
        session: claims.sid.as_deref().map(SessionId::from),
        jti: claims.jti.clone(),
        authority_version: claims.authority_version,
        ip: client_ip(request, config),
    }
}

/// Returns the actor of a recorded event for a request without an access token.
pub(super) fn anonymous_actor(request: &Request, config: &Config) -> Actor {
    Actor::Anonymous {
        ip: client_ip(request, config),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn a_user_agent_of_any_bytes_is_stored_up_to_its_limit() {
        let config = Config::load(
            ["latchet"],
            [("", ""); 0].map(|(a, b)| (a.to_owned(), b.to_owned())),
        );
        let config = config.unwrap();
        for (sent, kept) in [
            (b"Firefox".to_vec(), "Firefox".to_owned()),
            ("Bücher/1".as_bytes().to_vec(), "Bücher/1".to_owned()),
            (b"B\xfccher/1".to_vec(), "B\u{fffd}cher/1".to_owned()),
            (vec![b'x'; 5000], "x".repeat(MAX_USER_AGENT_LENGTH)),
        ] {
            let mut request = Request::builder().finish();
            let value = HeaderValue::from_bytes(&sent).unwrap();
            request.headers_mut().insert(USER_AGENT, value);

            assert_eq!(client_details(&request, &config).user_agent, kept);
        }
    }
}
