use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::*;
use crate::logging::captured_log::CapturedLog;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/serve/testdata")
        .join(name)
}

fn acceptor() -> TlsAcceptor {
    let (chain, key) = (
        testdata("localhost.cert.pem"),
        testdata("localhost.key.pem"),
    );
    let certificate = TlsCertificate::load(&chain, &key).unwrap();
    certificate.acceptor().unwrap()
}

async fn tls_handshake(socket: TcpStream, protocol: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let chain = CertificateDer::from_pem_file(testdata("localhost.cert.pem")).unwrap();
    roots.add(chain).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    with_timeout(connector.connect(name, socket)).await.unwrap()
}

#[tokio::test]
async fn requests_over_tls_have_the_scheme_https() {
    let endpoint = make_sync(|request| request.scheme().to_string());
    let server = TestServer::start_with(Some(acceptor()), limits(), endpoint).await;
    let mut stream = tls_handshake(server.connect().await, "http/1.1").await;

    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();

    let mut response = String::new();
    with_timeout(stream.read_to_string(&mut response))
        .await
        .unwrap();
    assert!(
        response.starts_with("HTTP/1.1 200") && response.ends_with("https"),
        "{response}"
    );
}

#[tokio::test]
async fn http2_is_negotiated_over_tls() {
    let server = TestServer::start_with(Some(acceptor()), limits(), hello_endpoint()).await;

    let stream = tls_handshake(server.connect().await, "h2").await;

    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
}

#[tokio::test]
async fn a_missing_tls_handshake_times_out() {
    let limits = ConnectionLimits {
        header_timeout: SHORT_TIMEOUT,
        ..limits()
    };
    let server = TestServer::start_with(Some(acceptor()), limits, hello_endpoint()).await;
    let mut socket = server.connect().await;

    assert_eq!(read_until_closed(&mut socket).await, "");
}

#[test]
fn the_error_names_a_missing_or_wrong_tls_file() {
    let (chain, key) = (
        testdata("localhost.cert.pem"),
        testdata("localhost.key.pem"),
    );
    let missing = testdata("missing.pem");
    let table = [
        (&missing, &key, "certificates in"),
        (&key, &key, "certificates in"),
        (&chain, &missing, "key in"),
        (&chain, &chain, "key in"),
    ];

    for (chain, key, what) in table {
        let Err(error) = TlsCertificate::load(chain, key) else {
            panic!("accepted {} and {}", chain.display(), key.display());
        };
        let text = error.to_string();
        assert!(text.contains(what) && text.contains(".pem"), "{text}");
    }
}

/// A folder with the certificate and key file of a server.
struct CertificateFolder(tempfile::TempDir);

impl CertificateFolder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for part in ["cert", "key"] {
            folder.put(
                part,
                &std::fs::read(testdata(&format!("localhost.{part}.pem"))).unwrap(),
            );
        }
        folder
    }

    fn path(&self, part: &str) -> PathBuf {
        self.0.path().join(part)
    }

    fn put(&self, part: &str, bytes: &[u8]) {
        std::fs::write(self.path(part), bytes).unwrap();
    }

    fn renew(&self, part: &str) {
        let file = testdata(&format!("renewed.{part}.pem"));
        self.put(part, &std::fs::read(file).unwrap());
    }

    fn load(&self) -> TlsCertificate {
        TlsCertificate::load(&self.path("cert"), &self.path("key")).unwrap()
    }
}

fn is_served(certificate: &TlsCertificate, name: &str) -> bool {
    let file = testdata(&format!("{name}.cert.pem"));
    certificate.end_entity() == CertificateDer::from_pem_file(file).unwrap()
}

#[test]
fn certificate_and_key_are_replaced_together() {
    let files = CertificateFolder::new();
    let certificate = files.load();
    let log = CapturedLog::begin();

    files.renew("cert");
    certificate.check_files();
    assert!(is_served(&certificate, "localhost"));
    files.renew("key");
    certificate.check_files();

    assert!(is_served(&certificate, "renewed"));
    assert!(!log.text().contains("WARN"), "{}", log.text());
}

#[test]
fn an_unusable_new_certificate_is_logged_once_and_the_previous_one_stays() {
    let files = CertificateFolder::new();
    let certificate = files.load();
    let other_key = std::fs::read(testdata("renewed.key.pem")).unwrap();
    let faults: [(&str, &[u8]); 5] = [
        ("cert", b""),
        ("cert", b"-----BEGIN CERTIFICATE-----\nbm8=\n"),
        ("key", b"no key"),
        ("key", &other_key),
        ("cert", b"\xff\xfe-\0-\0"),
    ];

    for (part, bytes) in faults {
        let before = std::fs::read(files.path(part)).unwrap();
        let log = CapturedLog::begin();
        files.put(part, bytes);
        for _ in 0..4 {
            certificate.check_files();
        }
        files.put(part, &before);
        certificate.check_files();

        let text = log.text();
        assert_eq!(
            text.matches("cannot be used; the previous one").count(),
            1,
            "{text}"
        );
        assert!(is_served(&certificate, "localhost"));
    }
    std::fs::remove_file(files.path("key")).unwrap();
    let log = CapturedLog::begin();
    certificate.reload();
    assert!(
        log.text().contains("cannot read the TLS key"),
        "{}",
        log.text()
    );
    assert!(is_served(&certificate, "localhost"));
}

#[test]
fn a_byte_order_mark_before_the_pem_is_ignored() {
    let files = CertificateFolder::new();
    for part in ["cert", "key"] {
        let bytes = std::fs::read(files.path(part)).unwrap();
        files.put(part, &[b"\xef\xbb\xbf".as_slice(), &bytes].concat());
    }

    assert!(is_served(&files.load(), "localhost"));
}
