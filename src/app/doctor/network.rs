//! The checks of what a server connects to: keys of providers, the mail server, endpoints of webhooks.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::finding::Finding;
use super::seen::look_at;
use crate::access::jwt::probe;
use crate::app::email::mailer;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::delivery::webhooks::{HttpClient, Policy};
use crate::net::SystemNetwork;
use crate::tls;

pub(super) const KEYS: &str = "keys";
pub(super) const MAIL: &str = "mail";
pub(super) const ENDPOINTS: &str = "endpoints";

/// How long one connection may take, so that the others of its check are told.
const PATIENCE: Duration = Duration::from_secs(4);
/// Endpoints that are connected to.
const ENDPOINTS_MAX: usize = 100;

/// Bounds the time of one connection.
async fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
}

/// Runs all of them at the same time, and gives their findings in order.
async fn all(works: Vec<impl Future<Output = Finding> + Send + 'static>) -> Vec<Finding> {
    let mut running = JoinSet::new();
    for (place, work) in works.into_iter().enumerate() {
        running.spawn(async move { (place, work.await) });
    }
    let mut found: Vec<_> = running.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, finding)| finding).collect()
}

pub(super) async fn keys(config: Arc<Config>) -> Vec<Finding> {
    let providers = config.auth.as_ref().map(|auth| auth.providers.clone()).unwrap_or_default();
    if providers.is_empty() {
        return vec![Finding::ok(KEYS, "not used: no provider of tokens is set")];
    }
    let look = |provider: crate::access::jwt::Provider| async move {
        let name = &provider.name;
        match within(probe(&provider)).await {
            Ok(count) => Finding::ok(KEYS, format!("provider {name} has {count} keys")),
            Err(problem) => Finding::fail(
                KEYS,
                format!("the keys of provider {name} cannot be read: {problem}"),
                "its callers are refused until they can: look at jwks_url or jwks_file",
            ),
        }
    };
    all(providers.into_iter().map(look).collect()).await
}

pub(super) async fn mail(config: Arc<Config>) -> Vec<Finding> {
    let Some(settings) = &config.email else {
        return vec![Finding::ok(MAIL, "not used: no e-mail is set")];
    };
    let clock: Arc<dyn Clock> = Arc::new(clock::System);
    let server = format!("{}:{}", settings.host, settings.port());
    let mailer = match mailer(settings, &clock) {
        Ok(mailer) => mailer,
        Err(problem) => return vec![Finding::fail(MAIL, problem.to_string(), "correct the table [email]")],
    };
    vec![match within(mailer.smtp.probe()).await {
        Ok(()) => Finding::ok(MAIL, format!("{server} takes connections")),
        Err(problem) => Finding::fail(
            MAIL,
            format!("{server} cannot be used: {problem}"),
            "e-mail waits until it can: look at host, port, tls, user and password in [email]",
        ),
    }]
}

pub(super) async fn endpoints(config: Arc<Config>) -> Vec<Finding> {
    // What keeps the database from being asked is told by the check of the database.
    let Ok(seen) = look_at(&config).await else {
        return vec![Finding::warn(
            ENDPOINTS,
            "the database could not be asked for them",
            "correct that first",
        )];
    };
    let mut used = seen.content.map(|content| content.endpoints).unwrap_or_default();
    used.retain(|endpoint| endpoint.disabled.is_none() && !endpoint.is_email());
    if used.is_empty() {
        return vec![Finding::ok(ENDPOINTS, "there are none that events are sent to")];
    }
    let policy = Policy { development: config.webhook_development };
    let client = match HttpClient::new(policy, Arc::new(SystemNetwork), tls::public_roots()) {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::fail(ENDPOINTS, format!("TLS cannot be used: {error}"), "run this again")];
        }
    };
    let beyond = used.len().saturating_sub(ENDPOINTS_MAX);
    used.truncate(ENDPOINTS_MAX);
    let look = |endpoint: crate::delivery::Endpoint| {
        let client = client.clone();
        async move {
            let (id, url) = (endpoint.id, endpoint.url.as_str());
            match within(async { client.reach(url).await.map_err(|error| error.to_string()) }).await {
                Ok(()) => Finding::ok(ENDPOINTS, format!("{url} takes connections")),
                Err(problem) => Finding::warn(
                    ENDPOINTS,
                    format!("{url} cannot be reached: {problem}"),
                    format!(
                        "events wait for it; look at the receiver, or disable it (creditledger webhook update {id})"
                    ),
                ),
            }
        }
    };
    let mut found = all(used.into_iter().map(look).collect()).await;
    if beyond > 0 {
        found.push(Finding::warn(
            ENDPOINTS,
            format!("{beyond} more were not looked at"),
            "look at them yourself",
        ));
    }
    found
}
