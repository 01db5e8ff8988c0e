//! A table of what was spent, by who spent it, with a fixed number of entries.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that is as good as absent from some time on.
pub trait Forgettable {
    /// From when it is as if it had just been made.
    fn whole_at(&self) -> u64;
}

/// At most so many entries. Where one more is wanted, those go that are as good as absent. Where they are less than an
/// eighth of all, those that would be so next go with them. So nobody gets rid of an entry of his own by making others:
/// the others go first, as long as they have spent less. An entry that somebody holds stays.
#[derive(Debug)]
pub struct Table<K, T> {
    entries: Mutex<HashMap<K, Arc<T>>>,
    entries_max: usize,
}

impl<K: Clone + Eq + Hash, T: Forgettable> Table<K, T> {
    pub fn new(entries_max: usize) -> Self {
        Self { entries: Mutex::default(), entries_max }
    }

    /// The entry of `key`; a new one where there is none.
    pub fn get(&self, key: K, now: u64, new: impl FnOnce() -> T) -> Arc<T> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(entry);
        }
        if entries.len() >= self.entries_max {
            make_room(&mut entries, now);
        }
        let entry = Arc::new(new());
        // Where each entry is held by a call, which has places of its own, the new one serves its call alone.
        if entries.len() < self.entries_max {
            entries.insert(key, Arc::clone(&entry));
        }
        entry
    }

    /// The entry of `key`, where there is one.
    pub fn find(&self, key: &K) -> Option<Arc<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn make_room<K: Clone + Eq + Hash, T: Forgettable>(entries: &mut HashMap<K, Arc<T>>, now: u64) {
    // Nobody can take hold of one meanwhile: the table is locked.
    let is_free = |entry: &Arc<T>| Arc::strong_count(entry) == 1;
    let before = entries.len();
    let wanted = before.div_ceil(8);
    entries.retain(|_, entry| !is_free(entry) || entry.whole_at() > now);
    // An eighth each time, so that looking through the whole table is seldom.
    let missing = wanted.saturating_sub(before.saturating_sub(entries.len()));
    if missing == 0 {
        return;
    }
    let free = entries.iter().filter(|(_, entry)| is_free(entry));
    let mut free: Vec<_> = free.map(|(key, entry)| (entry.whole_at(), key.clone())).collect();
    let leaving = missing.min(free.len());
    if leaving < free.len() {
        free.select_nth_unstable_by_key(leaving, |(whole_at, _)| *whole_at);
    }
    for (_, key) in free.into_iter().take(leaving) {
        entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(u64);

    impl Forgettable for At {
        fn whole_at(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn those_that_are_as_good_as_absent_go_first_and_those_that_are_held_stay() {
        let table = Table::new(4);
        let held = table.get(1, 0, || At(0));
        for (key, whole_at) in [(2, 5), (3, 50), (4, 500)] {
            table.get(key, 0, || At(whole_at));
        }
        table.get(5, 10, || At(600));
        let has = |key, expected| table.get(key, 10, || At(999)).0 == expected;
        assert!(has(1, 0) && has(3, 50) && has(4, 500) && has(5, 600), "2 was whole again");
        // Now none is: the one goes that would be whole next.
        table.get(6, 20, || At(700));
        assert!(has(4, 500) && has(5, 600) && has(6, 700) && table.len() == 4);
        drop(held);
    }

    #[test]
    fn whoever_has_spent_most_is_forgotten_last() {
        let table = Table::new(64);
        table.get(u64::MAX, 0, || At(1_000_000));
        for key in 0..10_000 {
            table.get(key, 0, || At(1_000 + key));
        }
        assert_eq!(table.get(u64::MAX, 0, || At(0)).0, 1_000_000);
        assert!(table.len() <= 64);
    }

    #[test]
    fn a_table_of_entries_that_are_all_held_grows_no_further() {
        let table = Table::new(8);
        let held: Vec<_> = (0..20_u64).map(|key| table.get(key, 0, || At(0))).collect();
        assert_eq!((table.len(), held.len()), (8, 20));
    }
}
