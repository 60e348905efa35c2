//! TLS from two files, which are read again when they change.

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

use crate::server::error::causes;
use crate::server::text_file;

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {what} in {}", path.display())]
    Unread {
        /// `certificates` or `key`.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no PEM of the kind that is wanted.
    #[error("cannot read the TLS {what} in {}", path.display())]
    Pem {
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

/// A certificate chain with its private key, from files that are replaced now and then, as by certbot.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct TlsCertificate(Arc<Certificate>);

#[derive(Debug)]
struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    /// Connections that begin now get this one.
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Seen>,
}

/// Results of looking at the files.
#[derive(Debug)]
struct Seen {
    /// Hash of what is served.
    served: [u8; 32],
    /// Fault of the latest look.
    fault: Option<String>,
    /// Fault that the log has.
    logged: Option<String>,
}

impl TlsCertificate {
    /// Reads a certificate chain and its private key.
    ///
    /// # Errors
    /// When a file is unreadable or the two do not fit.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = Files::read(chain, key)?;
        Ok(Self(Arc::new(Certificate {
            chain: chain.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(read.certified_key()?),
            seen: Mutex::new(Seen {
                served: read.hash(),
                fault: None,
                logged: None,
            }),
        })))
    }

    /// Returns what accepts connections, each with the certificate of its moment.
    ///
    /// # Errors
    /// When the library that speaks TLS lacks something.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again, since the operator asks for it. A fault is logged, and the certificate in
    /// use stays.
    pub fn reload(&self) {
        match self.replace() {
            Ok(true) => {}
            Ok(false) => tracing::info!("the TLS certificate was read again and is the same"),
            Err(error) => {
                let fault = causes(&error).join(": ");
                log_fault(&fault);
                self.seen().logged = Some(fault);
            }
        }
    }

    /// Looks at the files now and then and serves what they hold, until it is dropped.
    pub async fn watch(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = self.clone();
            // Files may be on a disk that hangs. A look that panics has logged that.
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    /// One file is replaced before the other, and perhaps while it is read, so a fault is logged when the
    /// next look finds it too.
    pub(super) fn look(&self) {
        let fault = self.replace().err().map(|error| causes(&error).join(": "));
        let mut seen = self.seen();
        if let Some(fault) = &fault
            && seen.fault == Some(fault.clone())
            && seen.logged != seen.fault
        {
            log_fault(fault);
            seen.logged = Some(fault.clone());
        }
        if fault.is_none() {
            seen.logged = None;
        }
        seen.fault = fault;
    }

    /// Serves what the files hold; returns whether that is new.
    fn replace(&self) -> Result<bool, TlsError> {
        let read = Files::read(&self.0.chain, &self.0.key)?;
        let hash = read.hash();
        if hash == self.seen().served {
            return Ok(false);
        }
        self.0.current.store(Arc::new(read.certified_key()?));
        self.seen().served = hash;
        tracing::info!("the TLS certificate was replaced");
        Ok(true)
    }

    #[cfg(test)]
    pub(super) fn end_entity(&self) -> CertificateDer<'static> {
        self.0.current.load().cert[0].clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        let seen = self.0.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner)
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
        "the new TLS certificate cannot be used; the one before is served on"
    );
}

/// The two files as they were at one moment.
struct Files<'a> {
    chain: (&'a Path, Vec<u8>),
    key: (&'a Path, Vec<u8>),
}

impl<'a> Files<'a> {
    fn read(chain: &'a Path, key: &'a Path) -> Result<Self, TlsError> {
        let read = |what, path: &'a Path| {
            let bytes = text_file::read_pem(path).map_err(|source| TlsError::Unread {
                what,
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
        let of = |bytes| digest(&SHA256, bytes).as_ref().to_vec();
        let both = [of(&self.chain.1), of(&self.key.1)].concat();
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
            .map_err(|source| TlsError::Pem {
                what: "certificates",
                path: (*path).to_owned(),
                source,
            })?;
        let (path, bytes) = &self.key;
        let private = PrivateKeyDer::from_pem_slice(bytes).map_err(|source| TlsError::Pem {
            what: "key",
            path: (*path).to_owned(),
            source,
        })?;
        let provider = aws_lc_rs::default_provider();
        Ok(CertifiedKey::from_der(certificates, private, &provider)?)
    }
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("chain", &self.chain.0)
            .field("key", &self.key.0)
            .finish_non_exhaustive()
    }
}
