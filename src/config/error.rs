//! What can be wrong with the settings, and in which source.

use std::net::SocketAddr;

use super::tables::Fault;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// As it was given.
        path: String,
        source: std::io::Error,
    },
    /// Everything that is wrong in the file, a line each.
    #[error("{}", lines(path, faults))]
    File {
        path: String,
        /// In the order of their lines; at least one.
        faults: Vec<Fault>,
    },
    #[error("{name} {problem}")]
    Variable {
        name: String,
        /// Continues the name.
        problem: String,
    },
    #[error("--{name} {problem}")]
    Flag {
        name: String,
        /// Continues the name.
        problem: String,
    },
    /// A secret that cannot be read from its place, or does not go with the others.
    #[error("{name} {problem}")]
    Secret {
        /// The key of the setting.
        name: String,
        /// Continues the name. It does not show the secret.
        problem: String,
    },
    /// Settings that do not go together, a line each, with where the first of them is set.
    #[error("{}", .0.join("\n"))]
    Contradictions(Vec<String>),
    /// The server would be reachable from other machines, and nothing authenticates callers.
    #[error(
        "{listen} is reachable from other machines and callers are not authenticated: listen on 127.0.0.1, \
         give --authenticate and a TLS certificate, or say --insecure where the network is trusted"
    )]
    Exposed {
        /// The setting `listen`.
        listen: SocketAddr,
    },
    /// Tokens would be sent where others can read them.
    #[error(
        "{listen} is reachable from other machines, and tokens would be sent there in the clear: \
         give tls_certificate_file and tls_key_file, or --insecure if a proxy in front of it has TLS"
    )]
    InTheClear {
        /// The setting `listen`.
        listen: SocketAddr,
    },
    /// The file has rules about callers, and nobody is asked who calls.
    #[error(
        "{place}: {rule}, but callers are not authenticated: \
         say authenticate = true, or --authenticate"
    )]
    NotAuthenticated {
        /// What the first table of them says.
        rule: &'static str,
        /// File and line of the table.
        place: String,
    },
}

fn lines(path: &str, faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{path} {fault}")).collect::<Vec<_>>().join("\n")
}
