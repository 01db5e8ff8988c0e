//! `creditledger health`: whether a server serves, for people and for the health checks of containers.

use std::process::ExitCode;
use std::time::Duration;

use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::row::OutputRow;
use super::target::Target;
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::grpc::LIVENESS;

/// A check that takes longer has failed. Docker and Kubernetes wait longer than this where `deploy/` says so.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask a server whether it serves
///
/// Exits with 0 if it does, and with 1 if it does not or cannot be asked. No token is needed.
#[derive(Clone, Debug, clap::Args)]
pub struct Health {
    /// Ask only whether the process answers, whatever its database does
    #[arg(long, conflicts_with = "service")]
    live: bool,
    /// Ask for one service, such as creditledger.v1.HoldService [default: the server as a whole]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    service: String,
    #[command(flatten)]
    target: Target,
}

impl Health {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let service = if self.live { LIVENESS.to_owned() } else { self.service };
        let asked = async {
            let mut client = HealthClient::new(self.target.connect().await?);
            let answer = client.check(Request::new(HealthCheckRequest { service: service.clone() })).await;
            let asked = answer.map_err(|status| match &*service {
                "" => CallError::from(status).into(),
                service => Failure::Other(format!("service {service}: {}", CallError::from(status))),
            })?;
            Ok::<_, Failure>(asked.into_inner().status())
        };
        let late = |_| Failure::Other(format!("the server did not answer in {} s", PATIENCE.as_secs()));
        let status = tokio::time::timeout(PATIENCE, asked).await.map_err(late)??;
        self.target.print(&OutputRow::default().with("status", status.as_str_name()))?;
        Ok(if status == ServingStatus::Serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
