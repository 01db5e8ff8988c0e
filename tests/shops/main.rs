//! Shops as their vendors run them: random histories of orders told in each vendor's payloads, whose end is known
//! without the ledger, and payloads of the vendors' documentation.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed
// Payloads have many fields, and `json!` takes one after the other.
#![recursion_limit = "512"]

mod before;
mod bounds;
mod costs;
mod counted;
mod desk;
mod disputes;
mod edges;
mod following;
mod generic;
mod histories;
mod history;
mod joining;
mod meanwhile;
mod rig;
mod rows;
mod shopify;
mod shopify_shop;
mod stripe;
mod woocommerce;
mod woocommerce_shop;
