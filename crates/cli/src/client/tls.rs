//! Trust: an authority vouches for the server's certificate, or its fingerprint is known.
//!
//! Invariant: with a fingerprint, that one certificate and no other is accepted, and the server
//! still has to prove that it holds the key. Must not know HTTP.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::exit::Said;
use crate::words::Word;

/// What the refusal of an unexpected certificate begins with; [`advice`] looks for it.
const UNEXPECTED: &str = "unexpected certificate ";

/// Makes aws-lc-rs the one cryptography of the process. Whoever comes second changes nothing.
pub fn install_provider() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
    /// In hex.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// Accepts the one certificate with this fingerprint.
pub fn pinned(expected: Fingerprint) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Pin { expected, provider: Arc::clone(&provider) });
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// What to do about a failed handshake or a first answer that is none, where we know.
pub fn advice(why: &str, scheme: &str) -> Option<Said> {
    if let Some((_, seen)) = why.split_once(UNEXPECTED) {
        let seen: String = seen.chars().take_while(char::is_ascii_hexdigit).collect();
        return Some(Said::with(Word::UnexpectedCertificate, "seen", seen));
    }
    if scheme == "https" && why.contains("InvalidContentType") {
        return Some(Said::plain(Word::SpeaksPlain));
    }
    if scheme == "http" && why.contains("invalid HTTP version") {
        return Some(Said::plain(Word::SpeaksTls));
    }
    let unknown = why.contains("UnknownIssuer") || why.contains("invalid peer certificate");
    (scheme == "https" && unknown).then(|| Said::plain(Word::UnknownAuthority))
}

#[derive(Debug)]
struct Pin {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of(end_entity);
        if seen == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General(format!("{UNEXPECTED}{}", seen.hex())))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
