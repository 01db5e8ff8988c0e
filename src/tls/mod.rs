//! TLS on both sides: certificates from files, read again while a server runs, and the client's checks and errors.
//!
//! # What it is
//! `pem` reads files, `server` makes the configuration of a listener from them, `reload` replaces it, `peer` tells who
//! is at the other end. `client` connects our own commands, and explains why they cannot; `plain` does so without TLS.
//!
//! # Invariants
//! - TLS 1.2 and 1.3 alone, with the cryptography of ring.
//! - A configuration is whole: certificate, key and authorities were read together and fit each other.
//! - No session is resumed. Each connection proves its certificate to the authorities as they are now, and its dates. A
//!   session that was kept would let in a client whose authority was removed meanwhile. Connections of this service live
//!   long, so resumption would save little.
//! - Neither keys nor tokens stand in errors, logs or `Debug`.
//!
//! # Failure
//! Files that cannot be used stop the start. Later they change nothing: the configuration before them stays, and one
//! line says why.
//!
//! # Cost
//! A handshake costs a signature, about 0.1 ms with an ECDSA key and ten times that with RSA. The files are read once a
//! second, and taken apart only where their content has changed.

mod client;
mod peer;
mod pem;
mod plain;
mod reload;
mod server;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, SupportedProtocolVersion};

pub use client::{Client, ClientFiles, ConnectFailure, Refusal, bare};
pub use peer::Peer;
pub use plain::connect_in_the_clear;
pub use reload::{Current, Reload};
pub use server::{ClientAuthorities, Files};

/// The protocols that a connection may speak, the preferred one first.
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// What encrypts and signs.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificate authorities that browsers trust.
pub fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// The certificate authorities of a file in PEM.
///
/// # Errors
/// What is wrong, with the file's name.
pub fn roots_of(file: &Path) -> Result<RootCertStore, String> {
    pem::authorities(file, &pem::read(file)?)
}
