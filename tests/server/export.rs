//! Exports, checked by the programs that they are for, and statements as people get them.

use std::collections::BTreeMap;
use std::process::Command;

use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::*;

use crate::process::{Place, Server};

/// Ids that only just differ, with all that ids may have.
const CUSTOMERS: [&str; 3] = ["acme", "Acme-2E", "A.c:m@e-_1"];

/// Whether a program of the outside is there; in CI it must be.
fn available(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    let required = std::env::var_os("CREDITLEDGER_REQUIRE_EXPORT_CHECKS").is_some();
    assert!(found || !required, "{program} must be installed for the tests of exports");
    if !found {
        eprintln!("{program} is not installed: its check of the export is left out");
    }
    found
}

/// A generator of numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Purchases in two currencies and without a price, refunds, chargebacks, work, reversals and adjustments.
async fn busy_months(server: &Server) {
    use batch_command::Command as Asked;
    let mut dice = Dice(20_261_125);
    let mut commands = Vec::new();
    for customer in CUSTOMERS {
        commands.push(Asked::CreateCustomer(CreateCustomerRequest {
            context: Some(context(format!("new {customer}"), customer)),
            ..Default::default()
        }));
    }
    for n in 0..600 {
        let customer_id = CUSTOMERS[usize::try_from(dice.below(3)).unwrap()].to_owned();
        let request_id = format!("r {n}");
        let order = |number: u64| {
            let storefront = if number.is_multiple_of(3) { "shop.eu:1" } else { "web" };
            (storefront.to_owned(), format!("{customer_id}-{number}"))
        };
        let target = |number: u64| {
            let (storefront, order_id) = order(number);
            PurchaseTarget::order(storefront, order_id)
        };
        let number = dice.below(60);
        let incident_id = format!("INC {}", dice.below(9)).replace(' ', "-");
        commands.push(match dice.below(9) {
            0 | 1 => {
                let (storefront, order_id) = order(number);
                let price = match number % 4 {
                    0 => Some(("JPY", dice.below(5_000).to_string())),
                    1 => None,
                    _ => Some(("EUR", format!("{}.{:02}", dice.below(90), dice.below(100)))),
                };
                Asked::PurchaseCredits(PurchaseCreditsRequest {
                    context: Some(context(request_id, &customer_id)),
                    storefront,
                    order_id,
                    credits: format!("{}.5", dice.below(20)),
                    price: price.map(|(code, amount)| Money { currency_code: code.into(), amount }),
                    ..Default::default()
                })
            }
            2 => Asked::RefundPurchase(RefundPurchaseRequest {
                context: Some(context(request_id, &customer_id)),
                target: Some(target(number)),
                credits: format!("{}.25", dice.below(5)),
                on_shortfall: (1 + i32::try_from(dice.below(3)).unwrap()),
                ..Default::default()
            }),
            3 => Asked::RecordChargeback(RecordChargebackRequest {
                context: Some(context(request_id, &customer_id)),
                target: Some(target(number)),
                ..Default::default()
            }),
            4 => Asked::ResolveChargeback(ResolveChargebackRequest {
                context: Some(context(request_id, &customer_id)),
                target: Some(target(number)),
                outcome: (1 + i32::try_from(dice.below(2)).unwrap()),
            }),
            5 | 6 => Asked::ChargeIncident(ChargeIncidentRequest {
                context: Some(context(request_id, &customer_id)),
                incident_id,
                work_seconds: i32::try_from(dice.below(9_000)).unwrap(),
                ..Default::default()
            }),
            7 => Asked::ReverseSettlement(ReverseSettlementRequest {
                context: Some(context(request_id, &customer_id).because("goodwill, \"half\" of it")),
                target: Some(HoldTarget::incident(incident_id)),
                credits: (dice.below(2) == 0).then(|| "0.7".into()),
            }),
            _ => Asked::AdjustBalance(AdjustBalanceRequest {
                context: Some(context(request_id, &customer_id).because("slip; of \\ the pen")),
                credits: if dice.below(2) == 0 { "0.3333".into() } else { "-0.2".into() },
            }),
        });
    }
    let commands = commands.into_iter().map(|command| BatchCommand { command: Some(command) }).collect();
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    let results = BatchServiceClient::new(server.connect().await)
        .execute_batch(request)
        .await
        .unwrap()
        .into_inner()
        .results;
    let is_accepted =
        |result: &&BatchResult| matches!(result.result, Some(batch_result::Result::Accepted(_)));
    assert!(results.iter().filter(is_accepted).count() > 250);
}

/// Balances by account and commodity, in ten-thousandths, customers' accounts summed.
type Balances = BTreeMap<(String, String), i128>;

/// A decimal in ten-thousandths.
fn fixed(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().unwrap() };
    sign * (whole * 10_000 + format!("{fraction:0<4}")[..4].parse::<i128>().unwrap())
}

/// The ledger's own balances, under the names that they are exported by, credited ones negative.
async fn trial_balance(server: &Server) -> Balances {
    let mut client = LedgerServiceClient::new(server.connect().await);
    let trial = client.get_trial_balance(GetTrialBalanceRequest::default()).await.unwrap().into_inner();
    let coded = |id: &str| id.replace('.', "-2E").replace(':', "-3A");
    let mut balances = Balances::new();
    for AccountBalance { account, credits } in trial.accounts {
        let name = match account.as_str() {
            "available" | "held" | "receivable" => account,
            "promotions" | "adjustments" => format!("Equity:Credits:{}", capital(&account)),
            "revenue" | "expired" => format!("Income:Credits:{}", capital(&account)),
            "write_offs" => "Expenses:Credits:WriteOffs".to_owned(),
            sales => format!("Equity:Sales:X{}", coded(sales.strip_prefix("sales:").unwrap())),
        };
        balances.insert((name, "CREDIT".to_owned()), -fixed(&credits));
    }
    for MoneyAccountBalance { account, balance } in trial.money_accounts {
        let Money { currency_code, amount } = balance.unwrap();
        let name = match account.as_str() {
            "deferred_revenue" => "Liabilities:Money:DeferredRevenue".to_owned(),
            "earned_revenue" => "Income:Money:EarnedRevenue".to_owned(),
            "breakage" => "Income:Money:Breakage".to_owned(),
            other => {
                format!("Assets:StorefrontReceivable:X{}", coded(other.split_once(':').unwrap().1))
            }
        };
        balances.insert((name, currency_code), -fixed(&amount));
    }
    balances.retain(|_, balance| *balance != 0);
    balances
}

fn capital(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

/// Sums exported accounts: those of customers by what they are.
fn summed(lines: impl IntoIterator<Item = (String, String, i128)>) -> Balances {
    let mut balances = Balances::new();
    for (account, commodity, amount) in lines {
        let parts: Vec<&str> = account.split(':').collect();
        let name = match parts[..] {
            [_, "Customers", _, leaf] => leaf.to_lowercase(),
            _ => account,
        };
        *balances.entry((name, commodity)).or_default() += amount;
    }
    balances.retain(|_, balance| *balance != 0);
    balances
}

fn told(program: &str, arguments: &[&str]) -> String {
    let ended = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{program} {arguments:?}: {}{stderr}",
        String::from_utf8_lossy(&ended.stdout)
    );
    String::from_utf8(ended.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_pass_the_checks_of_other_programs_with_the_same_balances() {
    let place = Place::new();
    let server = place.serve();
    busy_months(&server).await;
    let expected = trial_balance(&server).await;
    assert!(expected.len() > 10, "{expected:?}");
    let file = |format: &str| {
        let path = place.path(&format!("ledger.{format}")).display().to_string();
        let arguments = ["export", "--format", format, "--output", &path, "--server", server.url()];
        let ended = place.run(&arguments);
        assert!(ended.status.success(), "{}", ended.stderr);
        path
    };
    let csv = std::fs::read_to_string(file("csv")).unwrap();
    let moved = csv.lines().skip(1).flat_map(|line| {
        let fields: Vec<&str> = line.rsplitn(5, ',').collect();
        let [unit, amount, credit, debit, _] = fields[..] else { panic!("{line}") };
        let amount = fixed(amount);
        [(debit.to_owned(), unit.to_owned(), amount), (credit.to_owned(), unit.to_owned(), -amount)]
    });
    let sum: i128 = moved.map(|(_, _, amount)| amount).sum();
    assert!(csv.lines().count() > 300 && sum == 0);
    for line in std::fs::read_to_string(file("jsonl")).unwrap().lines() {
        let posting: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(posting["position"].as_u64().unwrap() > 0);
    }
    let journal = file("hledger");
    if available("hledger") {
        // Strict: every account and commodity is declared.
        told("hledger", &["-f", &journal, "check", "--strict"]);
        let balances =
            told("hledger", &["-f", &journal, "balance", "--flat", "--no-total", "--output-format", "csv"]);
        let lines = balances.lines().skip(1).flat_map(|line| {
            let fields: Vec<String> = line.split("\",\"").map(|field| field.replace('"', "")).collect();
            let amounts = fields[1].split(", ").map(|amount| {
                let (number, commodity) = amount.split_once(' ').unwrap_or((amount, "CREDIT"));
                (fields[0].clone(), commodity.to_owned(), fixed(number))
            });
            amounts.collect::<Vec<_>>()
        });
        assert_eq!(summed(lines), expected, "hledger");
    }
    let journal = file("beancount");
    if available("bean-check") {
        assert_eq!(told("bean-check", &[&journal]), "");
        let query = "SELECT account, currency, sum(number) AS total GROUP BY account, currency";
        let balances = told("bean-query", &["--format", "csv", &journal, query]);
        let lines = balances.lines().skip(1).map(|line| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            (fields[0].to_owned(), fields[1].to_owned(), fixed(fields[2]))
        });
        assert_eq!(summed(lines), expected, "beancount");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_in_every_form() {
    let place = Place::new();
    let server = place.serve();
    busy_months(&server).await;
    let show = |format: &str| {
        let ended = place.run(&["statement", "acme", "--format", format, "--server", server.url()]);
        assert!(ended.status.success(), "{}", ended.stderr);
        ended.stdout
    };
    let json: serde_json::Value = serde_json::from_str(&show("json")).unwrap();
    let lines = json["lines"].as_array().unwrap();
    assert!(lines.len() > 20);
    assert_eq!(lines.last().unwrap()["balance_after"]["available"], json["closing_balance"]["available"]);
    assert_eq!(show("csv").lines().count(), lines.len() + 3);
    let html = show("html");
    assert!(
        html.starts_with("<!DOCTYPE html>")
            && html.contains("Closing balance")
            && html.contains("&quot;half&quot;")
    );
    assert!(show("text").contains("opening balance"));
    let early = ["statement", "acme", "--to", "2020-01-01", "--format", "json", "--server", server.url()];
    let early = place.json(&early);
    assert_eq!((&early["provisional"], &early["closing_balance"]["available"]), (&false.into(), &"0".into()));
    let future = ["statement", "acme", "--to", "2100-01-01", "--format", "json", "--server", server.url()];
    assert_eq!(place.json(&future)["provisional"], true);
    let revenue = place.json(&["revenue", "--json", "--server", server.url()]);
    assert_eq!((&revenue[0]["currency"], &revenue[1]["currency"]), (&"EUR".into(), &"JPY".into()));
}
