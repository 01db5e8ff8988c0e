//! Names of accounts in other programs. Different names stay different, and have only letters, digits and hyphens.

use std::fmt::Write as _;

/// The place of an account in a chart of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    /// The kind of account, by its name in Beancount.
    pub root: &'static str,
    /// The groups below the root.
    pub group: &'static str,
    /// The customer or storefront, if the account belongs to one.
    pub owner: Option<&'a str>,
    /// The account itself; empty if the owner is the account.
    pub leaf: &'static str,
}

impl<'a> Account<'a> {
    fn new(root: &'static str, group: &'static str, owner: Option<&'a str>, leaf: &'static str) -> Self {
        Self { root, group, owner, leaf }
    }

    /// An account in credits, as transfers name it.
    pub fn in_credits(name: &'a str, customer: &'a str) -> Self {
        match name {
            "available" => Self::new("Liabilities", "Customers", Some(customer), "Available"),
            "held" => Self::new("Liabilities", "Customers", Some(customer), "Held"),
            "receivable" => Self::new("Assets", "Customers", Some(customer), "Receivable"),
            "promotions" => Self::new("Equity", "Credits", None, "Promotions"),
            "adjustments" => Self::new("Equity", "Credits", None, "Adjustments"),
            "revenue" => Self::new("Income", "Credits", None, "Revenue"),
            "expired" => Self::new("Income", "Credits", None, "Expired"),
            "write_offs" => Self::new("Expenses", "Credits", None, "WriteOffs"),
            other => Self::new("Equity", "Sales", Some(other.strip_prefix("sales:").unwrap_or(other)), ""),
        }
    }

    /// An account in money, as money transfers name it.
    pub fn in_money(name: &'a str) -> Self {
        match name {
            "deferred_revenue" => Self::new("Liabilities", "Money", None, "DeferredRevenue"),
            "earned_revenue" => Self::new("Income", "Money", None, "EarnedRevenue"),
            "breakage" => Self::new("Income", "Money", None, "Breakage"),
            other => {
                let storefront = other.strip_prefix("storefront_receivable:").unwrap_or(other);
                Self::new("Assets", "StorefrontReceivable", Some(storefront), "")
            }
        }
    }

    pub fn name(&self) -> String {
        let owner = self.owner.map(|owner| format!(":{}", component(owner))).unwrap_or_default();
        let leaf = if self.leaf.is_empty() { String::new() } else { format!(":{}", self.leaf) };
        format!("{}:{}{owner}{leaf}", self.root, self.group)
    }
}

/// An id as one part of a name. A character that is no letter or digit becomes a hyphen and its code in two hexadecimal
/// digits. The X in front makes the part begin with a capital, which is required.
fn component(id: &str) -> String {
    let mut name = "X".to_owned();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() {
            name.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(name, "-{byte:02X}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart_what_differs() {
        let names = ["acme", "Acme", "a.b", "a-2Eb", "a_b", "a:b", "Xacme"].map(component);
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        assert_eq!(Account::in_credits("available", "a.b").name(), "Liabilities:Customers:Xa-2Eb:Available");
        assert_eq!(Account::in_credits("sales:web", "a").name(), "Equity:Sales:Xweb");
        assert_eq!(Account::in_money("storefront_receivable:web").name(), "Assets:StorefrontReceivable:Xweb");
    }
}
