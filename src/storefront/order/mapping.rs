//! What products come to: the settings, or the terms that an order was recorded by.

use std::collections::BTreeMap;

use super::facts::{Line, Order};
use crate::ledger::OpenText;
use crate::ledger::codec::record;
use crate::storefront::shop::{Mapped, Revenue, Shop};

/// What products come to. Once an order is recorded, it keeps the terms that it was recorded by: a mapping that is changed
/// later changes no earlier order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// True where the price of credits has its tax in it.
    pub gross: bool,
    /// By product id.
    pub products: BTreeMap<OpenText, Term>,
}
record!(Terms { 1 => gross, 2 => products });

record!(Mapped { 1 => credits, 2 => price });

/// What one product came to when its order was recorded; `None` for one that was no product of credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term {
    pub mapped: Option<Mapped>,
}
record!(Term { 1 => mapped });

/// How an order's products are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'a> {
    pub shop: &'a Shop,
    /// The terms that the order was recorded by.
    pub terms: Option<&'a Terms>,
}

impl Mapping<'_> {
    /// What a line's product comes to; `None` where it is none of credits.
    pub fn of(&self, line: &Line) -> Option<Mapped> {
        line.products.iter().find_map(|product| self.mapped(product))
    }

    /// What a product comes to; `None` for one that is none of credits.
    pub fn mapped(&self, product: &OpenText) -> Option<Mapped> {
        let kept = self.terms.and_then(|terms| terms.products.get(product));
        kept.map_or_else(|| self.shop.mapping.get(product.0.as_str()).copied(), |term| term.mapped)
    }

    /// True where the price of credits has its tax in it.
    pub fn is_gross(&self) -> bool {
        self.terms.map_or(self.shop.revenue == Revenue::Gross, |terms| terms.gross)
    }

    /// The terms that an order is recorded by now.
    #[must_use]
    pub fn terms_of(&self, order: &Order) -> Terms {
        let lines = order.contents.values().flat_map(|told| &told.fact.lines);
        let mut products = self.terms.map(|terms| terms.products.clone()).unwrap_or_default();
        for product in lines.flat_map(|line| &line.products) {
            let term = || Term { mapped: self.shop.mapping.get(product.0.as_str()).copied() };
            products.entry(product.clone()).or_insert_with(term);
        }
        Terms { gross: self.is_gross(), products }
    }

    /// True for a line of credits.
    pub fn is_mapped(&self, line: &Line) -> bool {
        line.credits.is_some() || self.of(line).is_some()
    }
}
