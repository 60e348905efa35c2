//! TLS with certificate and key from two files, which are reloaded when they change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::aws_lc_rs::digest::{SHA256, digest};
use arc_swap::ArcSwap;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::error::error_chain;
use crate::text_file;
use latchet_guard::clock::Time;

mod expiry;

/// Time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Failure to set TLS up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {content} in {}", path.display())]
    UnreadableFile {
        /// `certificates` or `key`.
        content: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file holds no PEM of the expected kind.
    #[error("cannot read the TLS {content} in {}", path.display())]
    InvalidPem {
        /// `certificates` or `key`.
        content: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The key does not match the certificate, or is of an unknown kind.
    #[error("the TLS certificate and key cannot be used")]
    UnusablePair(#[from] rustls::Error),
}

/// A certificate chain with its private key, from files that are replaced from time to time, for example by
/// certbot. Clones share it.
#[derive(Clone, Debug)]
pub struct TlsCertificate(Arc<WatchedCertificate>);

#[derive(Debug)]
struct WatchedCertificate {
    chain: PathBuf,
    key: PathBuf,
    /// The certificate for new connections.
    current: ArcSwap<CertifiedKey>,
    check_state: Mutex<CheckState>,
}

/// State of the checks of the files.
#[derive(Debug)]
struct CheckState {
    /// Hash of the files of the served certificate.
    served_hash: [u8; 32],
    /// Fault that the last check found.
    last_fault: Option<String>,
    /// Fault that was logged last.
    logged_fault: Option<String>,
}

impl TlsCertificate {
    /// Reads a certificate chain and its private key.
    ///
    /// # Errors
    /// When a file is unreadable, or the key does not match the certificate.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = CertificateFiles::read(chain, key)?;
        Ok(Self(Arc::new(WatchedCertificate {
            chain: chain.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(read.certified_key()?),
            check_state: Mutex::new(CheckState {
                served_hash: read.hash(),
                last_fault: None,
                logged_fault: None,
            }),
        })))
    }

    /// Returns the TLS acceptor. Each connection gets the current certificate.
    ///
    /// # Errors
    /// When the TLS library does not support the protocol versions, or the system provides no random key for tickets.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        // Tickets need no memory here; the built-in cache has 256 sessions. Their keys are those of this process.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reloads the files at the operator's request. A fault is logged, and the certificate in use stays.
    pub fn reload(&self) {
        match self.reload_if_changed() {
            Ok(true) => {}
            Ok(false) => tracing::info!("the TLS certificate was reloaded and is unchanged"),
            Err(error) => {
                let fault = error_chain(&error).join(": ");
                log_fault(&fault);
                self.check_state().logged_fault = Some(fault);
            }
        }
    }

    /// Checks the files periodically and serves their current content, until the future is dropped.
    pub async fn watch(self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let this = self.clone();
            // The disk may hang, so not on this thread. A panic in the check is logged by the panic hook.
            let _ = tokio::task::spawn_blocking(move || this.check_files()).await;
        }
    }

    /// Checks the files once. One file is replaced before the other, and perhaps during the check, so a
    /// fault is logged only when the next check finds it too.
    pub(super) fn check_files(&self) {
        let fault = self
            .reload_if_changed()
            .err()
            .map(|error| error_chain(&error).join(": "));
        let mut check_state = self.check_state();
        if let Some(fault) = &fault
            && check_state.last_fault == Some(fault.clone())
            && check_state.logged_fault != check_state.last_fault
        {
            log_fault(fault);
            check_state.logged_fault = Some(fault.clone());
        }
        if fault.is_none() {
            check_state.logged_fault = None;
        }
        check_state.last_fault = fault;
    }

    /// Serves the content of the files; returns whether it has changed.
    fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let read = CertificateFiles::read(&self.0.chain, &self.0.key)?;
        let hash = read.hash();
        if hash == self.check_state().served_hash {
            return Ok(false);
        }
        self.0.current.store(Arc::new(read.certified_key()?));
        self.check_state().served_hash = hash;
        tracing::info!("the TLS certificate was replaced");
        Ok(true)
    }

    /// Returns the file of the served chain.
    pub fn file(&self) -> &Path {
        &self.0.chain
    }

    /// Returns the time at which the first certificate of the served chain expires.
    pub fn expires_at(&self) -> Option<Time> {
        expiry::earliest_expiry(&self.0.current.load().cert)
    }

    #[cfg(test)]
    pub(super) fn end_entity(&self) -> CertificateDer<'static> {
        self.0.current.load().cert[0].clone()
    }

    fn check_state(&self) -> MutexGuard<'_, CheckState> {
        let check_state = self.0.check_state.lock();
        check_state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for TlsCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load_full())
    }
}

fn log_fault(fault: &str) {
    tracing::warn!(
        error = fault,
        "the new TLS certificate cannot be used; the previous one stays in use"
    );
}

/// The content of the two files at one moment.
struct CertificateFiles<'a> {
    chain: (&'a Path, Vec<u8>),
    key: (&'a Path, Vec<u8>),
}

impl<'a> CertificateFiles<'a> {
    fn read(chain: &'a Path, key: &'a Path) -> Result<Self, TlsError> {
        let read = |content, path: &'a Path| {
            let bytes = text_file::read_pem(path).map_err(|source| TlsError::UnreadableFile {
                content,
                path: path.to_owned(),
                source,
            })?;
            Ok::<_, TlsError>((path, bytes))
        };
        Ok(Self {
            chain: read("certificates", chain)?,
            key: read("key", key)?,
        })
    }

    fn hash(&self) -> [u8; 32] {
        let sha256 = |bytes| digest(&SHA256, bytes).as_ref().to_vec();
        let both = [sha256(&self.chain.1), sha256(&self.key.1)].concat();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &both).as_ref());
        hash
    }

    fn certified_key(&self) -> Result<CertifiedKey, TlsError> {
        let (path, bytes) = &self.chain;
        let certificates = CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|found| {
                let is_empty = found.is_empty();
                (!is_empty).then_some(found).ok_or(pem::Error::NoItemsFound)
            })
            .map_err(|source| TlsError::InvalidPem {
                content: "certificates",
                path: (*path).to_owned(),
                source,
            })?;
        let (path, bytes) = &self.key;
        let private =
            PrivateKeyDer::from_pem_slice(bytes).map_err(|source| TlsError::InvalidPem {
                content: "key",
                path: (*path).to_owned(),
                source,
            })?;
        let provider = aws_lc_rs::default_provider();
        Ok(CertifiedKey::from_der(certificates, private, &provider)?)
    }
}

impl fmt::Debug for CertificateFiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFiles")
            .field("chain", &self.chain.0)
            .field("key", &self.key.0)
            .finish_non_exhaustive()
    }
}
