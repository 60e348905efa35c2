//! The address of a client, also behind trusted proxies.
//!
//! Proxies write `X-Forwarded-For`, some `Forwarded` (RFC 7239) instead, with a port or without, and IPv6
//! in brackets or not. Each proxy appends the address of its peer, so the last entry is read first.
//! Entries to the left of the first address that is no trusted proxy were written by the client.
//! All clients whose address cannot be read count as one; that is reported once.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use poem::Request;
use poem::http::{HeaderMap, HeaderName, header};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers in which some proxies write the address. They are not read.
const UNSUPPORTED_HEADERS: [&str; 3] = ["x-real-ip", "cf-connecting-ip", "true-client-ip"];
/// Connections that have no address, such as those of tests, count as one client.
const UNKNOWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Longest part of a header that is logged.
const MAX_LOGGED_LENGTH: usize = 64;

/// The address of the client of a request. Routes read it from the data of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Resolver of client addresses. Clones share the record of logged warnings.
#[derive(Clone, Debug)]
pub(super) struct ClientAddressResolver {
    trusted: Arc<[IpNet]>,
    reported: Arc<LoggedWarnings>,
}

/// Warnings that were logged: each once, because every request would repeat it.
#[derive(Debug, Default)]
struct LoggedWarnings {
    untrusted_proxy: AtomicBool,
    unreadable: AtomicBool,
    unsupported_header: AtomicBool,
}

impl ClientAddressResolver {
    /// Returns a resolver that trusts these proxies.
    pub(super) fn new(trusted: &[IpNet]) -> Self {
        Self {
            trusted: trusted.into(),
            reported: Arc::default(),
        }
    }

    /// Returns the address of the client of a request.
    pub(super) fn resolve(&self, request: &Request) -> ClientAddress {
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        ClientAddress(self.find_client(
            peer.unwrap_or(UNKNOWN_ADDRESS).to_canonical(),
            request.headers(),
        ))
    }

    /// Returns the address of the peer of the farthest trusted proxy.
    fn find_client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            self.report_untrusted(peer, headers);
            return peer;
        }
        let mut nearest = peer;
        let mut has_entries = false;
        for entry in forwarded_entries(headers) {
            has_entries = true;
            let Some(address) = entry.address() else {
                self.report_unreadable(nearest, &entry);
                break;
            };
            nearest = address.to_canonical();
            if !self.trusts(nearest) {
                break;
            }
        }
        if !has_entries {
            self.report_unsupported_header(peer, headers);
        }
        nearest
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    fn report_untrusted(&self, peer: IpAddr, headers: &HeaderMap) {
        let reported = &self.reported.untrusted_proxy;
        if reported.load(Ordering::Relaxed) {
            return;
        }
        let known = [FORWARDED_FOR, header::FORWARDED];
        let Some(name) = known.iter().find(|name| headers.contains_key(*name)) else {
            return;
        };
        if !reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                client.address = %peer,
                header = name.as_str(),
                "an untrusted proxy sends the address of its client: if it is yours, add it to LATCHET_TRUSTED_PROXIES; until then all its clients share one login throttle (logged once)"
            );
        }
    }

    fn report_unreadable(&self, proxy: IpAddr, entry: &ForwardedEntry<'_>) {
        if !self.reported.unreadable.swap(true, Ordering::Relaxed) {
            let text = entry.text().escape_ascii().to_string();
            let text: String = text.chars().take(MAX_LOGGED_LENGTH).collect();
            tracing::warn!(
                client.address = %proxy,
                header = entry.header(),
                value = text,
                "a trusted proxy sends a client address that cannot be read: all such clients share its login throttle (logged once)"
            );
        }
    }

    fn report_unsupported_header(&self, proxy: IpAddr, headers: &HeaderMap) {
        let reported = &self.reported.unsupported_header;
        let Some(name) = UNSUPPORTED_HEADERS
            .iter()
            .find(|name| headers.contains_key(**name))
        else {
            return;
        };
        if !reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                client.address = %proxy,
                header = name,
                "a trusted proxy sends the client address in a header that is not read: configure it to write X-Forwarded-For; until then all its clients share one login throttle (logged once)"
            );
        }
    }
}

/// Commas up to which the beginning of one entry of `Forwarded` is searched for, which bounds the work.
const MAX_COMMAS_OF_ENTRY: usize = 16;

/// One entry of a header, as a proxy has appended it.
enum ForwardedEntry<'h> {
    /// Of `X-Forwarded-For`: the address alone.
    Address(&'h [u8]),
    /// Of `Forwarded`: pairs, of which `for` has the address.
    Pairs(&'h [u8]),
    /// The beginning of a line of `Forwarded` whose quotes do not match: it has no entries.
    Malformed(&'h [u8]),
}

/// Returns the entries, the last first. `Forwarded` is read only if there is no `X-Forwarded-For`: most
/// proxies write the latter, and pass on a `Forwarded` header of the client unchanged.
fn forwarded_entries(headers: &HeaderMap) -> impl Iterator<Item = ForwardedEntry<'_>> {
    let is_usual = headers.contains_key(FORWARDED_FOR);
    let name = if is_usual {
        FORWARDED_FOR
    } else {
        header::FORWARDED
    };
    let lines = headers.get_all(name).into_iter().rev();
    lines
        .flat_map(move |line| {
            if is_usual {
                address_entries(line.as_bytes())
            } else {
                pair_entries(line.as_bytes())
            }
        })
        .filter(|entry| !entry.text().is_empty())
}

/// Returns the entries of a line of `X-Forwarded-For`, the last first.
fn address_entries(line: &[u8]) -> Vec<ForwardedEntry<'_>> {
    let addresses = line.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    addresses.map(ForwardedEntry::Address).collect()
}

/// Returns the entries of a line of `Forwarded`, the last first.
///
/// An entry is the shortest text up to the end whose quotes match. So a comma in a value that a proxy has
/// copied from the request, such as that of `host`, begins no entry: the text after it has one quote too
/// many. And a quote that a client leaves open hides no entry of a proxy.
fn pair_entries(line: &[u8]) -> Vec<ForwardedEntry<'_>> {
    let mut entries = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let commas = text.iter().enumerate().rev();
        let commas = commas.filter_map(|(at, &byte)| (byte == b',').then_some(at));
        let mut starts = commas.map(Some).chain([None]).take(MAX_COMMAS_OF_ENTRY);
        let after = |comma: &Option<usize>| &text[comma.map_or(0, |at| at + 1)..];
        let Some(comma) = starts.find(|comma| split_unquoted(after(comma), b';').is_some()) else {
            entries.push(ForwardedEntry::Malformed(text));
            break;
        };
        entries.push(ForwardedEntry::Pairs(after(&comma).trim_ascii()));
        rest = comma.map(|at| &text[..at]);
    }
    entries
}

/// Splits a text at each separator outside quotes, and trims the parts; `None` where quotes are not those of
/// whole values (RFC 7230, section 3.2.6).
fn split_unquoted(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        if byte == separator {
            parts.push(text[start..at].trim_ascii());
            start = at + 1;
        } else if byte == b'"' {
            let is_value = text[start..at].trim_ascii_end().ends_with(b"=");
            at += quoted_length(&text[at..]).filter(|_| is_value)?;
            let next = text[at..].trim_ascii_start().first();
            if next.is_some_and(|next| !b",;".contains(next)) {
                return None;
            }
            continue;
        }
        at += 1;
    }
    parts.push(text[start..].trim_ascii());
    Some(parts)
}

/// Returns the length of the quoted string at the beginning of a text, with its quotes.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Removes the quotes of a value, and the backslashes of its quoted pairs.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
    else {
        return Cow::Borrowed(value);
    };
    let mut bytes = inner.iter();
    let mut text = Vec::with_capacity(inner.len());
    while let Some(&byte) = bytes.next() {
        let pair = if byte == b'\\' { bytes.next() } else { None };
        text.push(pair.copied().unwrap_or(byte));
    }
    Cow::Owned(text)
}

impl ForwardedEntry<'_> {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(node) => parse_address(node),
            Self::Pairs(pairs) => parse_address(&unquoted(forwarded_for(pairs)?)),
            Self::Malformed(_) => None,
        }
    }

    const fn text(&self) -> &[u8] {
        match self {
            Self::Address(text) | Self::Pairs(text) | Self::Malformed(text) => text,
        }
    }

    fn header(&self) -> &'static str {
        match self {
            Self::Address(_) => "x-forwarded-for",
            Self::Pairs(_) | Self::Malformed(_) => "forwarded",
        }
    }
}

/// Returns the value of `for`, which must occur exactly once.
fn forwarded_for(pairs: &[u8]) -> Option<&[u8]> {
    let pairs = split_unquoted(pairs, b';')?;
    let mut nodes = pairs.into_iter().filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let name = pair[..at].trim_ascii();
        name.eq_ignore_ascii_case(b"for")
            .then(|| pair[at + 1..].trim_ascii())
    });
    let node = nodes.next()?;
    nodes.next().is_none().then_some(node)
}

/// Reads `192.0.2.1`, `192.0.2.1:50001`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:443`, in quotes
/// or not.
fn parse_address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = quoted.unwrap_or(text).trim_ascii();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_good.then(|| strip_zone(address).parse().ok().map(IpAddr::V6))?;
    }
    if let Ok(address) = strip_zone(text).parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?
}

/// Removes the network interface, which has a meaning on the proxy's machine alone: `fe80::1%eth0`.
fn strip_zone(address: &str) -> &str {
    match address.split_once('%') {
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        _ => address,
    }
}

/// Port of RFC 7239, section 6: a number, or an obfuscated name.
fn is_port(text: &str) -> bool {
    let is_obfuscated = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(allowed)
    };
    text.parse::<u16>().is_ok() || text.strip_prefix('_').is_some_and(is_obfuscated)
}

#[cfg(test)]
mod tests;
