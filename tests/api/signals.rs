//! Signals, and certificates that are replaced while the server runs.

use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::support::child::{Child, EndSignal};
use crate::support::server::{Replica, command};
use crate::support::{Backend, poll, port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_signal_to_stop_lets_running_requests_finish() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut server = Replica::start(&Backend::sqlite()).await;
        let mut stream = TcpStream::connect(server.http.address()).await.unwrap();
        let body = br#"{"username":"nobody","password":"a password that is long"}"#;
        let head = format!(
            "POST /v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Reports that the handler runs and waits for the body.
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await.unwrap();

        server.signal(signal);
        stream.write_all(body).await.unwrap();

        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{signal:?}: {answer}");
        assert!(
            server.wait().success(),
            "{signal:?}: {}",
            server.written_log()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_for_files_and_logs_end_no_server() {
    let mut server = Replica::start(&Backend::sqlite()).await;

    for (signal, said) in [
        (Signal::HUP, "no certificate to reload"),
        (Signal::USR1, "ignored a signal"),
        (Signal::USR2, "ignored a signal"),
    ] {
        let before = server.log().await.matches(said).count();
        server.signal(signal);
        poll::until("the signal to be noticed", || {
            server.written_log().matches(said).count() > before
        });
        server.http.get("/livez").send().await.expect(200);
    }

    server.terminate();
    assert!(server.wait().success());
}

fn testdata(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/serve/testdata")
        .join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(testdata(&format!("{name}.cert.pem"))).unwrap()
}

/// Returns the certificate that a new connection gets, `None` while there is no server.
async fn served_certificate(port: u16) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    for name in ["localhost", "renewed"] {
        roots.add(certificate(name)).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(client))
        .connect(name, socket)
        .await
        .ok()?;
    let chain = stream.get_ref().1.peer_certificates()?;
    Some(chain[0].clone().into_owned())
}

/// Puts a certificate and its key where the server reads them, one after the other as certbot does.
fn install(name: &str, folder: &Path) {
    for part in ["cert", "key"] {
        let new = folder.join(format!("{part}.new"));
        std::fs::copy(testdata(&format!("{name}.{part}.pem")), &new).unwrap();
        std::fs::rename(new, folder.join(format!("{part}.pem"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_reloaded_and_a_broken_one_is_not() {
    let backend = Backend::sqlite();
    let folder = backend.folder.path();
    install("localhost", folder);
    let port = port::free();
    let log = folder.join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = command(&backend);
    command
        .env("LATCHET_LISTEN", format!("127.0.0.1:{port}"))
        .env("LATCHET_PUBLIC_URL", format!("https://localhost:{port}"))
        .env("LATCHET_TLS_CERT", folder.join("cert.pem"))
        .env("LATCHET_TLS_KEY", folder.join("key.pem"))
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let mut server = Child::start(&mut command, EndSignal::Kill);
    let wait_for = async |name: &str| {
        let wanted = certificate(name);
        poll::until_some("the certificate to be served", async || {
            (served_certificate(port).await? == wanted).then_some(())
        })
        .await;
    };
    let said = |text: &str| std::fs::read_to_string(&log).unwrap().contains(text);
    wait_for("localhost").await;

    install("renewed", folder);
    wait_for("renewed").await;

    std::fs::write(folder.join("cert.pem"), "half a certif").unwrap();
    server.signal(Signal::HUP);
    poll::until("the fault to be logged", || {
        said("the previous one stays in use")
    });
    wait_for("renewed").await;

    install("localhost", folder);
    server.signal(Signal::HUP);
    wait_for("localhost").await;
    server.signal(Signal::TERM);
    assert!(server.wait(poll::DEADLINE).success());
}
