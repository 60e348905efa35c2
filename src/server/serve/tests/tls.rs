use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::*;

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
    load_tls(&chain, &key).unwrap()
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
        let Err(error) = load_tls(chain, key) else {
            panic!("accepted {} and {}", chain.display(), key.display());
        };
        let text = error.to_string();
        assert!(text.contains(what) && text.contains(".pem"), "{text}");
    }
}
