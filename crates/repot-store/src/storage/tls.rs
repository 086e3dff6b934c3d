//! TLS by rustls with ring: one implementation, no system library. Trusts the system's authorities and those of the
//! option `ca_file`.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{StorageConfig, StorageError};

pub(crate) fn client(config: &StorageConfig) -> Result<ClientConfig, StorageError> {
    let mut roots = RootCertStore::empty();
    // A certificate of the system's that does not parse is no reason not to work with the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = config.option("ca_file") {
        let bad =
            |why: String| StorageError::Config(format!("the certificates of `{path}` cannot be used: {why}"));
        let pem = fs::read(path).map_err(|e| bad(e.to_string()))?;
        let before = roots.len();
        for cert in CertificateDer::pem_slice_iter(&pem) {
            roots.add(cert.map_err(|e| bad(e.to_string()))?).map_err(|e| bad(e.to_string()))?;
        }
        if roots.len() == before {
            return Err(bad("there is none in it".to_owned()));
        }
    }
    // The provider is named, so that nothing depends on a default of the whole process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StorageError::Config(format!("TLS cannot be set up: {e}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("ca.pem");
        let with = |text: &str| {
            fs::write(&path, text).expect("written");
            let mut c = StorageConfig::of(Kind::Webdavs, "/");
            c.set("ca_file", &path.display().to_string()).expect("known");
            client(&c)
        };
        assert!(with("nothing").is_err());
        assert!(with("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
        client(&StorageConfig::of(Kind::Webdavs, "/")).expect("the system's are enough");
    }
}
