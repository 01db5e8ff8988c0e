//! Which server sends to which endpoint. Servers share the endpoints evenly. A server keeps its endpoints while it
//! renews its leases, and others take over those of a dead server.

use std::sync::Arc;

use uuid::Uuid;

use super::transport::{Transport, transport_of};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::webhooks::{Endpoint, WebhookStore};

/// How long a lease lasts after its last renewal.
const LEASE_SECONDS: i64 = 15;
/// A lease is renewed once no more than this is left of it.
const RENEW_SECONDS: i64 = 10;

/// The leases of one server.
pub(super) struct Leases {
    pub rows: Arc<dyn WebhookStore>,
    pub clock: Arc<dyn Clock>,
    /// The id of this server, as the other servers know it.
    pub me: Uuid,
    pub transports: Arc<[Arc<dyn Transport>]>,
}

impl Leases {
    /// Renews the leases of this server, takes its share of the free endpoints, and gives up those beyond its share.
    /// Returns the endpoints that it sends to from now on, as they are now.
    pub async fn look(&self) -> Result<Vec<Endpoint>, StoreError> {
        let mut tx = self.rows.begin(self.clock.now()).await?;
        let now = tx.now();
        let mut endpoints = tx.endpoints().await?;
        let is_served = |endpoint: &Endpoint| transport_of(&self.transports, endpoint).is_some();
        endpoints.retain(|endpoint| endpoint.disabled.is_none() && is_served(endpoint));
        if endpoints.is_empty() {
            tx.commit().await?;
            return Ok(endpoints);
        }
        let (until, renew) = (now.plus_seconds(LEASE_SECONDS), now.plus_seconds(RENEW_SECONDS));
        let relays = tx.relays().await?;
        let others = relays.iter().filter(|(relay, until)| *relay != self.me && *until > now).count();
        if relays.iter().all(|(relay, until)| *relay != self.me || *until <= renew) {
            tx.put_relay(self.me, Some(until)).await?;
        }
        for (gone, _) in relays.iter().filter(|(relay, until)| *relay != self.me && *until <= now) {
            tx.put_relay(*gone, None).await?;
        }
        // A lease counts only while its server is alive.
        let is_there = |holder| relays.iter().any(|(relay, until)| *relay == holder && *until > now);
        let is_shared = |endpoint: &Endpoint| {
            transport_of(&self.transports, endpoint).is_some_and(|transport| transport.is_shared_evenly())
        };
        let shared = |endpoint: &&Endpoint| is_shared(endpoint);
        let share = endpoints.iter().filter(shared).count().div_ceil(others.saturating_add(1));
        let is_mine = |endpoint: &Endpoint| endpoint.holder == Some(self.me);
        let mut has = endpoints.iter().filter(shared).filter(|endpoint| is_mine(endpoint)).count();
        let mut mine = Vec::new();
        for seen in endpoints {
            let is_free = !seen.holder.is_some_and(is_there) || seen.held_until <= now;
            let (may_keep, may_take) =
                if is_shared(&seen) { (has <= share, has < share) } else { (true, true) };
            let (keeps, takes) = (is_mine(&seen) && may_keep, !is_mine(&seen) && is_free && may_take);
            if keeps && seen.held_until > renew {
                mine.push(seen);
                continue;
            }
            if !is_mine(&seen) && !takes {
                continue;
            }
            // This read locks the row. Another server may have changed it since the first read.
            let Some(mut endpoint) = tx.endpoint(seen.id).await? else { continue };
            if (endpoint.holder, endpoint.held_until) != (seen.holder, seen.held_until) {
                continue;
            }
            if keeps || takes {
                has = if takes && is_shared(&seen) { has.saturating_add(1) } else { has };
                (endpoint.holder, endpoint.held_until) = (Some(self.me), until);
                tx.put_endpoint(&endpoint).await?;
                mine.push(endpoint);
            } else {
                has = has.saturating_sub(1);
                endpoint.holder = None;
                tx.put_endpoint(&endpoint).await?;
            }
        }
        tx.commit().await?;
        Ok(mine)
    }

    /// Gives up all leases at once, so that other servers need not wait until they run out.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let mut tx = self.rows.begin(self.clock.now()).await?;
        for seen in tx.endpoints().await?.into_iter().filter(|endpoint| endpoint.holder == Some(self.me)) {
            if let Some(mut endpoint) = tx.endpoint(seen.id).await?
                && endpoint.holder == Some(self.me)
            {
                endpoint.holder = None;
                tx.put_endpoint(&endpoint).await?;
            }
        }
        tx.put_relay(self.me, None).await?;
        tx.commit().await
    }
}
