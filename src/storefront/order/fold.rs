//! Adds the facts of a delivery to those that are known.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::facts::{Order, Told};
use crate::ledger::codec::{Codec, encode};

impl Order {
    /// Adds what `told` knows, and says whether that changed anything. The order of joins does not matter.
    pub fn join(&mut self, told: &Self) -> bool {
        let before = self.clone();
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
        } = told;
        for (name, naming) in names {
            let known = self.names.entry(name.clone()).or_insert(*naming);
            *known = (*known).max(*naming);
        }
        join_all(&mut self.contents, contents);
        join_all(&mut self.refunds, refunds);
        join_one(&mut self.refunded_total, refunded_total.as_ref());
        join_all(&mut self.disputes, disputes);
        join_one(&mut self.customer, customer.as_ref());
        join_one(&mut self.agreement, agreement.as_ref());
        self.test |= test;
        if let Some(Told { version, fact }) = refunded_before {
            let known = self.refunded_before.get_or_insert(Told { version: *version, fact: *fact });
            known.version = known.version.max(*version);
            known.fact = known.fact.max(*fact);
        }
        *self != before
    }
}

fn join_all<K: Ord + Clone, T: Codec + Clone>(known: &mut BTreeMap<K, Told<T>>, told: &BTreeMap<K, Told<T>>) {
    for (key, fact) in told {
        match known.entry(key.clone()) {
            Entry::Vacant(free) => drop(free.insert(fact.clone())),
            Entry::Occupied(mut taken) => {
                if is_newer(fact, taken.get()) {
                    taken.insert(fact.clone());
                }
            }
        }
    }
}

fn join_one<T: Codec + Clone>(known: &mut Option<Told<T>>, told: Option<&Told<T>>) {
    if let Some(fact) = told
        && known.as_ref().is_none_or(|known| is_newer(fact, known))
    {
        *known = Some(fact.clone());
    }
}

fn is_newer<T: Codec>(told: &Told<T>, known: &Told<T>) -> bool {
    told.version.cmp(&known.version).then_with(|| encode(&told.fact).cmp(&encode(&known.fact))).is_gt()
}
