//! Builds storefronts from their settings.

use super::failure::Failure;
use crate::config::{Secret, StorefrontSettings};
use crate::ledger::{Credits, LedgerId, Storefront};
use crate::storefront::{Shop, Vendor};

/// Checks the settings of storefronts.
///
/// # Errors
/// [`Failure::Other`] with one line that names the storefront and what is wrong with it.
pub(super) fn shops(settings: &[StorefrontSettings]) -> Result<Vec<Shop>, Failure> {
    settings.iter().map(|settings| shop(settings).map_err(|wrong| complaint(&settings.id, &wrong))).collect()
}

fn complaint(id: &str, wrong: &str) -> Failure {
    Failure::Other(format!("storefront {id:?}: {wrong}"))
}

/// Reads a secret from the place that the settings name. The error does not show the secret.
pub(super) fn revealed(secret: &Secret) -> Result<String, String> {
    match secret {
        Secret::Text(text) => Ok(text.revealed().to_owned()),
        Secret::Variable(name) => {
            std::env::var(name).map_err(|_| format!("the variable {name} of its secret is not set"))
        }
        Secret::File(path) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|error| format!("{} of its secret: {error}", path.display()))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

fn shop(settings: &StorefrontSettings) -> Result<Shop, String> {
    let StorefrontSettings { id, vendor, ledger, customer, product, credits, .. } = settings;
    let mapped = |(product, credits): (&String, &String)| {
        let amount = Credits::parse(credits).ok().filter(|amount| amount.is_positive());
        let amount = amount.ok_or_else(|| format!("{credits:?} is no amount of credits for {product}"))?;
        Ok::<_, String>((product.clone(), amount))
    };
    let secrets = settings.secrets().map(|secret| revealed(&secret)).collect::<Result<Vec<_>, _>>()?;
    if secrets.iter().any(String::is_empty) {
        return Err("a secret is empty".to_owned());
    }
    Ok(Shop {
        storefront: Storefront::parse(id).map_err(|error| format!("its id {error}"))?,
        vendor: Vendor::named(vendor).ok_or("its vendor must be stripe, shopify or woocommerce")?,
        ledger: LedgerId::parse(ledger).map_err(|error| format!("its ledger {error}"))?,
        secrets,
        customer: customer.to_string(),
        product: product.clone(),
        credits: credits.iter().map(mapped).collect::<Result<_, _>>()?,
    })
}
