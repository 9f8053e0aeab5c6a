//! Which registry is trusted: as with the API's client, the system's authorities or those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::{ImageError, ImageResult};

/// Makes the configuration of TLS.
///
/// # Errors
/// When the file of authorities cannot be read, or the system has none.
pub(super) fn config(ca_file: Option<&Path>) -> ImageResult<ClientConfig> {
    let wrong =
        |error: &dyn std::fmt::Display| ImageError::Settings(format!("TLS cannot be set up: {error}"));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let Some(path) = ca_file else {
        return Ok(builder.with_platform_verifier().map_err(|error| wrong(&error))?.with_no_client_auth());
    };
    let failed =
        |error: &dyn std::fmt::Display| ImageError::Settings(format!("'{}': {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"there is no certificate in it"));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| failed(&error))?;
    Ok(builder.with_webpki_verifier(verifier).with_no_client_auth())
}
