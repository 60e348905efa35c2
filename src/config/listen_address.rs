//! Addresses to listen on, in the usual notations.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::WebOrigin;

const DEFAULT_PORT: u16 = 8080;

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A fixed address: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `0.0.0.0`, `8080`.
    Fixed(SocketAddr),
    /// A port (`:8080`, or the variable `PORT`): of all addresses if other machines can reach the public
    /// URL, of 127.0.0.1 otherwise.
    Port(u16),
}

impl ListenAddress {
    /// Returns the address, for a server that clients reach at `public_url`.
    pub fn address(self, public_url: &WebOrigin) -> SocketAddr {
        match self {
            Self::Fixed(address) => address,
            Self::Port(port) if public_url.is_loopback() => local(port),
            Self::Port(port) => (Ipv4Addr::UNSPECIFIED, port).into(),
        }
    }

    /// Returns the address for clients on this machine.
    pub(super) fn local_address(self) -> SocketAddr {
        match self {
            Self::Fixed(address) => address,
            Self::Port(port) => local(port),
        }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Port(port) => write!(f, ":{port}"),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(address) = text.parse() {
            return Ok(Self::Fixed(address));
        }
        if let Some(port) = port(text) {
            return Ok(Self::Fixed(local(port)));
        }
        if let Some(port) = text.strip_prefix(':').and_then(port) {
            return Ok(Self::Port(port));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if !host.contains(':') => (host, port(digits)),
            _ => (text, Some(DEFAULT_PORT)),
        };
        let port = port.ok_or_else(|| fault(text))?;
        let host = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            host => {
                let bare = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'));
                bare.unwrap_or(host).parse().map_err(|_| fault(text))?
            }
        };
        Ok(Self::Fixed((host, port).into()))
    }
}

/// Accepts digits alone: Rust's parser accepts `+80` too.
fn port(text: &str) -> Option<u16> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

fn fault(text: &str) -> String {
    format!(
        "`{text}` is not an address to listen on; write it like 127.0.0.1:8080, [::1]:8080, localhost:8080 or 8080, and 0.0.0.0:8080 for all addresses"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, public_url: &str) -> String {
        let listen: ListenAddress = text.parse().unwrap();
        listen.address(&public_url.parse().unwrap()).to_string()
    }

    #[test]
    fn an_address_may_be_written_in_the_usual_ways() {
        let table = [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[::]:0", "[::]:0"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("localhost", "127.0.0.1:8080"),
            ("8081", "127.0.0.1:8081"),
            ("0", "127.0.0.1:0"),
            (":8081", "127.0.0.1:8081"),
            ("127.0.0.1", "127.0.0.1:8080"),
            ("::1", "[::1]:8080"),
            ("[::1]", "[::1]:8080"),
            ("*:8080", "0.0.0.0:8080"),
            (" 127.0.0.1:8080 ", "127.0.0.1:8080"),
        ];

        for (text, expected) in table {
            assert_eq!(address(text, "http://localhost:8080"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_port_after_a_colon_listens_on_all_addresses_if_the_public_url_is_not_local() {
        assert_eq!(address(":80", "https://auth.example.org"), "0.0.0.0:80");
        assert_eq!(address("80", "https://auth.example.org"), "127.0.0.1:80");
        assert_eq!(address(":80", "https://localhost"), "127.0.0.1:80");
    }

    #[test]
    fn an_invalid_listen_address_is_refused_with_examples() {
        for text in [
            "",
            ":",
            "65536",
            ":65536",
            "-1",
            "+80",
            "localhost:",
            "localhost:http",
            "auth.example.org:8080",
            "http://127.0.0.1:8080",
            "tcp://10.0.0.1:8080",
            "127.0.0.1:8080/",
            "127.0.0:80",
            "[::1]8080",
            "/run/latchet.sock",
        ] {
            let refused = text.parse::<ListenAddress>();
            assert!(
                refused
                    .as_ref()
                    .is_err_and(|why| why.contains("write it like")),
                "{text:?}: {refused:?}"
            );
        }
    }
}
