//! Certificate authorities of a test, those that they vouch for, and connections by TLS.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

pub const BOTH_VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM.
    pub pem: String,
}

/// A certificate with its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For these names: addresses, URIs, and DNS names.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(&of(names))
    }

    /// The same, and no longer valid.
    pub fn expired(&self, names: &[&str]) -> Identity {
        let mut params = of(names);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.sign(&params)
    }

    /// The same, valid until this day: year, month, day.
    pub fn until(&self, names: &[&str], (year, month, day): (i32, u8, u8)) -> Identity {
        let mut params = of(names);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, month, day));
        self.sign(&params)
    }

    /// The same, valid to the end of this second since 1970.
    pub fn issue_until(&self, names: &[&str], last: u64) -> Identity {
        let mut params = of(names);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(last);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts it, with HTTP/2.
    pub fn client(&self, identity: Option<&Identity>) -> ClientConfig {
        self.client_of(&BOTH_VERSIONS, identity)
    }

    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

fn of(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "not a name that counts");
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if name.contains("://") => SanType::URI((*name).try_into().unwrap()),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    params
}

impl Identity {
    /// Writes `NAME.pem` and `NAME.key`, each at once, and gives their paths.
    pub fn write(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        [("pem", &self.certificate), ("key", &self.key)].map(|(ending, text)| {
            let path = folder.join(format!("{name}.{ending}"));
            let new = folder.join(format!("{name}.{ending}.new"));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &path).unwrap();
            path
        })
    }
}

/// Connects to a server by TLS, as `localhost`.
pub async fn connect(address: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}
