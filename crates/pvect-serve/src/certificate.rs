//! The server's certificate: self-signed, made at the first start, or one that was put in its place.

use std::path::PathBuf;

use pvect_node::{Layout, Node, files};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file has no certificate or key in it.
    #[error("{path} holds no {what} in PEM")]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// It cannot be made.
    #[error("the certificate cannot be made")]
    Make(#[source] rcgen::Error),
}

/// A chain of certificates, the server's own first, and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

fn files(layout: &Layout, node: &Node) -> (PathBuf, PathBuf) {
    let dir = layout.root().join("etc/pve/nodes").join(node.name.as_str());
    (dir.join("pve-ssl.pem"), dir.join("pve-ssl.key"))
}

impl Certificate {
    /// Reads `etc/pve/nodes/NODE/pve-ssl.pem` and `.key`; if both are missing, makes them, for the node's name,
    /// `localhost` and the loopback addresses.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn load(node: &Node) -> Result<Self, CertificateError> {
        let (pem, key) = files(&node.layout, node);
        if !pem.exists() && !key.exists() {
            make(node, &pem, &key)?;
        }
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| CertificateError::File { path: path.clone(), source })
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(&pem)?).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or(CertificateError::Content { path: pem, what: "certificate" })?;
        let der = PrivateKeyDer::from_pem_slice(&read(&key)?)
            .map_err(|_| CertificateError::Content { path: key, what: "private key" })?;
        Ok(Self { chain, key: der })
    }

    /// The SHA-256 fingerprint that clients pin: pairs of hex digits with colons.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.chain.first().map_or(&[][..], |first| first.as_ref()));
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

fn make(node: &Node, pem: &PathBuf, key: &PathBuf) -> Result<(), CertificateError> {
    let names = vec![node.name.to_string(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let mut params = CertificateParams::new(names).map_err(CertificateError::Make)?;
    params.distinguished_name.push(DnType::CommonName, node.name.as_str());
    params.distinguished_name.push(DnType::OrganizationName, "pvect standalone node");
    let pair = KeyPair::generate().map_err(CertificateError::Make)?;
    let certificate = params.self_signed(&pair).map_err(CertificateError::Make)?;
    let write = |path: &PathBuf, text: String, mode| {
        files::replace(path, text.as_bytes(), mode)
            .map_err(|source| CertificateError::File { path: path.clone(), source })
    };
    write(key, pair.serialize_pem(), 0o600)?;
    write(pem, certificate.pem(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let node = Node { layout: Layout::new(dir.path(), name.clone()), name, helper: "/bin/false".into() };
        pvect_node::store::ensure_root(&node).unwrap();
        let (first, second) = (Certificate::load(&node).unwrap(), Certificate::load(&node).unwrap());
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint().len(), 95);
        let (pem, key) = files(&node.layout, &node);
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&key.metadata().unwrap()) & 0o777, 0o600);
        std::fs::write(&pem, "rubbish").unwrap();
        assert!(Certificate::load(&node).unwrap_err().to_string().ends_with("holds no certificate in PEM"));
    }
}
