//! Certificates for servers of the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::scratch;

/// An authority of its own.
#[derive(Debug)]
pub(crate) struct Authority(TempDir);

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Authority {
    /// Creates an authority that no client trusts.
    pub(crate) fn new() -> Self {
        let authority = Self(scratch::folder());
        openssl(
            &authority.0,
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=Authority of tests",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ],
        );
        authority
    }

    /// Returns the file with its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// Signs a certificate for these names, such as `DNS:localhost`.
    pub(crate) fn sign(&self, names: &str) -> Certificate {
        let folder = &self.0;
        openssl(
            folder,
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=server",
                "-keyout",
                "leaf.key",
                "-out",
                "leaf.csr",
            ],
        );
        let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(folder.path().join("leaf.ext"), extensions).expect("the folder is ours");
        openssl(
            folder,
            &[
                "x509",
                "-req",
                "-in",
                "leaf.csr",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "leaf.ext",
                "-out",
                "leaf.pem",
            ],
        );
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("openssl wrote it");
        Certificate {
            chain: read("leaf.pem"),
            key: read("leaf.key"),
        }
    }
}

fn openssl(folder: impl AsRef<Path>, arguments: &[&str]) {
    let status = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::null())
        .status()
        .expect("`openssl` starts; `scripts/test` installs it");
    assert!(status.success(), "openssl {arguments:?}");
}
