//! The signals that ask a command to end.

use super::failure::Failure;

/// Receives SIGTERM and Ctrl-C.
pub(super) struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on, so that a signal during a start is not lost.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .map_err(|error| Failure::Other(format!("SIGTERM cannot be heard: {error}")))?,
        })
    }

    /// Waits for either signal, and names it.
    pub async fn asked(&mut self) -> &'static str {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = tokio::signal::ctrl_c() => "Ctrl-C",
        }
        #[cfg(not(unix))]
        {
            // If Ctrl-C cannot be received, the system ends the process itself.
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}
