//! Replaces the TLS configuration of a running server, when its files change and on SIGHUP.
//!
//! # What it is
//! A task looks at the files once a second. Their content is compared, not their dates, which copies keep and clocks bend.
//!
//! # Failure
//! A pair that cannot be used changes nothing. Files are often replaced one after the other, so what is wrong is told when
//! the next look finds it again, and then once. After SIGHUP it is told at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use super::server::{Contents, Files};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The configuration for the next connection.
pub type Current = watch::Receiver<Arc<ServerConfig>>;

/// Follows the files of a server.
pub struct Reload {
    files: Files,
    hangup: Hangup,
    /// Digest of what the last look found.
    seen: [u8; 32],
    /// What was wrong with it, until that is told.
    untold: Option<String>,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Reload {
    /// Reads the files. From now on SIGHUP does not end the process.
    ///
    /// # Errors
    /// Everything that is wrong with the files, as a text for people.
    pub fn start(files: Files) -> Result<(Self, Current), String> {
        let hangup = Hangup::new().map_err(|error| format!("SIGHUP cannot be heard: {error}"))?;
        let contents = files.read();
        let seen = contents.digest();
        let made = files.make(contents)?;
        warn(&files, made.warning);
        let (current, receiver) = watch::channel(made.config);
        Ok((Self { files, hangup, seen, untold: None, current }, receiver))
    }

    /// Looks at the files until `stop` is true or gone.
    pub async fn follow(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let is_asked = tokio::select! {
                () = self.hangup.heard() => true,
                () = tokio::time::sleep(INTERVAL) => false,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let files = self.files.clone();
            // A look that fails on its thread is made again at the next time.
            if let Ok(contents) = tokio::task::spawn_blocking(move || files.read()).await {
                self.look(contents, is_asked);
            }
        }
    }

    /// Uses what was found if it is new, or if somebody has asked.
    fn look(&mut self, contents: Contents, is_asked: bool) {
        let digest = contents.digest();
        if digest == self.seen && !is_asked {
            if let Some(problem) = self.untold.take() {
                refused(&problem);
            }
            return;
        }
        self.seen = digest;
        self.untold = None;
        match self.files.make(contents) {
            Ok(made) => {
                self.current.send_replace(made.config);
                tracing::info!(certificate = %self.files.certificate.display(), "new connections use the TLS files as they are now");
                warn(&self.files, made.warning);
            }
            Err(problem) if is_asked => refused(&problem),
            Err(problem) => self.untold = Some(problem),
        }
    }
}

fn refused(problem: &str) {
    tracing::error!(problem, "the new TLS files cannot be used; those before them stay in use");
}

fn warn(files: &Files, warning: Option<&str>) {
    if let Some(problem) = warning {
        tracing::warn!(problem, certificate = %files.certificate.display(), "clients will refuse the TLS certificate");
    }
}

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangup {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    async fn heard(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}
