//! TLS from two files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{self, ServerConfig};

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the kind that is wanted.
    #[error("cannot read the TLS {what} in {}", path.display())]
    File {
        /// `certificates` or `key`.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key does not fit the certificate, or is of an unknown kind.
    #[error("the TLS certificate and key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// Reads a certificate chain and its private key.
///
/// # Errors
/// When a file is unreadable or the two do not fit.
pub fn load_tls(chain: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|found| {
            let is_empty = found.is_empty();
            (!is_empty).then_some(found).ok_or(pem::Error::NoItemsFound)
        })
        .map_err(|source| TlsError::File {
            what: "certificates",
            path: chain.to_owned(),
            source,
        })?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
        what: "key",
        path: key.to_owned(),
        source,
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
