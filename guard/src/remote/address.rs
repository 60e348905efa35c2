//! Addresses that requests may be sent to. Pure.

use std::net::IpAddr;

use reqwest::Url;

/// Addresses for which `http://` is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaintextPolicy {
    /// On this machine only. On other hosts an attacker on the network could replace the issuer's keys.
    #[default]
    Loopback,
    /// On any host: for networks that encrypt below HTTP, such as a service mesh.
    Anywhere,
}

/// Reason for refusing an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL, or with another scheme than `https` and `http`.
    #[error("`{0}` is not a URL that begins with https://")]
    NotAUrl(String),
    /// It has a part that issuer identifiers must not have (RFC 8414, section 2).
    #[error("`{0}` must have no user, no password, no query and no fragment")]
    Extra(String),
    /// Not encrypted, and not on this machine.
    #[error("`{0}` is not encrypted: use https://, or allow `PlaintextPolicy::Anywhere`")]
    Plaintext(String),
}

/// Parses an address, and refuses one that is not allowed.
pub(crate) fn parse_address(text: &str, plaintext: PlaintextPolicy) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(|_| AddressError::NotAUrl(text.to_owned()))?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        // Shortened: a password must not be logged.
        let host = url.host_str().unwrap_or_default();
        return Err(AddressError::Extra(format!("{}://{host}", url.scheme())));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if plaintext == PlaintextPolicy::Anywhere || is_loopback(&url) => Ok(url),
        "http" => Err(AddressError::Plaintext(text.to_owned())),
        _ => Err(AddressError::NotAUrl(text.to_owned())),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Returns the address of an issuer's metadata: the well-known path is inserted between host and the
/// issuer's path (RFC 8414, section 3.1).
pub(super) fn metadata_url(issuer: &Url) -> Url {
    const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
    let mut url = issuer.clone();
    url.set_path(&format!(
        "{WELL_KNOWN}{}",
        issuer.path().trim_end_matches('/')
    ));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_limited_to_this_machine() {
        for good in [
            "https://auth.example",
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:80/x",
        ] {
            assert!(
                parse_address(good, PlaintextPolicy::Loopback).is_ok(),
                "{good}"
            );
        }
        let inside = "http://latchet.auth.svc";
        assert_eq!(
            parse_address(inside, PlaintextPolicy::Loopback),
            Err(AddressError::Plaintext(inside.into()))
        );
        assert!(parse_address(inside, PlaintextPolicy::Anywhere).is_ok());
        assert!(parse_address("http://127.0.0.1.example", PlaintextPolicy::Loopback).is_err());
    }

    #[test]
    fn invalid_issuer_addresses_are_refused() {
        for bad in [
            "",
            "auth.example",
            "ftp://auth.example",
            "file:///etc/passwd",
        ] {
            assert_eq!(
                parse_address(bad, PlaintextPolicy::Anywhere),
                Err(AddressError::NotAUrl(bad.into()))
            );
        }
        for extra in [
            "https://u:secret@a.example",
            "https://a.example?x",
            "https://a.example#x",
        ] {
            let error = parse_address(extra, PlaintextPolicy::Anywhere).unwrap_err();
            assert_eq!(error, AddressError::Extra("https://a.example".into()));
        }
    }

    #[test]
    fn the_metadata_url_follows_rfc_8414() {
        for (issuer, expected) in [
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/one/",
                "https://a.example/.well-known/oauth-authorization-server/one",
            ),
        ] {
            let url = parse_address(issuer, PlaintextPolicy::Loopback).unwrap();
            assert_eq!(metadata_url(&url).as_str(), expected);
        }
    }
}
