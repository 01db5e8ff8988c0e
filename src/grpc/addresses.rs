//! How many connections each address has open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::network;

/// The open connections of each address. It has no more entries than there are connections.
#[derive(Debug)]
pub struct Addresses {
    open: Mutex<HashMap<IpAddr, usize>>,
    each_max: usize,
}

/// The place of a connection among those of its address, until it is dropped.
#[derive(Debug)]
pub struct AddressPlace {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Addresses {
    /// So many of each.
    pub fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), each_max })
    }

    /// A place for one more connection of this address; `None` where as many are open as may be.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<AddressPlace> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&network).copied().unwrap_or(0);
        if count >= self.each_max {
            return None;
        }
        open.insert(network, count.saturating_add(1));
        Some(AddressPlace { addresses: Arc::clone(self), network })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.network) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => drop(open.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_none_is_kept_without_a_connection() {
        let addresses = Addresses::new(2);
        let at = |text: &str| addresses.enter(Some(text.parse().unwrap()));
        let kept = [at("10.0.0.1"), at("10.0.0.1"), at("10.0.0.2")].map(Option::unwrap);
        assert!(at("10.0.0.1").is_none());
        assert!(at("::ffff:10.0.0.1").is_none(), "the same address");
        let [one, other, third] = kept;
        drop(one);
        assert!(at("10.0.0.1").is_some());
        drop((other, third));
        let kept: Vec<_> = (1..=3).map(|n| at(&format!("2001:db8::{n}"))).collect();
        assert_eq!(
            kept.iter().filter(|place| place.is_some()).count(),
            2,
            "a network of IPv6 is one address"
        );
        drop(kept);
        assert!(addresses.open.lock().unwrap().is_empty());
    }
}
