//! TLS to PostgreSQL: the server's certificate is verified, host name included.

use std::path::Path;
use std::sync::Arc;

use assent_vault::Error;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Trusts the authorities of this PEM file and nobody else.
///
/// # Errors
/// [`Error::Settings`] when the file cannot be read or holds no certificate.
pub(crate) fn trusting(authority: &Path) -> Result<MakeRustlsConnect, Error> {
    let fault = |what: &str| {
        let path = authority.display();
        Error::Settings(format!(
            "{path} {what}; it is to hold the certificates, in PEM, of the authorities that sign PostgreSQL's"
        ))
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(authority)
        .map_err(|error| fault(&format!("cannot be read ({error})")))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|_| fault("is damaged"))?;
        roots
            .add(certificate)
            .map_err(|_| fault("holds something that is no certificate"))?;
    }
    if roots.is_empty() {
        return Err(fault("holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
