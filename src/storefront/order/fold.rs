//! Adds the facts of a delivery to those that are known.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::facts::{Order, Told};
use crate::ledger::codec::{Codec, encode};

impl Order {
    /// Adds what `told` knows, and says whether that changed anything. The order of joins does not matter.
    pub fn join(&mut self, told: &Self) -> bool {
        let Self {
            names,
            contents,
            refunds,
            refunded_total,
            disputes,
            customer,
            agreement,
            test,
            refunded_before,
            refunded_in,
        } = told;
        let mut changed = false;
        for (name, naming) in names {
            changed |= raise(self.names.entry(name.clone()).or_default(), *naming);
        }
        changed |= join_all(&mut self.contents, contents);
        changed |= join_all(&mut self.refunds, refunds);
        changed |= join_one(&mut self.refunded_total, refunded_total.as_ref());
        changed |= join_one(&mut self.refunded_in, refunded_in.as_ref());
        changed |= join_all(&mut self.disputes, disputes);
        changed |= join_one(&mut self.customer, customer.as_ref());
        changed |= join_one(&mut self.agreement, agreement.as_ref());
        changed |= raise(&mut self.test, *test);
        if let Some(told) = refunded_before {
            changed |= match &mut self.refunded_before {
                None => {
                    self.refunded_before = Some(told.clone());
                    true
                }
                // Both rise by themselves.
                Some(known) => {
                    let later = raise(&mut known.version, told.version);
                    raise(&mut known.fact, told.fact) || later
                }
            };
        }
        changed
    }
}

/// The greater of two values; true where that is the new one.
fn raise<T: Ord>(known: &mut T, told: T) -> bool {
    let rises = told > *known;
    if rises {
        *known = told;
    }
    rises
}

fn join_all<K: Ord + Clone, T: Codec + Clone>(
    known: &mut BTreeMap<K, Told<T>>,
    told: &BTreeMap<K, Told<T>>,
) -> bool {
    let mut changed = false;
    for (key, fact) in told {
        match known.entry(key.clone()) {
            Entry::Vacant(free) => drop(free.insert(fact.clone())),
            Entry::Occupied(mut taken) if is_newer(fact, taken.get()) => drop(taken.insert(fact.clone())),
            Entry::Occupied(_) => continue,
        }
        changed = true;
    }
    changed
}

fn join_one<T: Codec + Clone>(known: &mut Option<Told<T>>, told: Option<&Told<T>>) -> bool {
    let newer = told.filter(|told| known.as_ref().is_none_or(|known| is_newer(told, known)));
    let changed = newer.is_some();
    if changed {
        *known = newer.cloned();
    }
    changed
}

fn is_newer<T: Codec>(told: &Told<T>, known: &Told<T>) -> bool {
    told.version.cmp(&known.version).then_with(|| encode(&told.fact).cmp(&encode(&known.fact))).is_gt()
}
