//! `creditledger token ...`: the first token in a database that nobody serves yet, the others of a server.

use super::process::Place;

#[test]
fn the_first_token_is_made_before_the_server_serves_and_the_others_by_it() {
    let place = Place::new();
    let url = place.url();
    let operator = ["token", "create", "--role", "operator", "--days", "90", "--all-ledgers"];
    let first = place.run(&[&operator[..], &["--name", "ann", "--database-url", &url]].concat());
    assert!(first.status.success(), "{}", first.stderr);
    // The token stands alone on standard output, so that it can be written into a file.
    let token = first.stdout.trim_end();
    assert!(
        token.starts_with("clt_") && token.len() == 51 && !token.contains(char::is_whitespace),
        "{token}"
    );
    assert!(first.stderr.contains("ann, role operator") && !first.stderr.contains(token), "{}", first.stderr);

    let server = place.serve();
    let ask = |arguments: &[&str]| {
        place.json(&[&["token"], arguments, &["--server", server.url(), "--json"]].concat())
    };
    let listed = ask(&["list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["role"]), (&"ann".into(), &"operator".into()));
    assert_eq!((&listed[0]["ledgers"], &listed[0]["revoked_at"]), (&"all".into(), &serde_json::Value::Null));
    let create = ["create", "--role", "customer", "--customer", "acme", "--days", "7", "--request-id", "r-1"];
    let made = ask(&create);
    let (id, customers) = (made["token_id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!((&made["ledgers"][0], &made["customer_id"]), (&"main".into(), &"acme".into()));
    assert!(customers.starts_with("clt_") && customers != token, "{made}");
    let listed = ask(&["list"]).to_string();
    assert!(!listed.contains(customers) && !listed.contains(token), "a list tells no token: {listed}");

    // A repeat makes no second token, and says what to do about the first.
    let refused = |arguments: &[&str], words: &[&str]| {
        let ended = place.run(&[&["token"], arguments].concat());
        let told = ended.complaint();
        assert!(words.iter().all(|word| told.contains(word)), "{arguments:?}: {told}");
    };
    let to_server = ["--server", server.url()];
    refused(&[&create[..], &to_server].concat(), &[&format!("token revoke {id}")]);
    let helpdesk = ["create", "--role", "helpdesk", "--days", "9"];
    refused(&[&helpdesk[..], &["--ledger", "mian"], &to_server].concat(), &["LEDGER_NOT_FOUND"]);
    refused(
        &[&helpdesk[..], &["--customer", "acme"], &to_server].concat(),
        &["INVALID_FIELD", "customer_id"],
    );
    refused(
        &[&["revoke", "0190a2b4-c0de-7000-8000-000000000001"][..], &to_server].concat(),
        &["TOKEN_NOT_FOUND"],
    );
    // SQLite is one program's at a time: the line says what to do.
    refused(&[&helpdesk[..], &["--database-url", &url]].concat(), &["has", "open", "--server"]);
    let wrong = place.run(&["token", "create", "--role", "boss", "--days", "9"]);
    assert!(wrong.stderr.contains("helpdesk, billing"), "{}", wrong.stderr);

    let also = ask(&[&helpdesk[..], &["--all-ledgers"]].concat());
    assert_eq!((&also["ledgers"], &also["name"]), (&"all".into(), &"helpdesk".into()));
    // What was made, also in the database itself, is in the audit log.
    let audit = |kind: &str| {
        place.json(&["audit", "--kind", kind, "--server", server.url(), "--json"]).as_array().unwrap().clone()
    };
    let made =
        (0..1_000).find_map(|_| Some(audit("token-created")).filter(|found| found.len() == 3)).unwrap();
    assert_eq!((&made[1]["about"], &made[1]["request_id"]), (&id.into(), &"r-1".into()));
    assert_eq!(made[2]["method"], "creditledger token create");
    assert_eq!(made[0]["method"], "AccessService/CreateToken");
    assert!(audit("rejected").is_empty());
    let revoked = ask(&["revoke", id]);
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(ask(&["revoke", id]), revoked, "once more is the same");
    server.stop();

    // Without a server the database answers the same.
    let ask = |arguments: &[&str]| {
        place.json(&[&["token"], arguments, &["--database-url", &url, "--json"]].concat())
    };
    let listed = ask(&["list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[1]), (3, &revoked));
    assert_eq!(ask(&["list", "--limit", "1"]).as_array().unwrap().len(), 1);
    let first = listed[0]["token_id"].as_str().unwrap();
    assert!(ask(&["revoke", first])["revoked_at"].is_string());
    refused(&[&helpdesk[..], &["--ledger", "mian", "--database-url", &url]].concat(), &["no ledger mian"]);
    refused(
        &[&helpdesk[..], &["--customer", "acme", "--database-url", &url]].concat(),
        &["only the role customer"],
    );
    refused(&["revoke", "nothing", "--database-url", &url], &["nothing is not the id of a token"]);
    refused(&["list", "--database-url", "memory:"], &["keeps nothing"]);
    // A URL with a password need not be on the command line.
    place.write("url", &url);
    let by_file = place.run(&["token", "list", "--database-url-file", "url", "--json"]);
    let by_argument = place.run(&["token", "list", "--database-url", &url, "--json"]);
    assert!(by_file.status.success(), "{}", by_file.stderr);
    assert_eq!(by_file.stdout, by_argument.stdout);
    refused(&["list", "--database-url-file", "none"], &["--database-url-file names none"]);
    place.verify();
}
