//! TLS from a certificate and a key in PEM files.
//!
//! Owns the reading of both. Invariant: a certificate without its key, or a key that others can read, stops the start.

use crate::config::Tls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM of its kind.
    #[error("{what} {path}: {why}")]
    File {
        /// What it should be.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// They do not go together.
    #[error("the TLS certificate and key do not go together: {0}")]
    Pair(#[from] rustls::Error),
}

/// What accepts TLS connections with this certificate.
pub fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let certs = certificates(&tls.cert)?;
    let key = private_key(&tls.key)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(certs, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why: String| TlsError::File { what: "the TLS certificate", path: path.to_owned(), why };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    let certs: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    match certs.is_empty() {
        true => Err(failed("holds no certificate".into())),
        false => Ok(certs),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let failed = |why: String| TlsError::File { what: "the TLS key", path: path.to_owned(), why };
    let about = path.metadata().map_err(|error| failed(error.to_string()))?;
    if about.permissions().mode() & 0o007 != 0 {
        return Err(failed("is open to everyone on this machine: chmod o-rwx it".into()));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| failed(error.to_string()))
}
