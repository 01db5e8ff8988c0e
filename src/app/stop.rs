//! The signals that ask a command to end.

use super::failure::Failure;

/// Receives SIGTERM and Ctrl-C, and SIGHUP, which stops nothing.
pub(super) struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on, so that a signal during a start is not lost.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .map_err(|error| Failure::Other(format!("SIGTERM cannot be heard: {error}")))?,
            #[cfg(unix)]
            hangup: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .map_err(|error| Failure::Other(format!("SIGHUP cannot be heard: {error}")))?,
        })
    }

    /// Waits for a signal that asks to end, and names it. `hung_up` is told of SIGHUP.
    pub async fn asked(&mut self, hung_up: impl Fn()) -> &'static str {
        #[cfg(unix)]
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = tokio::signal::ctrl_c() => return "Ctrl-C",
                Some(()) = self.hangup.recv() => hung_up(),
            }
        }
        #[cfg(not(unix))]
        {
            // If Ctrl-C cannot be received, the system ends the process itself.
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}
