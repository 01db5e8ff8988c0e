//! `deploy/nginx-cells.conf` with a real nginx in front of two cells, which are two schemas of one PostgreSQL.

use creditledger::grpc::wire::CreateLedgerRequest;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::{GetBalanceRequest, context};
use tonic::{Code, Request};

use super::nginx::{Proxy, nginx};
use super::postgres;
use super::postgres_rig::Site;
use super::process::Server;

const CONF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nginx-cells.conf");

fn serve(site: &Site, schema: &str) -> Server {
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--database-url", &site.url, "--postgres-schema", schema];
    Server::start(site.place.command(&arguments))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_to_the_cell_of_its_ledger() {
    let Some(program) = nginx() else { return };
    if !postgres::available() {
        return;
    }
    let site = Site::new().await;
    let cells = [serve(&site, "cell_1"), serve(&site, "cell_2")];
    let proxy = Proxy::with(
        program,
        CONF,
        &site.place,
        [("cell-1:50051", cells[0].address()), ("cell-2:50051", cells[1].address())],
    );
    let made = CreateLedgerRequest { context: Some(context("make", "")), ledger_id: "retail".to_owned() };
    LedgerServiceClient::new(cells[1].connect().await).create_ledger(made).await.unwrap();
    let url = format!("http://{}", proxy.http2);
    let has = |ledger: &str, server: &str| {
        let told = site.place.json(&["customer", "list", "--ledger", ledger, "--server", server, "--json"]);
        told.as_array().unwrap_or_else(|| panic!("{told}")).len()
    };
    // Each ledger has its customer in its own cell, and the other cell has nothing of it.
    for ledger in ["main", "retail"] {
        site.place.json(&["customer", "create", "acme", "--ledger", ledger, "--server", &url, "--json"]);
        site.place
            .json(&["purchase", "acme", "5", "--order", "1", "--ledger", ledger, "--server", &url, "--json"]);
        assert_eq!(has(ledger, &url), 1);
    }
    assert_eq!((has("main", cells[0].url()), has("retail", cells[1].url())), (1, 1));
    assert_eq!(has("main", cells[1].url()), 0);
    // The header alone decides: a call without it goes to the first cell, which has no such ledger.
    let mut client = LedgerServiceClient::new(proxy.connect().await);
    let asked = GetBalanceRequest {
        ledger_id: "retail".to_owned(),
        customer_id: "acme".to_owned(),
        ..Default::default()
    };
    let status = client.get_balance(asked.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    let mut named = Request::new(asked);
    named.metadata_mut().insert("x-creditledger-ledger", "retail".parse().unwrap());
    assert_eq!(client.get_balance(named).await.unwrap().into_inner().balance.unwrap().available_credits, "5");
    // A cell that is away takes nothing down but itself.
    let [first, second] = cells;
    second.stop();
    let ended = site.place.run(&["balance", "acme", "--ledger", "retail", "--server", &url]);
    assert!(ended.complaint().contains("went away"), "{}", ended.stderr);
    site.place.json(&["balance", "acme", "--server", &url, "--json"]);
    // Nor is anything told to be taken: a storefront sends a delivery again, and Connect reads JSON.
    assert_eq!(proxy.post("/webhooks/retail-shop", &[], b"{}").0, 502);
    let json = [("content-type", "application/json"), ("x-creditledger-ledger", "retail")];
    let (status, answer) = proxy.post("/creditledger.v1.PurchaseService/GrantCredits", &json, b"{}");
    assert!(status == 503 && answer.contains("unavailable"), "{answer}");
    // The first cell has no storefronts.
    assert_eq!(proxy.post("/webhooks/shop", &[], b"{}").0, 404);
    first.stop();
}
