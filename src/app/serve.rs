//! `creditledger serve`: a server until SIGTERM or Ctrl-C.

use std::process::ExitCode;

use super::failure::Failure;
use super::output::print;
use super::server::Server;
use super::stop::Stop;
use crate::config::{Config, Flags, Secrets};
use crate::store;
use crate::telemetry;

/// Serves until a signal stops it, or it cannot go on.
///
/// # Errors
/// [`Failure`] where it does not start. What ends it later is logged.
pub async fn serve(flags: &Flags) -> Result<ExitCode, Failure> {
    let config = Config::load(flags, std::env::vars_os(), Secrets::Needed)?;
    config.check_auth()?;
    config.check_exposure()?;
    let telemetry = telemetry::start(&config, telemetry::collector()?.as_ref())?;
    let mut stop = Stop::new()?;
    let mut server = match Server::start(&config, telemetry.meters()).await {
        Ok(server) => server,
        Err(failure) => {
            telemetry.stop().await;
            return Err(failure);
        }
    };
    print(&format!(
        "creditledger {}: prepaid support credits in a double-entry ledger\n\
         listening on {} (gRPC, callers {})\n\
         database {}{}",
        env!("CARGO_PKG_VERSION"),
        server.url(),
        if config.authenticate { "show who they are" } else { "are not authenticated" },
        store::shown_url(config.database_url()?.reveal()),
        server.metrics_url().map(|url| format!("\nmetrics on {url}")).unwrap_or_default(),
    ))?;
    // The files of TLS are read again, where there are any; whoever follows them hears it too.
    let by_tls = server.is_by_tls();
    let hung_up = move || {
        if !by_tls {
            tracing::info!("SIGHUP: nothing is read again, because the server has no files of TLS");
        }
    };
    let failed = tokio::select! {
        signal = stop.asked(hung_up) => {
            tracing::info!(signal, "stopping");
            None
        }
        failure = server.failed() => Some(failure),
    };
    // Also after a failure: waiting callers learn that the outcome is unknown.
    let stopped = server.stop().await;
    let ended = failed.map_or(stopped, Err);
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(%failure, "the server cannot go on");
            ExitCode::FAILURE
        }
    };
    telemetry.stop().await;
    Ok(code)
}
