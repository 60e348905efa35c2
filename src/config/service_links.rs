//! Variables that Kubernetes puts into every pod for every Service of its namespace: `LATCHET_…` where the
//! name of the Service is `latchet` or begins with `latchet-`. They are no settings.
//!
//! They are recognised by the form of name and value, so that a setting with a typing error is not
//! taken for such a variable.

use std::net::IpAddr;

/// Returns whether this is a variable for a Service, by what follows `LATCHET_` in its name.
pub(super) fn is_service_link(suffix: &str, value: &str) -> bool {
    // The rest of the Service's name precedes each of these, if the name is longer than `latchet`.
    let ends_with = |end: &str| {
        let service = suffix.strip_suffix(end);
        service.is_some_and(|service| service.is_empty() || service.ends_with('_'))
    };
    let names_port = ends_with("SERVICE_PORT") || has_part(suffix, "SERVICE_PORT_");
    (ends_with("SERVICE_HOST") && is_address(value))
        || (names_port && is_port(value))
        || (ends_with("PORT") && is_url(value))
        || is_port_link(suffix, value)
}

/// Recognises `PORT_8080_TCP`, `PORT_8080_TCP_PROTO`, `…_PORT` and `…_ADDR`.
fn is_port_link(suffix: &str, value: &str) -> bool {
    let parts: Vec<&str> = suffix.split('_').collect();
    let rest = |at: usize| &parts[at + 1..];
    let places = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| **part == "PORT");
    places.into_iter().any(|(at, _)| match rest(at) {
        [number, protocol] => is_port(number) && is_protocol(protocol) && is_url(value),
        [number, protocol, what] => {
            let is_value = match *what {
                "PROTO" => is_protocol(value),
                "PORT" => is_port(value),
                "ADDR" => is_address(value),
                _ => false,
            };
            is_port(number) && is_protocol(protocol) && is_value
        }
        _ => false,
    })
}

/// Returns whether `suffix` is `part` after the name of a Service, which may be empty, and before the name
/// of a port.
fn has_part(suffix: &str, part: &str) -> bool {
    suffix.match_indices(part).any(|(at, _)| {
        let (before, behind) = (&suffix[..at], &suffix[at + part.len()..]);
        (before.is_empty() || before.ends_with('_')) && !behind.is_empty()
    })
}

/// Recognises `tcp://10.43.0.9:8080` and `udp://[fd00::9]:53`.
fn is_url(value: &str) -> bool {
    value.split_once("://").is_some_and(|(protocol, address)| {
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        is_protocol(protocol) && is_port(port) && is_address(host)
    })
}

fn is_protocol(value: &str) -> bool {
    ["tcp", "udp", "sctp"].contains(&value.to_ascii_lowercase().as_str())
}

fn is_port(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}

fn is_address(value: &str) -> bool {
    let bare = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(value).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_services_are_recognised() {
        for service in [
            "",
            "METRICS_",
            "ACCESS_TTL_",
            "DATA_DIR_",
            "PORT_",
            "SERVICE_",
        ] {
            for (variable, value) in [
                ("SERVICE_HOST", "10.43.0.9"),
                ("SERVICE_HOST", "fd00::9"),
                ("SERVICE_PORT", "8080"),
                ("SERVICE_PORT_HTTP", "8080"),
                ("SERVICE_PORT_HTTP_ADMIN", "8080"),
                ("PORT", "tcp://10.43.0.9:8080"),
                ("PORT", "udp://[fd00::9]:53"),
                ("PORT_8080_TCP", "tcp://10.43.0.9:8080"),
                ("PORT_8080_TCP_PROTO", "tcp"),
                ("PORT_8080_TCP_PORT", "8080"),
                ("PORT_8080_TCP_ADDR", "10.43.0.9"),
                ("PORT_53_UDP", "udp://10.43.0.9:53"),
                ("PORT_9899_SCTP_PROTO", "sctp"),
            ] {
                let suffix = format!("{service}{variable}");
                assert!(is_service_link(&suffix, value), "{suffix}={value}");
            }
        }
    }

    #[test]
    fn variables_that_only_look_similar_are_no_service_links() {
        for (suffix, value) in [
            ("PORT", "8080"),
            ("METRICS_PORT", "9090"),
            ("SERVICE_NAME", "latchet"),
            ("SERVICE_HOST", "auth.example.org"),
            ("SERVICE_PORT", "http"),
            ("SERVICE_PORT_", "80"),
            ("XSERVICE_HOST", "10.43.0.9"),
            ("LISTENPORT", "tcp://10.43.0.9:8080"),
            ("PORT_HTTP_TCP", "tcp://10.43.0.9:8080"),
            ("PORT_8080_TCP", "10.43.0.9:8080"),
            ("PORT_8080_TCP_NAME", "tcp"),
            ("PORT_8080", "tcp://10.43.0.9:8080"),
            ("PORT", "http://10.43.0.9:8080"),
            ("PORT", "tcp://10.43.0.9"),
            ("PORT", ""),
        ] {
            assert!(!is_service_link(suffix, value), "{suffix}={value}");
        }
    }
}
