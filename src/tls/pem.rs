//! Reads certificates and keys from PEM files. Errors name the file and never show a key.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Far more than any bundle of authorities.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The whole content of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(format!("{shown} has more than {FILE_BYTES_MAX} bytes"))
    }
}

/// The certificates of a file in their order; at least one.
pub(super) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let certificates = read.map_err(|error| format!("{shown} is no PEM file of certificates: {error}"))?;
    if certificates.is_empty() { Err(format!("{shown} has no certificate in PEM")) } else { Ok(certificates) }
}

/// The first private key of a file. The error tells nothing of what stands there.
pub(super) fn key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        format!("{} has no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)", path.display())
    })
}

/// The certificates of a file as authorities.
pub(super) fn authorities(path: &Path, bytes: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(path, bytes)?) {
        roots.add(certificate).map_err(|error| {
            format!("certificate {number} of {} is no authority: {error}", path.display())
        })?;
    }
    Ok(roots)
}
