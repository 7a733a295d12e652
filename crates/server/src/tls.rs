//! The server's certificate: given as files, or made by itself on the first start. Join tokens
//! carry its fingerprint, so a self-signed one is as good as another.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

/// How the server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain on a loopback address, TLS elsewhere.
    Auto,
    /// Plain HTTP: behind a proxy that speaks TLS.
    Off,
    /// TLS with a certificate of its own making.
    SelfSigned,
    /// TLS with these PEM files: chain and key.
    Files(PathBuf, PathBuf),
}

/// Ready to accept.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the first certificate, in hex.
    pub fingerprint: String,
}

/// From PEM files.
pub fn from_files(chain: &Path, key: &Path) -> Result<Tls, String> {
    let named = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
        .map_err(|error| named(chain, &error))?
        .collect::<Result<_, _>>()
        .map_err(|error| named(chain, &error))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
    let first = certificates.first().ok_or_else(|| named(chain, &"no certificate in it"))?;
    let fingerprint = hex::encode(Sha256::digest(first.as_ref()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(certificates, key_der)
        .map_err(|error| named(key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), fingerprint })
}

/// A certificate of our own under the data folder, made once.
pub fn self_signed(data: &Path, host: &str) -> Result<Tls, String> {
    let (chain, key) = (data.join("server.crt"), data.join("server.key"));
    if !chain.exists() || !key.exists() {
        let names = vec![host.to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        crate::files::write_private(&key, made.signing_key.serialize_pem().as_bytes())?;
        fs::write(&chain, made.cert.pem())
            .map_err(|error| format!("{}: {error}", chain.display()))?;
    }
    from_files(&chain, &key)
}
