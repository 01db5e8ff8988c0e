//! The tables `[[storefronts]]` of the file: which storefronts may tell of payments, and what their products are.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A storefront as the file describes it. What the ids and amounts may be is checked where they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorefrontSettings {
    /// Its id in the ledger.
    pub id: String,
    /// `stripe`, `shopify` or `woocommerce`.
    pub vendor: String,
    /// Its ledger; `main` where none is given.
    pub ledger: String,
    /// Secrets that deliveries may be signed with, or the names of variables that hold them.
    pub secrets: Vec<Secret>,
    /// Where a payload names the customer.
    pub customer: String,
    /// Where a payload without line items names the product.
    pub product: String,
    /// Credits by product.
    pub credits: BTreeMap<String, String>,
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the file.
    Text(String),
    /// In this variable.
    Variable(String),
    /// In this file, without the line's end.
    File(std::path::PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads the tables; what is wrong, continuing "`storefronts` ...".
pub(super) fn read(value: &Spanned<DeValue<'_>>) -> Result<Vec<StorefrontSettings>, String> {
    let DeValue::Array(tables) = value.get_ref() else {
        return Err("must be tables: [[storefronts]]".to_owned());
    };
    let mut all: Vec<StorefrontSettings> = Vec::new();
    for table in tables {
        let DeValue::Table(table) = table.get_ref() else {
            return Err("must be tables: [[storefronts]]".to_owned());
        };
        let one = read_one(table)?;
        if all.iter().any(|other| other.id == one.id) {
            return Err(format!("has {:?} twice", one.id));
        }
        all.push(one);
    }
    Ok(all)
}

fn read_one(table: &DeTable<'_>) -> Result<StorefrontSettings, String> {
    let mut read = StorefrontSettings { ledger: "main".to_owned(), ..StorefrontSettings::default() };
    for (key, value) in table {
        let name: &str = key.get_ref();
        match name {
            "id" => read.id = text(name, value)?,
            "vendor" => read.vendor = text(name, value)?,
            "ledger" => read.ledger = text(name, value)?,
            "customer" => read.customer = text(name, value)?,
            "product" => read.product = text(name, value)?,
            "secrets" => read.secrets.extend(texts(name, value)?.into_iter().map(Secret::Text)),
            "secret_variables" => {
                read.secrets.extend(texts(name, value)?.into_iter().map(Secret::Variable));
            }
            "credits" => {
                let DeValue::Table(products) = value.get_ref() else {
                    return Err("credits must be a table".to_owned());
                };
                for (product, credits) in products {
                    let product: &str = product.get_ref();
                    read.credits.insert(product.to_owned(), text(product, credits)?);
                }
            }
            _ => return Err(format!("has no {name}")),
        }
    }
    for (name, is_missing) in [
        ("id", read.id.is_empty()),
        ("vendor", read.vendor.is_empty()),
        ("secrets", read.secrets.is_empty()),
        ("customer", read.customer.is_empty()),
    ] {
        if is_missing {
            return Err(format!("must have {name} in each table"));
        }
    }
    Ok(read)
}

fn text(name: &str, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(format!("must have a string as {name}, not {}", other.type_str())),
    }
}

fn texts(name: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| text(name, item)).collect(),
        other => Err(format!("must have a list of strings as {name}, not {}", other.type_str())),
    }
}
