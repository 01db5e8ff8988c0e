//! The link under which a customer buys more credits: a URL from the settings with the customer's id put in.

use std::fmt::Write as _;

use url::Url;

use crate::ledger::{CustomerId, LedgerId};

/// Placeholders for ids.
const CUSTOMER: &str = "{customer_id}";
const LEDGER: &str = "{ledger_id}";

/// A URL with placeholders for ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// Parses a link such as `https://shop.example.com/credits?for={customer_id}`.
    ///
    /// # Errors
    /// What is wrong with it, continuing the name of the setting.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.replace(CUSTOMER, "").replace(LEDGER, "");
        if rest.contains(['{', '}']) {
            return Err(format!("may put in {CUSTOMER} and {LEDGER}, and nothing else between braces"));
        }
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("must be a URL without spaces".to_owned());
        }
        let url = Url::parse(&text.replace(CUSTOMER, "x").replace(LEDGER, "x"));
        // People click on it, so neither a script nor a file may be behind it.
        match url {
            Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err("must be an http or https URL".to_owned()),
        }
    }

    /// The link for one customer.
    pub fn of(&self, ledger: &LedgerId, customer: &CustomerId) -> String {
        self.0.replace(CUSTOMER, &encoded(customer.as_str())).replace(LEDGER, &encoded(ledger.as_str()))
    }
}

/// Percent-encodes an id, so that it stays one word anywhere in a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_put_in_as_one_word_each() {
        let link = Link::parse("https://shop.example.com/{ledger_id}/credits?for={customer_id}&x=1").unwrap();
        let of = |customer: &str| link.of(&LedgerId::main(), &CustomerId::parse(customer).unwrap());
        assert_eq!(of("acme"), "https://shop.example.com/main/credits?for=acme&x=1");
        assert_eq!(of("a:b@c"), "https://shop.example.com/main/credits?for=a%3Ab%40c&x=1");
        assert_eq!(encoded("a/b&c=d#é {}"), "a%2Fb%26c%3Dd%23%C3%A9%20%7B%7D");
        let fixed = Link::parse("http://127.0.0.1:8080/top-up").unwrap();
        assert_eq!(
            fixed.of(&LedgerId::main(), &CustomerId::parse("acme").unwrap()),
            "http://127.0.0.1:8080/top-up"
        );
    }

    #[test]
    fn what_is_no_link_for_people_is_refused() {
        for bad in [
            "",
            "shop.example.com/{customer_id}",
            "javascript:alert({customer_id})",
            "file:///etc/{customer_id}",
            "mailto:shop@example.com",
            "https://shop.example.com/{customer}",
            "https://shop.example.com/{",
            "https://shop.example.com/a b",
            "https://shop.example.com/\r\nx",
        ] {
            assert!(Link::parse(bad).is_err(), "{bad:?}");
        }
    }
}
