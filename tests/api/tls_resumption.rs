//! Resumption of TLS sessions, which saves a returning client the signature of the handshake.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::child::{Child, EndSignal};
use crate::support::server::command;
use crate::support::tls::Authority;
use crate::support::{Backend, poll, port};

/// Requests `/livez` by `openssl s_client` over TLS 1.3, and returns what it prints.
fn request(address: &str, request: &Path, options: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-tls1_3", "-ign_eof", "-connect", address])
        .args(["-servername", "auth.example.org"])
        .args(options)
        .stdin(std::fs::File::open(request).unwrap())
        .stderr(Stdio::null())
        .output()
        .expect("`openssl` starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_client_that_returns_resumes_its_session() {
    let backend = Backend::sqlite();
    let folder = backend.folder.path();
    let certificate = Authority::new().sign("DNS:auth.example.org");
    std::fs::write(folder.join("chain.pem"), &certificate.chain).unwrap();
    std::fs::write(folder.join("key.pem"), &certificate.key).unwrap();
    let text = "GET /livez HTTP/1.1\r\nHost: auth.example.org\r\nConnection: close\r\n\r\n";
    std::fs::write(folder.join("request"), text).unwrap();
    let session = folder.join("session").display().to_string();
    let address = format!("127.0.0.1:{}", port::free());
    let mut serve = command(&backend);
    serve
        .env("LATCHET_LISTEN", &address)
        .env("LATCHET_PUBLIC_URL", "https://auth.example.org")
        .env("LATCHET_TLS_CERT", folder.join("chain.pem"))
        .env("LATCHET_TLS_KEY", folder.join("key.pem"));
    let _server = Child::start(&mut serve, EndSignal::Kill);
    poll::until("the server to listen", || {
        std::net::TcpStream::connect(&address).is_ok()
    });
    let ask = |options: &[&str]| request(&address, &folder.join("request"), options);

    let first = ask(&["-sess_out", &session]);
    let second = ask(&["-sess_in", &session]);

    assert!(first.contains("New, TLSv1.3"), "{first}");
    assert!(first.contains("200 OK"), "{first}");
    assert!(second.contains("Reused, TLSv1.3"), "{second}");
    assert!(second.contains("200 OK"), "{second}");
}
