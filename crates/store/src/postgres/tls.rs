//! Encryption of the connection. `sslmode=require` in the address asks for it, and the server's
//! certificate and name are then always checked: against the file that `sslrootcert=` names, or
//! against the system's authorities. Without `sslmode` the connection is in the clear, which is
//! right for a socket of this machine and for a private network only.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::fault::Cause;

/// Where the common systems keep the authorities they trust.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// No encryption was asked for.
    Clear,
    /// The system's authorities.
    System,
    /// Those of a file.
    File(PathBuf),
}

impl Trust {
    /// Takes our part out of the address: `sslrootcert`, which the client library does not know,
    /// and the modes of `libpq` that it has no name for.
    pub(super) fn split(url: &str) -> Result<(String, Self), String> {
        let Some((address, query)) = url.split_once('?') else {
            return Ok((url.to_owned(), Self::Clear));
        };
        let mut kept = Vec::new();
        let mut root = None;
        let mut mode = "disable";
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sslrootcert", path)) => root = Some(PathBuf::from(path)),
                Some(("sslmode", given)) => mode = given,
                Some(_) | None => kept.push(pair.to_owned()),
            }
        }
        let (known, trust) = match (mode, root) {
            ("disable" | "allow" | "prefer", None) => ("disable", Self::Clear),
            ("require" | "verify-ca" | "verify-full", Some(path)) => ("require", Self::File(path)),
            ("require" | "verify-ca" | "verify-full", None) => ("require", Self::System),
            ("disable" | "allow" | "prefer", Some(_)) => {
                return Err("sslrootcert asks for encryption; add sslmode=verify-full".to_owned());
            }
            (other, _) => return Err(format!("sslmode={other} is not one of libpq's modes")),
        };
        kept.push(format!("sslmode={known}"));
        Ok((format!("{address}?{}", kept.join("&")), trust))
    }

    pub(super) fn connector(&self) -> Result<Option<MakeRustlsConnect>, Cause> {
        let path = match self {
            Self::Clear => return Ok(None),
            Self::File(path) => path.clone(),
            Self::System => {
                let found = SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
                found.ok_or_else(|| {
                    Cause::Content(
                        "this system has no list of trusted authorities; name one with \
                         sslrootcert=FILE in the address"
                            .to_owned(),
                    )
                })?
            }
        };
        let bad = |why: &dyn std::fmt::Display| {
            Cause::Content(format!("the certificates of {}: {why}", path.display()))
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| bad(&error))? {
            let certificate = certificate.map_err(|error| bad(&error))?;
            roots.add(certificate).map_err(|error| bad(&error))?;
        }
        // The provider is named, so that nothing depends on what the process installed.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Some(MakeRustlsConnect::new(config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_whom_to_trust() {
        let check = |url: &str, expect: &str, trust: Trust| {
            assert_eq!(Trust::split(url), Ok((expect.to_owned(), trust)), "{url}");
        };
        check("postgres://a@h/d", "postgres://a@h/d", Trust::Clear);
        check("postgres://h/d?port=7", "postgres://h/d?port=7&sslmode=disable", Trust::Clear);
        check(
            "postgres://h/d?sslmode=verify-full",
            "postgres://h/d?sslmode=require",
            Trust::System,
        );
        check(
            "postgres://h/d?sslrootcert=/ca.pem&sslmode=require",
            "postgres://h/d?sslmode=require",
            Trust::File("/ca.pem".into()),
        );
        assert!(Trust::split("postgres://h/d?sslrootcert=/ca.pem").is_err());
        assert!(Trust::split("postgres://h/d?sslmode=maybe").is_err());
    }
}
