//! The tables `[[storefronts]]` of the file: which storefronts may report payments, and what their products are.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::secret::{NonEmpty, Secret, SecretText};

/// A storefront as the file describes it. What the ids and amounts may be is checked where they are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorefrontSettings {
    /// Its id in the ledger.
    pub id: NonEmpty,
    /// `stripe`, `shopify` or `woocommerce`.
    pub vendor: NonEmpty,
    /// Its ledger; `main` where none is given.
    #[serde(default = "main_ledger")]
    pub ledger: String,
    #[serde(default)]
    secrets: Vec<SecretText>,
    #[serde(default)]
    secret_variables: Vec<String>,
    /// The path at which a payload names the customer.
    pub customer: NonEmpty,
    /// The path at which a payload without line items names the product.
    #[serde(default)]
    pub product: String,
    /// Credits by product.
    #[serde(default)]
    pub credits: BTreeMap<String, String>,
}

fn main_ledger() -> String {
    "main".to_owned()
}

impl StorefrontSettings {
    /// Secrets that deliveries may be signed with.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> {
        let texts = self.secrets.iter().cloned().map(Secret::Text);
        texts.chain(self.secret_variables.iter().cloned().map(Secret::Variable))
    }
}

/// Checks storefronts that are wrong only together. The error continues the name of the tables.
pub(super) fn check(storefronts: &[StorefrontSettings]) -> Result<(), String> {
    for (place, storefront) in storefronts.iter().enumerate() {
        let id = &*storefront.id;
        if storefronts.iter().take(place).any(|other| *other.id == *id) {
            return Err(format!("has {id:?} twice"));
        }
        if storefront.secrets().next().is_none() {
            return Err(format!("must have secrets or secret_variables for {id:?}"));
        }
    }
    Ok(())
}
