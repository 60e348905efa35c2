use poem::http::HeaderValue;

use super::*;
use crate::logging::captured_log::CapturedLog;

const PROXY: &str = "10.0.0.1";

fn resolver() -> ClientAddressResolver {
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    ClientAddressResolver::new(&trusted)
}

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn resolved(peer: &str, lines: &[(&str, &[u8])]) -> String {
    let peer: IpAddr = peer.parse().unwrap();
    let resolved = resolver().find_client(peer.to_canonical(), &headers(lines));
    resolved.to_string()
}

fn by_proxy(name: &str, value: &str) -> String {
    resolved(PROXY, &[(name, value.as_bytes())])
}

#[test]
fn an_untrusted_client_cannot_choose_its_address() {
    assert_eq!(
        resolved("192.0.2.1", &[("x-forwarded-for", b"198.51.100.7")]),
        "192.0.2.1"
    );
    assert_eq!(
        resolved("192.0.2.1", &[("forwarded", b"for=198.51.100.7")]),
        "192.0.2.1"
    );
    assert_eq!(
        by_proxy("x-forwarded-for", "1.1.1.1, 198.51.100.7"),
        "198.51.100.7"
    );
    assert_eq!(
        by_proxy("forwarded", "for=1.1.1.1, for=198.51.100.7"),
        "198.51.100.7"
    );
}

#[test]
fn addresses_are_read_in_every_notation_of_proxies() {
    for (written, address) in [
        ("203.0.113.3", "203.0.113.3"),
        ("203.0.113.3:50001", "203.0.113.3"),
        ("  203.0.113.3:1  ", "203.0.113.3"),
        ("\"203.0.113.3:50001\"", "203.0.113.3"),
        ("203.0.113.3:_p1", "203.0.113.3"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("\"[2001:db8::1]:443\"", "2001:db8::1"),
        ("\"2001:db8::1\"", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:203.0.113.3", "203.0.113.3"),
        ("[::ffff:203.0.113.3]:50001", "203.0.113.3"),
        ("junk, 203.0.113.3", "203.0.113.3"),
        ("\"open, 203.0.113.3", "203.0.113.3"),
        (", 203.0.113.3, ,", "203.0.113.3"),
        ("203.0.113.3,10.0.0.2:80,[fd00::1]:80", "203.0.113.3"),
    ] {
        assert_eq!(by_proxy("x-forwarded-for", written), address, "{written}");
    }
}

#[test]
fn forwarded_is_read_in_every_form_of_rfc_7239() {
    for (written, address) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
        ("proto=https;FOR = 192.0.2.43", "192.0.2.43"),
        ("for=\"192.0.2.43:47011\"", "192.0.2.43"),
        ("for=192.0.2.43:47011", "192.0.2.43"),
        ("for=[2001:db8::1]", "2001:db8::1"),
        ("for=2001:db8::1", "2001:db8::1"),
        (
            "for=192.0.2.43,for=\"[fd00::1]:80\";by=\"_x\",for=10.9.9.9",
            "192.0.2.43",
        ),
        ("for=192.0.2.43;host=\"x,y\"", "192.0.2.43"),
        ("for=\"192.0.2.43\" ; secret=\"a\\\"b, c\"", "192.0.2.43"),
        ("for=192.0.2.43;ext=\"a;for=198.51.100.9\"", "192.0.2.43"),
        ("for=\"\\192.0.2.43\"", "192.0.2.43"),
        ("for=\"\\1\\9\\2.0.2.43\"", "192.0.2.43"),
    ] {
        assert_eq!(by_proxy("forwarded", written), address, "{written}");
    }
}

/// The values of `host` that a proxy copies from the request, in quotes.
#[test]
fn a_value_in_quotes_contains_no_entry() {
    for host in [
        "x,for=198.51.100.9;y=",
        "x, for=198.51.100.9",
        ";for=198.51.100.9;",
        "\\\",for=198.51.100.9;y=\\\"",
    ] {
        let written = format!("for=192.0.2.43;host=\"{host}\";proto=http");
        assert_eq!(by_proxy("forwarded", &written), "192.0.2.43", "{written}");
    }
}

#[test]
fn a_quote_that_a_client_leaves_open_hides_no_entry_of_a_proxy() {
    for client in [
        "for=\"x",
        "for=junk;host=\"a",
        "\"",
        "for=\"a\" b",
        "for=\"a\\",
        "x\"y\"",
    ] {
        for proxy in [
            "for=192.0.2.43",
            "for=192.0.2.43;host=\"h\"",
            "for=192.0.2.43;host=\"x,for=198.51.100.9;y=\"",
            "for=\"192.0.2.43:443\";host=\"a,b,c\";by=\"_p,q\"",
        ] {
            let written = format!("{client}, {proxy}");
            assert_eq!(by_proxy("forwarded", &written), "192.0.2.43", "{written}");
            assert_eq!(by_proxy("forwarded", client), PROXY, "{client}");
        }
    }
}

#[test]
fn a_line_of_many_commas_is_read_in_few_steps() {
    let commas = "x,".repeat(4_000);
    assert_eq!(by_proxy("forwarded", &format!("{commas}y\"")), PROXY);
    let written = format!("{commas}for=192.0.2.43");
    assert_eq!(by_proxy("forwarded", &written), "192.0.2.43");
}

#[test]
fn an_unreadable_address_resolves_to_the_nearest_proxy_and_is_logged_once() {
    for (name, written) in [
        ("x-forwarded-for", "unknown"),
        ("x-forwarded-for", "_hidden"),
        ("x-forwarded-for", "203.0.113.3:port"),
        ("x-forwarded-for", "203.0.113.3:70000"),
        ("x-forwarded-for", "203.0.113"),
        ("x-forwarded-for", "[2001:db8::1"),
        ("x-forwarded-for", "[2001:db8::1]443"),
        ("x-forwarded-for", "[203.0.113.3]"),
        ("x-forwarded-for", "for=203.0.113.3"),
        ("x-forwarded-for", "example.org"),
        ("x-forwarded-for", "203.0.113.3 198.51.100.1"),
        ("forwarded", "for=unknown"),
        ("forwarded", "for=_mdn"),
        ("forwarded", "for=\"_gazonk\""),
        ("forwarded", "proto=https"),
        ("forwarded", "for=192.0.2.1;for=192.0.2.2"),
        ("forwarded", "192.0.2.1"),
    ] {
        let log = CapturedLog::begin();
        let resolver = resolver();
        let headers = headers(&[(name, written.as_bytes())]);
        let proxy = IpAddr::from([10, 0, 0, 1]);

        for _ in 0..3 {
            assert_eq!(resolver.find_client(proxy, &headers), proxy, "{written}");
        }

        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{written}: {lines:?}");
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["header"], name);
    }
}

#[test]
fn invalid_bytes_of_a_client_do_not_hide_entries_of_proxies() {
    for client in [b"\xff".as_slice(), b"\xff\xfe, junk", b"\t", "ü".as_bytes()] {
        let line = [client, b", 203.0.113.9"].concat();

        assert_eq!(
            resolved(PROXY, &[("x-forwarded-for", &line)]),
            "203.0.113.9"
        );
        let line = [b"for=", client, b", for=203.0.113.9"].concat();
        assert_eq!(resolved(PROXY, &[("forwarded", &line)]), "203.0.113.9");
    }
}

#[test]
fn several_header_lines_are_read_as_one() {
    let lines: [(&str, &[u8]); 3] = [
        ("x-forwarded-for", b"1.1.1.1"),
        ("x-forwarded-for", b"\xff"),
        ("x-forwarded-for", b"198.51.100.7, 10.0.0.2"),
    ];

    assert_eq!(resolved(PROXY, &lines), "198.51.100.7");
}

#[test]
fn trusted_proxies_are_skipped() {
    assert_eq!(
        by_proxy("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
        "198.51.100.7"
    );
    assert_eq!(
        resolved(
            "::ffff:10.0.0.1",
            &[("x-forwarded-for", b"2001:db8::1".as_slice())]
        ),
        "2001:db8::1"
    );
    assert_eq!(resolved(PROXY, &[]), PROXY);
    assert_eq!(by_proxy("x-forwarded-for", "10.0.0.7"), "10.0.0.7");
}

#[test]
fn a_forwarded_header_of_the_client_does_not_replace_x_forwarded_for() {
    let lines: [(&str, &[u8]); 2] = [
        ("forwarded", b"for=1.1.1.1"),
        ("x-forwarded-for", b"198.51.100.7"),
    ];

    assert_eq!(resolved(PROXY, &lines), "198.51.100.7");
}

#[test]
fn an_untrusted_or_unsupported_proxy_is_logged_once() {
    let stranger = IpAddr::from([192, 0, 2, 1]);
    let proxy = IpAddr::from([10, 0, 0, 1]);
    for (peer, name, setting) in [
        (stranger, "x-forwarded-for", "LATCHET_TRUSTED_PROXIES"),
        (stranger, "forwarded", "LATCHET_TRUSTED_PROXIES"),
        (proxy, "x-real-ip", "X-Forwarded-For"),
        (proxy, "cf-connecting-ip", "X-Forwarded-For"),
    ] {
        let log = CapturedLog::begin();
        let resolver = resolver();
        let headers = headers(&[(name, b"for=203.0.113.9")]);

        for _ in 0..3 {
            assert_eq!(resolver.find_client(peer, &headers), peer, "{name}");
        }

        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert_eq!(lines[0]["client.address"], peer.to_string());
        let message = lines[0]["message"].as_str().unwrap();
        assert!(message.contains(setting), "{message}");
    }
}

#[test]
fn clients_without_a_proxy_are_not_reported() {
    let log = CapturedLog::begin();
    let stranger = IpAddr::from([192, 0, 2, 1]);

    assert_eq!(resolver().find_client(stranger, &headers(&[])), stranger);
    assert_eq!(
        resolver().find_client(
            stranger,
            &headers(&[("x-real-ip", b"203.0.113.9".as_slice())])
        ),
        stranger
    );

    assert_eq!(log.lines().len(), 0);
}
