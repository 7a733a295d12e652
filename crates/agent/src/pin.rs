//! TLS to exactly one server: the one whose certificate the join token names.
//!
//! No authority and no host name is asked; the certificate's SHA-256 is what the operator handed
//! over. Signatures are still checked, so that the other side holds the certificate's key.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

/// Accepts one certificate.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

/// What the refusal of another certificate begins with; whoever shows it looks for this, for the
/// libraries between put words of their own before it.
pub(crate) const OTHER_CERTIFICATE: &str =
    "the server's certificate is not the one that the join token names";

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found: [u8; 32] = Sha256::digest(end_entity.as_ref()).into();
        if found == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        // Not as an invalid certificate: of that, rustls shows what only a programmer reads.
        Err(Error::General(format!(
            "{OTHER_CERTIFICATE} (it has {}, the token {}): the address is wrong, the server has a \
             new certificate, or somebody stands between",
            hex::encode(found),
            hex::encode(self.fingerprint),
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client that talks to the server with this certificate only. `fingerprint` is the SHA-256 of
/// the certificate, in hex.
pub(crate) fn client_config(fingerprint: &str) -> Result<ClientConfig, String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(fingerprint, &mut bytes)
        .map_err(|_| "a fingerprint is 64 hexadecimal digits".to_owned())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pinned = Pinned { fingerprint: bytes, provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(config)
}
