//! The tables `[[storefronts]]` of the file: which storefronts may report payments, and what their products are. They are
//! checked here and nowhere else, so that each fault is named with its key and line.

use std::collections::BTreeMap;

use super::secret::{self, Variables};
use super::tables::{Entry, Faults, Table, parsed};
use crate::ledger::{Credits, Currency, LedgerId, Money, Storefront};
use crate::storefront::{Mapped, Revenue, Shop, Vendor, amounts};

/// Reads all storefronts. Where one has a fault, it is left out and the fault is noted.
pub(super) fn read(list: &Entry<'_>, variables: Variables<'_>, faults: &mut Faults<'_>) -> Vec<Shop> {
    let mut shops = Vec::new();
    let mut ids: BTreeMap<Storefront, usize> = BTreeMap::new();
    for mut table in list.tables(faults) {
        let id = table.need(faults, "id");
        let storefront = id.as_ref().and_then(|id| parsed(id, faults, Storefront::parse));
        if let Some((entry, storefront)) = id.zip(storefront.clone()) {
            let line = faults.line(entry.start);
            match ids.get(&storefront) {
                Some(first) => {
                    let problem = format!("is {:?}, as on line {first} already", storefront.as_str());
                    entry.refuse::<()>(faults, problem);
                }
                None => drop(ids.insert(storefront, line)),
            }
        }
        let shop = shop(storefront, table, variables, faults);
        shops.extend(shop);
    }
    shops
}

fn shop(
    storefront: Option<Storefront>,
    mut table: Table<'_>,
    variables: Variables<'_>,
    faults: &mut Faults<'_>,
) -> Option<Shop> {
    let vendor = table.need(faults, "vendor").and_then(|entry| vendor(&entry, faults));
    let ledger = match table.take("ledger") {
        Some(entry) => parsed(&entry, faults, LedgerId::parse),
        None => Some(LedgerId::main()),
    };
    let secrets = secret::several(&mut table, faults, "secret", variables);
    let customer = match table.need(faults, "customer") {
        Some(entry) => path(&entry, faults).and_then(|customer| {
            if customer.is_empty() { entry.refuse(faults, "must not be empty") } else { Some(customer) }
        }),
        None => None,
    };
    let product = match table.take("product") {
        Some(entry) => path(&entry, faults),
        None => Some(String::new()),
    };
    let quantity = match table.take("quantity") {
        Some(entry) => path(&entry, faults),
        None => vendor.map(|vendor| vendor.quantity_path().to_owned()),
    };
    let revenue = match table.take("revenue") {
        Some(entry) => revenue(&entry, faults),
        None => Some(Revenue::default()),
    };
    let accept_test_payments = match table.take("accept_test_payments") {
        Some(entry) => entry.switch(faults),
        None => Some(false),
    };
    let mapping = match table.take("credits") {
        Some(entry) => mapping(&entry, faults),
        None => Some(BTreeMap::new()),
    };
    table.end(faults);
    Some(Shop {
        storefront: storefront?,
        vendor: vendor?,
        ledger: ledger?,
        secrets: secrets?,
        customer: customer?,
        product: product?,
        quantity: quantity?,
        revenue: revenue?,
        accept_test_payments: accept_test_payments?,
        mapping: mapping?,
    })
}

fn vendor(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Vendor> {
    let name = entry.text(faults)?;
    let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.name() == name);
    vendor.or_else(|| {
        let [names @ .., last] = Vendor::ALL.map(Vendor::name);
        entry.refuse(faults, format_args!("must be {} or {last}, not {name:?}", names.join(", ")))
    })
}

fn revenue(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Revenue> {
    match entry.text(faults)? {
        "net" => Some(Revenue::Net),
        "gross" => Some(Revenue::Gross),
        other => entry.refuse(faults, format_args!("must be \"net\" or \"gross\", not {other:?}")),
    }
}

/// Where a payload has something; empty where it is not looked for.
fn path(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<String> {
    let text = entry.text(faults)?;
    if !text.is_empty() && text.split('.').any(|step| step.is_empty() || step != step.trim()) {
        return entry.refuse(faults, format_args!("must be names with points between them, not {text:?}"));
    }
    Some(text.to_owned())
}

/// What each product is worth. All entries are read, also after one that is wrong.
fn mapping(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<BTreeMap<String, Mapped>> {
    let table = entry.table(faults, "a table of products")?;
    let mut is_whole = true;
    let mut mapping = BTreeMap::new();
    for product in table.rest() {
        let key = product.key;
        // What a payload names is trimmed, so that such a key would never be found.
        if key.is_empty() || key != key.trim() {
            product.refuse::<()>(faults, "must be named by the product's id, without spaces around it");
            is_whole = false;
        }
        match mapped(&product, faults) {
            Some(mapped) => drop(mapping.insert(key.to_owned(), mapped)),
            None => is_whole = false,
        }
    }
    is_whole.then_some(mapping)
}

fn mapped(product: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Mapped> {
    use toml::de::DeValue;
    match product.value {
        DeValue::String(_) => Some(Mapped { credits: credits(product, faults)?, price: None }),
        DeValue::Table(_) => {
            let mut table = product.table(faults, "a table")?;
            let amount = table.need(faults, "credits").and_then(|entry| credits(&entry, faults));
            let price = match table.take("price") {
                Some(entry) => parsed(&entry, faults, price).map(Some),
                None => Some(None),
            };
            table.end(faults);
            Some(Mapped { credits: amount?, price: price? })
        }
        other => product.refuse(
            faults,
            format_args!(
                "must be credits such as \"10\", or a table such as {{ credits = \"10\", price = \"20.00 EUR\" }}, \
                 not {}",
                other.type_str()
            ),
        ),
    }
}

fn credits(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<Credits> {
    let amount = parsed(entry, faults, Credits::parse)?;
    if amount.is_positive() { Some(amount) } else { entry.refuse(faults, "must be more than 0") }
}

/// A price such as `20.00 EUR`.
fn price(text: &str) -> Result<Money, String> {
    let wrong = || format!("must be an amount and a currency such as \"20.00 EUR\", not {text:?}");
    let (amount, code) = text.split_once(' ').ok_or_else(wrong)?;
    let currency = Currency::parse(code).ok_or_else(wrong)?;
    let digits = amounts::digits(code)
        .ok_or_else(|| format!("must be in a currency of ISO 4217, and {code} is none"))?;
    Ok(Money { currency, minor_units: amounts::minor_units(amount, digits)? })
}

#[cfg(test)]
mod tests;
