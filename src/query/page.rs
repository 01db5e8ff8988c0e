//! Pages: keyset positions in opaque tokens. Each token is bound to its list and filter.

use std::fmt::{Debug, Write as _};

use crate::ledger::card::{CardRef, RateCard};
use crate::ledger::codec::{Codec, decode, encode};
use crate::ledger::hash::stable_hash;

use super::error::ReadError;

/// The most rows that one page of a filtered list reads. A rare filter gives short pages, even empty ones, with a
/// token to continue. So no filter keeps a connection long.
pub(super) const ROWS_PER_PAGE_MAX: usize = 10_000;
/// Rows that are read at a time for a filter; all of them are in memory together.
pub(super) const ROWS_AT_ONCE: usize = 250;

/// Which page a caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The most items; at least 1.
    pub limit: usize,
    /// The token of the page before; empty for the first page.
    pub token: String,
}

/// An item after which a list can continue.
pub trait Keyed {
    /// The item's place in the list's order.
    type Key: Codec;

    fn key(&self) -> Self::Key;
}

/// Names the key of a list's items: `keyed!(Lot => LotId: |lot| lot.id)`.
macro_rules! keyed {
    ($item:ty => $key:ty: |$it:ident| $of:expr) => {
        impl $crate::query::Keyed for $item {
            type Key = $key;

            fn key(&self) -> $key {
                let $it = self;
                $of
            }
        }
    };
}
pub(crate) use keyed;

#[derive(Clone, Debug)]
pub struct Listed<T: Keyed> {
    pub items: Vec<T>,
    /// The key after which the list continues; `None` at its end.
    pub next: Option<T::Key>,
    filter: u64,
}

impl PageRequest {
    /// Opens a page of the list that `filter` describes: the key to continue after, and the filter's hash for the
    /// next token.
    ///
    /// The filter is hashed as its `Debug` text, so that a new field cannot be forgotten here. If a new version
    /// prints it differently, it refuses old tokens; callers must expect that of tokens anyway.
    ///
    /// # Errors
    /// [`ReadError::PageToken`].
    pub fn open<K: Codec>(&self, filter: &impl Debug) -> Result<(Option<K>, u64), ReadError> {
        let filter = stable_hash(&[format!("{filter:?}").as_bytes()]);
        if self.token.is_empty() {
            return Ok((None, filter));
        }
        let bytes = from_hex(&self.token).ok_or(ReadError::PageToken)?;
        let (bound, key) = bytes.split_first_chunk::<8>().ok_or(ReadError::PageToken)?;
        if u64::from_be_bytes(*bound) != filter {
            return Err(ReadError::PageToken);
        }
        let key = decode(key).map_err(|_| ReadError::PageToken)?;
        Ok((Some(key), filter))
    }

    /// A page of a short list that is in memory as a whole, in key order.
    ///
    /// # Errors
    /// [`ReadError::PageToken`].
    pub fn take_from<T>(
        &self,
        filter: &impl Debug,
        all: impl Iterator<Item = T>,
    ) -> Result<Listed<T>, ReadError>
    where
        T: Keyed,
        T::Key: Ord,
    {
        let (after, filter) = self.open::<T::Key>(filter)?;
        let rest = all.filter(|item| after.as_ref().is_none_or(|after| item.key() > *after));
        Ok(self.cut(rest.take(self.limit.saturating_add(1)).collect(), filter))
    }

    /// A page of `items`. If there is one more than the page may have, the list continues.
    pub(super) fn cut<T: Keyed>(&self, mut items: Vec<T>, filter: u64) -> Listed<T> {
        let goes_on = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items.last().filter(|_| goes_on).map(Keyed::key);
        Listed::new(items, next, filter)
    }
}

keyed!(RateCard => CardRef: |it| it.card.clone());

impl<T: Keyed> Listed<T> {
    /// A page of the list with this `filter` hash from [`PageRequest::open`].
    pub fn new(items: Vec<T>, next: Option<T::Key>, filter: u64) -> Self {
        Self { items, next, filter }
    }

    /// The same page with other items of the same keys.
    pub(super) fn try_map<U: Keyed<Key = T::Key>>(
        self,
        change: impl FnMut(T) -> Result<U, ReadError>,
    ) -> Result<Listed<U>, ReadError> {
        let items = self.items.into_iter().map(change).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: self.next, filter: self.filter })
    }

    /// Converts items by `show` until their sizes reach `bytes_max`, so that a page of large items still fits into a
    /// message. The first item is always shown. The token continues after the last one shown.
    pub fn show<M>(
        self,
        bytes_max: usize,
        mut show: impl FnMut(&T) -> M,
        size: impl Fn(&M) -> usize,
    ) -> (Vec<M>, String) {
        let mut shown = Vec::with_capacity(self.items.len());
        let mut bytes = 0_usize;
        let mut last = None;
        for item in &self.items {
            let message = show(item);
            bytes = bytes.saturating_add(size(&message));
            if bytes > bytes_max && !shown.is_empty() {
                let next = last.map(|last: &T| last.key());
                return (shown, token(self.filter, next.as_ref()));
            }
            shown.push(message);
            last = Some(item);
        }
        (shown, token(self.filter, self.next.as_ref()))
    }
}

fn token<K: Codec>(filter: u64, next: Option<&K>) -> String {
    let Some(key) = next else { return String::new() };
    let mut text = format!("{filter:016x}");
    for byte in encode(key) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Keyed for u64 {
        type Key = Self;

        fn key(&self) -> Self {
            *self
        }
    }

    fn page(token: &str) -> PageRequest {
        PageRequest { limit: 2, token: token.to_owned() }
    }

    #[test]
    fn tokens_go_on_where_the_page_ended() {
        let (start, filter) = page("").open::<u64>(&"a").unwrap();
        assert_eq!(start, None);
        let listed = Listed::new(vec![3, 4_u64], Some(9), filter);
        let (shown, token) = listed.show(100, |item| *item, |_| 1);
        assert_eq!(shown, [3, 4]);
        assert_eq!(page(&token).open::<u64>(&"a").unwrap().0, Some(9));
        assert!(matches!(page(&token).open::<u64>(&"b"), Err(ReadError::PageToken)));
    }

    #[test]
    fn large_items_cut_the_page() {
        let (_, filter) = page("").open::<u64>(&"a").unwrap();
        let (shown, token) = Listed::new(vec![3, 4_u64], None, filter).show(5, |item| *item, |_| 4);
        assert_eq!(shown, [3]);
        assert_eq!(page(&token).open::<u64>(&"a").unwrap().0, Some(3));
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["x", "00", "zz00000000000000", "é", "0000000000000000ff", "00000000000000000"] {
            assert!(matches!(page(token).open::<u64>(&"a"), Err(ReadError::PageToken)), "{token}");
        }
    }
}
