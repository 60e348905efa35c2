//! Who is asking, as far as headers and addresses tell.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use poem::Request;
use poem::http::header::{HeaderMap, HeaderName, USER_AGENT};

use crate::server::config::Config;
use crate::server::events::Actor;
use crate::server::sessions::Caller;
use crate::server::store::{SessionId, UserId};
use crate::token::Claims;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Connections that have no address, such as those of tests, count as one caller.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// What the list of sessions shows.
const LONGEST_USER_AGENT: usize = 256;

/// Returns who sent a request.
pub(super) fn caller(request: &Request, config: &Config) -> Caller {
    let headers = request.headers();
    let user_agent = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    Caller {
        ip: ip(request, config),
        user_agent: user_agent
            .unwrap_or_default()
            .chars()
            .take(LONGEST_USER_AGENT)
            .collect(),
    }
}

/// Returns the address that a request came from.
pub(super) fn ip(request: &Request, config: &Config) -> IpAddr {
    let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
    let peer = peer.unwrap_or(UNKNOWN);
    address(peer, request.headers(), &config.trusted_proxies)
}

/// Returns who asks for something that is recorded, by the claims of the access token.
pub(super) fn actor(claims: &Claims, request: &Request, config: &Config) -> Actor {
    Actor::User {
        id: UserId::from(claims.sub.as_str()),
        session: claims.sid.as_deref().map(SessionId::from),
        jti: claims.jti.clone(),
        authority_version: claims.authority_version,
        ip: ip(request, config),
    }
}

/// Returns who asks for something that is recorded, without having proved an account.
pub(super) fn stranger(request: &Request, config: &Config) -> Actor {
    Actor::Stranger {
        ip: ip(request, config),
    }
}

/// Returns the address that the farthest proxy we trust was asked from. Whatever stands left of
/// that in `X-Forwarded-For` was written by whoever liked to.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let lines = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let hops: Vec<&str> = lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let mut nearest = peer.to_canonical();
    for hop in hops.into_iter().rev() {
        if !trusted.iter().any(|network| network.contains(&nearest)) {
            break;
        }
        let Ok(asked_from) = hop.parse::<IpAddr>() else {
            break;
        };
        nearest = asked_from.to_canonical();
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(peer: &str, forwarded: &[&str]) -> String {
        let lines = forwarded
            .iter()
            .map(|line| (FORWARDED_FOR, line.parse().unwrap()));
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        address(peer.parse().unwrap(), &lines.collect(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_his_address() {
        assert_eq!(address_of("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(
            address_of("10.0.0.1", &["1.1.1.1, 198.51.100.7"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn proxies_that_are_trusted_are_looked_through() {
        assert_eq!(
            address_of("10.0.0.1", &["198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            address_of("::ffff:10.0.0.1", &["2001:db8::1"]),
            "2001:db8::1"
        );
        assert_eq!(address_of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address_of("10.0.0.1", &["unknown"]), "10.0.0.1");
    }

    #[test]
    fn lines_of_the_header_count_like_one() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "1.1.1.1".parse().unwrap());
        headers.append(FORWARDED_FOR, "198.51.100.7".parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];

        let found = address(IpAddr::from([10, 0, 0, 1]), &headers, &trusted);

        assert_eq!(found, IpAddr::from([198, 51, 100, 7]));
    }
}
