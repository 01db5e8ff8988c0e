//! `creditledger webhook ...`: endpoints from the command line, against a real server and a receiver that refuses at first.

use super::process::{Place, Running, Server};
use super::receiver::{Receiver, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_kept_and_events_sent_again_from_the_command_line() {
    let place = Place::new();
    let receiver = Receiver::start(|_| Reply::Status(500, None)).await;
    let server = Server::start(place.command(&["--listen", "127.0.0.1:0", "--webhook-development"]));
    let ask = |arguments: &[&str]| {
        let mut all = vec!["webhook"];
        all.extend(arguments);
        all.extend(["--server", server.url(), "--json"]);
        place.json(&all)
    };

    let create = ["create", &receiver.url, "--type", "hold.placed", "--description", "desk"];
    let create = [&create[..], &["--request-id", "e-1"]].concat();
    let made = ask(&create);
    let (id, secret) = (made["endpoint_id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!((&made["types"][0], &made["enabled"]), (&"hold.placed".into(), &true.into()));
    let again = ask(&create);
    assert_eq!((&again["secret"], &again["replayed"]), (&secret.into(), &true.into()));
    let listed = ask(&["list"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["endpoint_id"], &listed[0]["description"]), (&id.into(), &"desk".into()));
    assert!(!listed.to_string().contains(secret), "a list tells no secrets");

    // An event that is not taken is listed, and sent again on request.
    place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    place.json(&["hold", "place", "acme", "INC-1", "--credits", "0", "--server", server.url(), "--json"]);
    receiver.until(|messages| messages.len() == 1).await;
    // It is written down a moment after the answer came.
    let listed = |_| Some(ask(&["deliveries", id])).filter(|listed| *listed != serde_json::json!([]));
    let pending = (0..1_000).find_map(listed).expect("a delivery that was refused is listed");
    let delivery = &pending[0];
    assert_eq!((&delivery["type"], &delivery["status"]), (&"hold.placed".into(), &500.into()));
    assert_eq!((&delivery["customer_id"], &delivery["state"]), (&"acme".into(), &"PENDING".into()));
    assert_eq!(ask(&["deliveries", id, "--dead"]), serde_json::json!([]));
    receiver.answer(|_| Reply::Status(204, None));
    let (position, index) = (delivery["position"].to_string(), delivery["index"].to_string());
    assert_eq!(ask(&["redeliver", id, &position, &index])["endpoint_id"], id);
    receiver.until(|messages| messages.iter().any(|message| message.taken)).await;
    assert_eq!(receiver.taken()[0].id(), delivery["event_id"]);

    // What is named changes, what is not stays; a secret is told where it is new.
    let changed = ask(&["update", id, "--disable", "--all-types"]);
    assert_eq!((&changed["enabled"], &changed["types"]), (&false.into(), &serde_json::json!([])));
    assert_eq!((&changed["description"], &changed["secret"]), (&"desk".into(), &"".into()));
    let changed = ask(&["update", id, "--enable", "--secret", "new"]);
    assert_eq!(changed["enabled"], true);
    let new_secret = changed["secret"].as_str().unwrap();
    assert!(new_secret.starts_with("whsec_") && new_secret != secret, "{new_secret}");

    // A secret of one's own need not stand where every user of the machine sees it.
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
    let mut create = place.command(&["webhook", "create", &receiver.url, "--server", server.url()]);
    create.env("CREDITLEDGER_WEBHOOK_SECRET", own);
    let made = Running::start(create).end();
    assert!(made.stdout.contains(own), "{}{}", made.stdout, made.stderr);

    assert_eq!(ask(&["delete", id])["endpoint_id"], id);
    let left = ask(&["list"]);
    assert!(left.as_array().unwrap().len() == 1 && left[0]["endpoint_id"] != id, "{left}");
    let refused = place.run(&["webhook", "deliveries", id, "--server", server.url()]);
    assert!(refused.complaint().contains("WEBHOOK_ENDPOINT_NOT_FOUND"), "{}", refused.stderr);
    let refused = place.run(&["webhook", "update", id, "--server", server.url()]);
    assert!(!refused.status.success() && refused.stderr.contains("--disable"), "{}", refused.stderr);
}
