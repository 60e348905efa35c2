use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::*;
use crate::server::logging::captured::Captured;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/server/serve/testdata")
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

async fn shake_hands(socket: TcpStream, protocol: &str) -> TlsStream<TcpStream> {
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
    patiently(connector.connect(name, socket)).await.unwrap()
}

#[tokio::test]
async fn tls_is_spoken_and_the_scheme_is_known() {
    let endpoint = make_sync(|request| request.scheme().to_string());
    let server = Running::start_with(Some(acceptor()), limits(), endpoint).await;
    let mut stream = shake_hands(server.connect().await, "http/1.1").await;

    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();

    let mut answer = String::new();
    patiently(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("https"),
        "{answer}"
    );
}

#[tokio::test]
async fn http2_is_agreed_on_over_tls() {
    let server = Running::start_with(Some(acceptor()), limits(), hello()).await;

    let stream = shake_hands(server.connect().await, "h2").await;

    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
}

#[tokio::test]
async fn a_tls_handshake_that_is_never_begun_is_cut_off() {
    let limits = Limits {
        header_timeout: SHORT,
        ..limits()
    };
    let server = Running::start_with(Some(acceptor()), limits, hello()).await;
    let mut socket = server.connect().await;

    assert_eq!(rest(&mut socket).await, "");
}

#[test]
fn a_tls_file_that_is_missing_or_of_the_wrong_kind_is_named() {
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
struct Installed(tempfile::TempDir);

impl Installed {
    fn new() -> Self {
        let installed = Self(tempfile::tempdir().unwrap());
        for part in ["cert", "key"] {
            installed.put(
                part,
                &std::fs::read(testdata(&format!("localhost.{part}.pem"))).unwrap(),
            );
        }
        installed
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

fn serves(certificate: &TlsCertificate, name: &str) -> bool {
    let file = testdata(&format!("{name}.cert.pem"));
    certificate.end_entity() == CertificateDer::from_pem_file(file).unwrap()
}

#[test]
fn certificate_and_key_are_replaced_together_though_their_files_are_not() {
    let files = Installed::new();
    let certificate = files.load();
    let log = Captured::begin();

    files.renew("cert");
    certificate.look();
    assert!(serves(&certificate, "localhost"));
    files.renew("key");
    certificate.look();

    assert!(serves(&certificate, "renewed"));
    assert!(!log.text().contains("WARN"), "{}", log.text());
}

#[test]
fn a_new_certificate_that_cannot_be_used_is_logged_once_and_the_one_before_stays() {
    let files = Installed::new();
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
        let log = Captured::begin();
        files.put(part, bytes);
        for _ in 0..4 {
            certificate.look();
        }
        files.put(part, &before);
        certificate.look();

        let text = log.text();
        assert_eq!(
            text.matches("cannot be used; the previous one").count(),
            1,
            "{text}"
        );
        assert!(serves(&certificate, "localhost"));
    }
    std::fs::remove_file(files.path("key")).unwrap();
    let log = Captured::begin();
    certificate.reload();
    assert!(
        log.text().contains("cannot read the TLS key"),
        "{}",
        log.text()
    );
    assert!(serves(&certificate, "localhost"));
}

#[test]
fn a_byte_order_mark_before_the_pem_does_not_matter() {
    let files = Installed::new();
    for part in ["cert", "key"] {
        let bytes = std::fs::read(files.path(part)).unwrap();
        files.put(part, &[b"\xef\xbb\xbf".as_slice(), &bytes].concat());
    }

    assert!(serves(&files.load(), "localhost"));
}
