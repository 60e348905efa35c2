//! `latchet health`: asks the server of these settings whether it is ready, for health checks of containers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{CliError, Config};

/// Shorter than the timeout of the health checks in `packaging/`, so that the reason is printed.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Longest response that is read.
const MAX_RESPONSE_BYTES: u64 = 64 << 10;

/// Returns a text for a server that is ready.
///
/// # Errors
/// When the server does not respond in time or is not ready.
pub(super) async fn check(config: &Config) -> Result<String, CliError> {
    let listen = config.listen_address();
    if listen.port() == 0 {
        return Err(CliError::Other(
            "the server listens on a port that the system chooses: set LATCHET_LISTEN to an address with a port"
                .to_owned(),
        ));
    }
    let address = local_address(listen);
    let attempt = format!("ask the server at {address}");
    let asked = tokio::time::timeout(TIMEOUT, ask(address, config.tls_cert.is_some()));
    let response = asked.await.map_err(|_| {
        CliError::Other(format!(
            "the server at {address} did not respond within {} s",
            TIMEOUT.as_secs()
        ))
    })?;
    let response = response.map_err(CliError::system(attempt))?;
    match Readiness::parse(&response) {
        Some(Readiness::Ready) => Ok(format!("the server at {address} is ready\n")),
        Some(Readiness::NotReady(reasons)) => Err(CliError::Other(format!(
            "the server at {address} is not ready; failing: {}",
            reasons.join(", ")
        ))),
        None => Err(CliError::Other(format!(
            "the process at {address} does not respond like Latchet: check LATCHET_LISTEN, and LATCHET_TLS_CERT if it serves https"
        ))),
    }
}

/// Returns the address at which a server that listens on `listen` can be reached from this machine.
fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, listen.port()).into()
}

async fn ask(address: SocketAddr, is_tls: bool) -> std::io::Result<Vec<u8>> {
    let stream = TcpStream::connect(address).await?;
    if !is_tls {
        return request(stream, address).await;
    }
    let connector = TlsConnector::from(Arc::new(tls_client().map_err(std::io::Error::other)?));
    let name = ServerName::from(address.ip());
    request(connector.connect(name, stream).await?, address).await
}

/// Sends the request and reads to the end of the connection, which HTTP/1.0 closes after one response.
async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
) -> std::io::Result<Vec<u8>> {
    let head = format!("GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n");
    let mut stream = stream.take(MAX_RESPONSE_BYTES);
    stream.get_mut().write_all(head.as_bytes()).await?;
    let mut response = Vec::new();
    match stream.read_to_end(&mut response).await {
        // A connection that is closed without the end of TLS, after a response, which is checked for itself.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        done => drop(done?),
    }
    Ok(response)
}

#[derive(Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// With the names of the parts that fail.
    NotReady(Vec<String>),
}

impl Readiness {
    /// Reads a response of `/readyz`; `None` if it is none.
    fn parse(response: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(response).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
        let report: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).ok()?;
        report.get("status")?;
        if status == "200" {
            return Some(Self::Ready);
        }
        let failing = report.into_iter().filter(|(name, value)| {
            name != "status" && value.as_str().is_some_and(|value| value == "failing")
        });
        Some(Self::NotReady(failing.map(|(name, _)| name).collect()))
    }
}

fn tls_client() -> Result<ClientConfig, Error> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Accepts any certificate: that of the server names the public host, and its authority may be private.
/// The request contains no secret, and a false response would deceive the health check of this machine only.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_all_addresses_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:8080", "192.0.2.1:8080"),
        ] {
            let address = local_address(listen.parse().unwrap());

            assert_eq!(address.to_string(), asked);
        }
    }

    #[test]
    fn a_response_is_readiness_or_that_of_another_program() {
        let table = [
            (
                "HTTP/1.0 200 OK\r\na: b\r\n\r\n{\"status\":\"ok\"}",
                Some(Readiness::Ready),
            ),
            (
                "HTTP/1.1 503 x\r\n\r\n{\"status\":\"failing\",\"database\":\"failing\",\"clock\":\"ok\"}",
                Some(Readiness::NotReady(vec!["database".to_owned()])),
            ),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", None),
            ("HTTP/1.1 200 OK\r\n\r\n{}", None),
            ("HTTP/1.1 200 OK\r\n\r\n{\"status\":", None),
            ("SSH-2.0-OpenSSH_9.2", None),
            ("", None),
        ];

        for (response, expected) in table {
            assert_eq!(
                Readiness::parse(response.as_bytes()),
                expected,
                "{response}"
            );
        }
    }
}
