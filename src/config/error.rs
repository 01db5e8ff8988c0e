//! What can be wrong with the settings, and where it was said.

use std::net::SocketAddr;

/// What is wrong with a setting, and where it was said.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A key or value in the file.
    #[error("{path} line {line}: {problem}")]
    File {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// The key and what is wrong with it.
        problem: String,
    },
    /// A variable.
    #[error("{name} {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong, continuing the name.
        problem: String,
    },
    /// A flag.
    #[error("--{name} {problem}")]
    Flag {
        /// Its name.
        name: String,
        /// What is wrong, continuing the name.
        problem: String,
    },
    /// The server would be reachable from other machines, and nothing authenticates callers.
    #[error(
        "{listen} is reachable from other machines and callers are not authenticated yet: \
         listen on 127.0.0.1, or say --insecure where the network is trusted"
    )]
    Exposed {
        /// Where it was to listen.
        listen: SocketAddr,
    },
}
