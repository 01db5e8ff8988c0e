//! The key of signing secrets, with the real program: switched on, replaced, wrong, and lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::process::{Place, Server};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
const URL: &str = "https://hooks.example.com/sealed";

struct Stand {
    place: Place,
}

impl Stand {
    fn new() -> Self {
        let place = Place::new();
        for number in [1, 2, 3] {
            place.write(&format!("key-{number}"), &format!("{}\n", STANDARD.encode([number; 32])));
        }
        Self { place }
    }

    /// Runs a server with these settings for as long as `work` takes; gives its log.
    fn serve(&self, more: &[&str], work: impl FnOnce(&Server)) -> String {
        let server = Server::start(self.place.command(&[&["--listen", "127.0.0.1:0"], more].concat()));
        work(&server);
        server.stop().stderr
    }

    /// Makes the endpoint, or asks for it once more.
    fn endpoint(&self, server: &Server) -> serde_json::Value {
        let create = ["webhook", "create", URL, "--secret", SECRET, "--request-id", "e-1"];
        self.place.json(&[&create[..], &["--server", server.url(), "--json"]].concat())
    }

    /// True where the secret can be read from the files of the database.
    fn has_the_secret(&self) -> bool {
        let mut is_there = false;
        for name in ["creditledger.db", "creditledger.db-wal"] {
            let Ok(bytes) = std::fs::read(self.place.path(name)) else { continue };
            is_there |= bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        }
        is_there
    }

    /// A call must be refused; gives what was said.
    fn refused(&self, server: &Server, arguments: &[&str]) -> String {
        let ended = self.place.run(&[arguments, &["--server", server.url()]].concat());
        assert!(!ended.status.success(), "{}", ended.stdout);
        ended.stderr
    }
}

#[test]
fn a_key_is_switched_on_replaced_lost_and_found() {
    let stand = Stand::new();
    stand.serve(&[], |server| {
        assert_eq!(stand.endpoint(server)["secret"], SECRET);
    });
    let said = stand.serve(&[], |_| {});
    assert!(said.contains("stand in the database in the clear"), "{said}");
    assert!(stand.has_the_secret(), "this test would see nothing");

    // Sealed at the start, and the text of before is gone.
    let key = ["--sealing-key-file", "key-1"];
    let said = stand.serve(&key, |server| {
        let again = stand.endpoint(server);
        assert_eq!((&again["secret"], &again["replayed"]), (&SECRET.into(), &true.into()));
    });
    assert!(said.contains("signing secrets are sealed with this key") && said.contains("anew=1"), "{said}");
    assert!(!stand.has_the_secret());
    let said = stand.serve(&key, |_| {});
    assert!(said.contains("anew=0") && said.contains("unusable=0"), "{said}");

    // The key is replaced, and the old one is needed no more.
    let both = ["--sealing-key-file", "key-2", "--sealing-old-key-files", "key-3,key-1"];
    let said = stand.serve(&both, |_| {});
    assert!(said.contains("anew=1") && said.contains("unusable=0"), "{said}");
    stand.serve(&["--sealing-key-file", "key-2"], |server| {
        assert_eq!(stand.endpoint(server)["secret"], SECRET);
    });

    // Without it, or with another one, all else works, and nobody is told a wrong secret.
    for wrong in [&[][..], &key] {
        let said = stand.serve(wrong, |server| {
            let create = ["webhook", "create", URL, "--secret", SECRET, "--request-id", "e-1"];
            let told = stand.refused(server, &create);
            assert!(told.contains("STORAGE_UNAVAILABLE") && !told.contains("whsec_"), "{told}");
            let listed = stand.place.json(&["webhook", "list", "--server", server.url(), "--json"]);
            let id = listed[0]["endpoint_id"].as_str().unwrap();
            for change in ["--disable", "--enable"] {
                let update = ["webhook", "update", id, change, "--server", server.url(), "--json"];
                assert_eq!(stand.place.json(&update)["enabled"], change == "--enable");
            }
        });
        assert!(said.contains("nothing is sent to an endpoint"), "{said}");
    }
    // The check of the book needs no key, nor does a copy of it.
    stand.place.verify();
    let to = format!("sqlite://{}", stand.place.path("copy.db").display());
    let ended = stand.place.run(&["copy", "--from", &stand.place.url(), "--to", &to]);
    assert!(ended.status.success(), "{}", ended.stderr);

    // A key that is lost for good: a new secret takes the place of the one that nobody can open.
    let said = stand.serve(&key, |server| {
        let listed = stand.place.json(&["webhook", "list", "--server", server.url(), "--json"]);
        let id = listed[0]["endpoint_id"].as_str().unwrap();
        let update = ["webhook", "update", id, "--secret", "new", "--server", server.url(), "--json"];
        let secret = stand.place.json(&update)["secret"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("whsec_") && secret != SECRET, "{secret}");
    });
    assert!(!said.contains("whsec_"), "{said}");
}

#[test]
fn keys_that_are_wrong_are_named_and_nothing_is_started() {
    let stand = Stand::new();
    stand.place.write("short", "c2hvcnQ=\n");
    let refused = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = stand.place.command(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
        command.envs(variables.iter().copied());
        super::process::Running::start(command).end().complaint().to_owned()
    };
    let good = STANDARD.encode([7; 32]);
    for (arguments, variables, told) in [
        (&["--sealing-key-file", "none"][..], &[][..], "sealing_key_file names none, which cannot be read: "),
        (&["--sealing-key-file", "short"], &[], "sealing_key_file must be the base64 of 32 random bytes"),
        (
            &[],
            &[("CREDITLEDGER_SEALING_KEY", "c2hvcnQ=")],
            "sealing_key must be the base64 of 32 random bytes",
        ),
        (&["--sealing-old-key-files", "key-1"], &[], "sealing_key is needed beside sealing_old_keys"),
        (
            &["--sealing-key-file", "key-1", "--sealing-old-key-files", "key-2,"],
            &[],
            "--sealing-old-key-files must not have an empty entry",
        ),
        (
            &["--sealing-key-file", "key-1", "--sealing-old-key-files", "key-2,short"],
            &[],
            "sealing_old_key_files must be the base64 of 32 random bytes",
        ),
        (
            &[],
            &[("CREDITLEDGER_SEALING_KEY", &*good), ("CREDITLEDGER_SEALING_KEY_FILE", "key-1")],
            "CREDITLEDGER_SEALING_KEY_FILE must not be given beside CREDITLEDGER_SEALING_KEY",
        ),
    ] {
        let line = refused(arguments, variables);
        assert!(line.starts_with(&format!("creditledger: {told}")), "{line}");
        assert!(!line.contains("c2hvcnQ") && !line.contains(&good), "{line}");
    }
    // No flag takes a key.
    let ended = stand.place.run(&["serve", "--sealing-key", &good]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(!stand.place.path("creditledger.db").exists());
}
