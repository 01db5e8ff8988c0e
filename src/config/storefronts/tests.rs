//! Tests of the tables of storefronts: what they may say, and that all their faults are told at once.

use toml::de::DeTable;

use super::super::tables::{Faults, Table};
use super::*;
use crate::hidden::Hidden;

/// The storefronts of a file, and its faults, a line each.
fn read_all(text: &str, variables: &[(&str, &str)]) -> (Vec<Shop>, Vec<String>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let variables: Vec<_> = variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let mut faults = Faults::of(text, &errors);
    let list = Table::whole(table.get_ref()).take("storefronts").unwrap();
    let shops = read(&list, Variables::Needed(&variables), &mut faults);
    (shops, faults.sorted().iter().map(ToString::to_string).collect())
}

const LEAST: &str =
    "[[storefronts]]\nid = \"web\"\nvendor = \"stripe\"\nsecrets = [\"s\"]\ncustomer = \"c\"\n";

fn euro(minor_units: i64) -> Money {
    Money { currency: Currency::parse("EUR").unwrap(), minor_units }
}

#[test]
fn what_is_left_out_has_a_default() {
    let (shops, faults) = read_all(LEAST, &[]);
    assert_eq!(faults, Vec::<String>::new());
    let expected = Shop {
        storefront: Storefront::parse("web").unwrap(),
        vendor: Vendor::Stripe,
        ledger: LedgerId::main(),
        secrets: vec![Hidden::new("s".to_owned())],
        customer: "c".to_owned(),
        product: String::new(),
        quantity: "metadata.quantity".to_owned(),
        revenue: Revenue::Net,
        accept_test_payments: false,
        mapping: BTreeMap::new(),
    };
    assert_eq!(shops, std::slice::from_ref(&expected));
    assert!(
        !format!("{:?}", Shop { secrets: vec![Hidden::new("whsec_x".to_owned())], ..expected })
            .contains("whsec")
    );
    for vendor in [Vendor::Shopify, Vendor::WooCommerce, Vendor::Generic] {
        let (shops, _) = read_all(&LEAST.replace("stripe", vendor.name()), &[]);
        assert_eq!((shops[0].vendor, &*shops[0].quantity), (vendor, ""));
    }
}

#[test]
fn everything_can_be_said() {
    let more = "secret_variables = [\"B\", \"A\"]\nledger = \"shop\"\nproduct = \"metadata.p\"\nquantity = \"metadata.n\"\n\
                revenue = \"gross\"\naccept_test_payments = true\n\
                [storefronts.credits]\np10 = \"10\"\np25 = { credits = \"2.5\", price = \"20.00 EUR\" }\n\
                \"a.b\" = { credits = \"1\" }\nfree = { credits = \"1\", price = \"0 EUR\" }\n";
    let (shops, faults) = read_all(&format!("{LEAST}{more}"), &[("A", "of A"), ("B", "of B")]);
    assert_eq!(faults, Vec::<String>::new());
    let Shop { secrets, ledger, product, quantity, revenue, accept_test_payments, mapping, .. } = &shops[0];
    let secrets: Vec<_> = secrets.iter().map(|secret| secret.reveal().as_str()).collect();
    assert_eq!((secrets.join(","), ledger.as_str()), ("s,of B,of A".to_owned(), "shop"));
    assert_eq!((&**product, &**quantity), ("metadata.p", "metadata.n"));
    assert_eq!((*revenue, *accept_test_payments), (Revenue::Gross, true));
    let mapped: Vec<_> =
        mapping.iter().map(|(id, mapped)| (&**id, mapped.credits.units(), mapped.price)).collect();
    let expected = [
        ("a.b", 10_000, None),
        ("free", 10_000, Some(euro(0))),
        ("p10", 100_000, None),
        ("p25", 25_000, Some(euro(2_000))),
    ];
    assert_eq!(mapped, expected);
}

#[test]
fn each_fault_is_told_with_its_key_and_line() {
    for (from, to, told) in [
        ("id = \"web\"\n", "", "line 1: storefronts must have the key id"),
        ("id = \"web\"", "id = \"a b\"", "line 2: storefronts.id must consist of letters"),
        ("id = \"web\"", "id = 5", "line 2: storefronts.id must be a string, not integer"),
        ("vendor = \"stripe\"\n", "", "line 1: storefronts must have the key vendor"),
        ("customer = \"c\"\n", "", "line 1: storefronts must have the key customer"),
        ("\"c\"", "\"\"", "line 5: storefronts.customer must not be empty"),
        ("\"c\"", "\"a..b\"", "line 5: storefronts.customer must be names with points between them"),
        (
            "secrets = [\"s\"]\n",
            "",
            "line 1: storefronts must have a secret in secrets, secret_variables or secret_files",
        ),
        (
            "[\"s\"]",
            "[]",
            "line 1: storefronts must have a secret in secrets, secret_variables or secret_files",
        ),
        ("[\"s\"]", "[\"s\", \"\"]", "line 4: storefronts.secrets has a secret that is empty"),
        ("[\"s\"]", "[\"hidden\\n\"]", "line 4: storefronts.secrets has a secret that has a line's end"),
        ("[\"s\"]", "\"hidden\"", "line 4: storefronts.secrets must be a list of strings, not string"),
        (
            "secrets = [\"s\"]",
            "secret_variables = [\"GONE\"]",
            "line 4: storefronts.secret_variables names GONE, which is not set",
        ),
        (
            "secrets = [\"s\"]",
            "secret_variables = [\"E\"]",
            "line 4: storefronts.secret_variables names E, a secret that is empty",
        ),
        ("", "secret = \"hidden\"\n", "line 6: storefronts.secret is not a setting"),
        ("", "ledger = \"\"\n", "line 6: storefronts.ledger must not be empty"),
        ("", "product = \".a\"\n", "line 6: storefronts.product must be names"),
        ("", "quantity = 1\n", "line 6: storefronts.quantity must be a string"),
        (
            "",
            "revenue = \"both\"\n",
            "line 6: storefronts.revenue must be \"net\" or \"gross\", not \"both\"",
        ),
        (
            "",
            "accept_test_payments = 1\n",
            "line 6: storefronts.accept_test_payments must be true or false, not integer",
        ),
        ("", "credits = []\n", "line 6: storefronts.credits must be a table of products, not array"),
        (
            "",
            "credits = { p = 10 }\n",
            "line 6: storefronts.credits.p must be credits such as \"10\", or a table",
        ),
        ("", "credits = { p = \"0\" }\n", "line 6: storefronts.credits.p must be more than 0"),
        ("", "credits = { p = \"-1\" }\n", "line 6: storefronts.credits.p must be more than 0"),
        (
            "",
            "credits = { p = \"1.00001\" }\n",
            "line 6: storefronts.credits.p must have at most 4 fractional digits",
        ),
        (
            "",
            "credits = { \" p\" = \"1\" }\n",
            "line 6: storefronts.credits. p must be named by the product's id",
        ),
        (
            "",
            "credits = { \"\" = \"1\" }\n",
            "line 6: storefronts.credits. must be named by the product's id",
        ),
        (
            "",
            "credits = { p = { price = \"1 EUR\" } }\n",
            "line 6: storefronts.credits.p must have the key credits",
        ),
        (
            "",
            "credits = { p = { credits = \"1\", cost = 1 } }\n",
            "line 6: storefronts.credits.p.cost is not a setting",
        ),
    ] {
        let text = if from.is_empty() { format!("{LEAST}{to}") } else { LEAST.replace(from, to) };
        let (_, faults) = read_all(&text, &[("E", "")]);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(faults[0].starts_with(told), "{text}: {faults:?}");
        assert!(!faults[0].contains("hidden"), "{faults:?}");
    }
}

#[test]
fn a_unit_price_is_money_of_a_known_currency() {
    for (price, told) in [
        ("20.00", "must be an amount and a currency such as \"20.00 EUR\", not \"20.00\""),
        ("20.00 eur", "must be an amount and a currency"),
        ("20.00 ZZZ", "must be in a currency of ISO 4217, and ZZZ is none"),
        ("20.001 EUR", "must have at most 2 fractional digits"),
        ("20.5 JPY", "must have at most 0 fractional digits"),
        ("-1 EUR", "must be a decimal number"),
        (" 1 EUR", "must be an amount and a currency"),
    ] {
        let text = format!("{LEAST}credits = {{ p = {{ credits = \"1\", price = {price:?} }} }}\n");
        let (_, faults) = read_all(&text, &[]);
        assert_eq!(faults.len(), 1, "{price}: {faults:?}");
        assert!(
            faults[0].starts_with(&format!("line 6: storefronts.credits.p.price {told}")),
            "{price}: {faults:?}"
        );
    }
}

#[test]
fn all_faults_of_all_storefronts_are_told_at_once() {
    let text = "[[storefronts]]\nvendor = \"etsy\"\nsecret_variables = [\"X\", \"Y\"]\ncustomer = \"\"\nrevenue = 1\n\
                credits = { a = \"ten\", b = { credits = \"0\", price = \"x\" }, c = \"1\" }\n\
                [[storefronts]]\nid = \"web\"\nid2 = \"x\"\n";
    let (shops, faults) = read_all(&format!("{text}{LEAST}"), &[]);
    let keys: Vec<_> =
        faults.iter().map(|fault| fault.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "line 1: storefronts",
        "line 2: storefronts.vendor",
        "line 3: storefronts.secret_variables",
        "line 3: storefronts.secret_variables",
        "line 4: storefronts.customer",
        "line 5: storefronts.revenue",
        "line 6: storefronts.credits.a",
        "line 6: storefronts.credits.b.credits",
        "line 6: storefronts.credits.b.price",
        "line 7: storefronts",
        "line 7: storefronts",
        "line 7: storefronts",
        "line 9: storefronts.id2",
        "line 11: storefronts.id",
    ];
    assert_eq!(keys, expected, "{faults:#?}");
    assert_eq!(faults.last().unwrap(), "line 11: storefronts.id is \"web\", as on line 8 already");
    assert_eq!(shops.len(), 1);
}

#[test]
fn one_table_is_no_list_of_storefronts() {
    let (_, faults) = read_all("\n[storefronts]\nid = \"web\"\n", &[]);
    assert_eq!(faults, ["line 2: storefronts must be an array of tables: [[storefronts]], not table"]);
    let (_, faults) = read_all("storefronts = [1]", &[]);
    assert_eq!(faults, ["line 1: storefronts must be an array of tables: [[storefronts]], not integer"]);
}
