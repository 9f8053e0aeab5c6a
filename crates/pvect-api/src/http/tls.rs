//! Which server is trusted.

use std::sync::{Arc, Mutex, PoisonError};

use pvect_core::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use sha2::{Digest, Sha256};

use crate::config::{Fingerprint, Trust};

/// The fingerprint of a server that was not the expected one.
pub(crate) type Shown = Arc<Mutex<Option<Fingerprint>>>;

/// Makes the configuration of TLS.
///
/// # Errors
/// [`Error::Settings`] when the file of authorities cannot be read, or the system has none.
pub(crate) fn config(trust: &Trust, shown: &Shown) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let config = match trust {
        Trust::System => {
            builder.with_platform_verifier().map_err(|error| wrong(&error))?.with_no_client_auth()
        }
        Trust::CaFile(path) => {
            let failed =
                |what: String| Error::Settings { what: format!("ca_file: {}: {what}", path.display()) };
            let mut roots = RootCertStore::empty();
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?
            {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(failed("there is no certificate in it".to_owned()));
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| failed(error.to_string()))?;
            builder.with_webpki_verifier(verifier).with_no_client_auth()
        }
        Trust::Fingerprint(expected) => {
            let pinned = Pinned { expected: *expected, shown: Arc::clone(shown), provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth()
        }
    };
    Ok(config)
}

fn wrong(error: &impl std::fmt::Display) -> Error {
    Error::Settings { what: format!("TLS cannot be set up: {error}") }
}

/// Accepts one certificate and no other; that the server has its key is verified as usual.
#[derive(Debug)]
struct Pinned {
    expected: Fingerprint,
    shown: Shown,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint(Sha256::digest(end_entity.as_ref()).into());
        if found == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
