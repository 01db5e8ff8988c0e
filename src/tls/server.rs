//! The TLS configuration of a listener, from its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{Error, ServerConfig};
use webpki::{EndEntityCert, KeyUsage};

use super::{HTTP_1, HTTP_2, VERSIONS, pem, provider};
use crate::clock;

/// Where the certificate of a server is, and who its clients must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who vouches for clients; without it no certificate is asked for.
    pub clients: Option<ClientAuthorities>,
}

/// The authorities of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthorities {
    pub file: PathBuf,
    /// Whether a client must have a certificate. One that is shown must be good either way.
    pub required: bool,
}

/// What the files hold, or why they cannot be read.
pub(super) struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
    authorities: Option<Result<Vec<u8>, String>>,
}

/// A configuration, and what an operator should know of it.
pub(super) struct Made {
    pub config: Arc<ServerConfig>,
    pub warning: Option<&'static str>,
}

impl Files {
    pub(super) fn read(&self) -> Contents {
        Contents {
            certificate: pem::read(&self.certificate),
            key: pem::read(&self.key),
            authorities: self.clients.as_ref().map(|clients| pem::read(&clients.file)),
        }
    }

    /// Makes the configuration. The error names everything that is wrong, in one line.
    pub(super) fn make(&self, contents: Contents) -> Result<Made, String> {
        let Contents { certificate, key, authorities } = contents;
        let certificates = certificate.and_then(|bytes| pem::certificates(&self.certificate, &bytes));
        let key = key.and_then(|bytes| pem::key(&self.key, &bytes));
        let verifier = match (&self.clients, authorities) {
            (Some(clients), Some(bytes)) => bytes.and_then(|bytes| clients.verifier(&bytes)),
            _ => Ok(WebPkiClientVerifier::no_client_auth()),
        };
        let (certificates, key, verifier) = match (certificates, key, verifier) {
            (Ok(certificates), Ok(key), Ok(verifier)) => (certificates, key, verifier),
            (certificates, key, verifier) => {
                let problems = [certificates.err(), key.err(), verifier.err()];
                return Err(problems.into_iter().flatten().collect::<Vec<_>>().join("; "));
            }
        };
        let warning = certificates.first().and_then(untimely);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)
            .map_err(|error| self.unusable(&error))?;
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        // No session is resumed: see the module.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Made { config: Arc::new(config), warning })
    }

    /// What an operator should know of files that can be used, also of certificates that will expire within `days`.
    ///
    /// # Errors
    /// Everything that is wrong with the files, in one line.
    pub fn warnings(&self, days: u32) -> Result<Vec<String>, String> {
        let certificates = pem::certificates(&self.certificate, &pem::read(&self.certificate)?)?;
        let made = self.make(self.read())?;
        let mut told: Vec<String> = made.warning.map(str::to_owned).into_iter().collect();
        let then = clock::wall().plus_days(days).micros();
        let mut shown = certificates.iter().zip(1..);
        if told.is_empty()
            && let Some((_, number)) = shown.find(|(one, _)| dates(one, then) == Dates::Over)
        {
            told.push(format!(
                "certificate {number} of {} expires within {days} days",
                self.certificate.display()
            ));
        }
        if others_can_read(&self.key) {
            told.push(format!("other users can read {}: chmod 600", self.key.display()));
        }
        Ok(told)
    }

    fn unusable(&self, error: &Error) -> String {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match error {
            Error::InconsistentKeys(_) => {
                format!("the key of {key} does not belong to the first certificate of {certificate}")
            }
            other => format!("{certificate} and {key} cannot be used: {other}"),
        }
    }
}

#[cfg(unix)]
fn others_can_read(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}

impl ClientAuthorities {
    fn verifier(&self, bytes: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let roots = Arc::new(pem::authorities(&self.file, bytes)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| format!("{} cannot be used: {error}", self.file.display()))
    }
}

impl Contents {
    /// Equal for equal contents.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for content in [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()] {
            let (state, bytes): (u8, &[u8]) = match content {
                None => (0, &[]),
                Some(Ok(bytes)) => (1, bytes),
                Some(Err(problem)) => (2, problem.as_bytes()),
            };
            hash.update([state]);
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }
}

/// Tells that a certificate is not valid now. It is used all the same: an operator may need a server before a new one.
fn untimely(certificate: &CertificateDer<'_>) -> Option<&'static str> {
    match dates(certificate, clock::wall().micros()) {
        Dates::Good => None,
        Dates::Over => Some("the certificate has expired"),
        Dates::Ahead => Some("the certificate is not valid yet"),
    }
}

/// A time beside the dates of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dates {
    Good,
    Over,
    Ahead,
}

fn dates(certificate: &CertificateDer<'_>, at_micros: i64) -> Dates {
    let seconds = at_micros.div_euclid(1_000_000);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap_or(0)));
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Dates::Good };
    // The dates are checked before it turns out that no authority is given here.
    match certificate.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None).err() {
        Some(webpki::Error::CertExpired { .. }) => Dates::Over,
        Some(webpki::Error::CertNotValidYet { .. }) => Dates::Ahead,
        _ => Dates::Good,
    }
}
