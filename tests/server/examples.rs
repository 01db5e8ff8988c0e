//! The programs in `proto/examples`, in each language whose tools are there, against the real server: all tell the same.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use creditledger::grpc::wire::DESCRIPTORS;
use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::process::{Place, Running};

#[path = "../../proto/examples/rust/flow.rs"]
#[allow(dead_code)] // its main is for people
mod flow;

/// What proto/examples/run calls them, and whether CI has their tools.
const PROGRAMS: [(&str, bool); 8] = [
    ("python", true),
    ("node", true),
    ("connect", true),
    ("connect-grpc", true),
    ("connect-grpc-web", true),
    ("go", true),
    ("go-buf", true),
    ("java", false),
];
/// Set to 1 where those that CI has must not be left out.
const REQUIRE: &str = "CREDITLEDGER_REQUIRE_EXAMPLES";

const TOLD: &str = "\
created: 0 credits available
purchased: 10 credits available
estimated: 4 credits, HOLD_STATE_QUOTED
confirmed: 6 credits available, 4 held
worked: 5400 seconds
settled: 3 credits, 7 available
refused: INSUFFICIENT_CREDITS available=7 required=25 shortfall=18
repeated: replayed true, 7 available
watched: EVENT_TYPE_PURCHASE_COMPLETED
resumed: EVENT_TYPE_HOLD_QUOTED EVENT_TYPE_HOLD_PLACED EVENT_TYPE_SETTLEMENT_COMPLETED EVENT_TYPE_CREDITS_SHORTFALL
";

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/examples/run"));
    command.args(arguments);
    command
}

/// Whether the tools of a program are installed; tests install nothing.
fn is_there((program, in_ci): (&str, bool)) -> bool {
    let mut ready = script(&["--ready", program]);
    if ready.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success() {
        return true;
    }
    let required = std::env::var_os(REQUIRE).is_some_and(|required| required == "1");
    assert!(!(required && in_ci), "run: proto/examples/run --prepare {program}");
    // Not eprintln, which a passing test does not show.
    let how = format!("left out: {program}; proto/examples/run --prepare {program} installs what it needs\n");
    std::io::stderr().write_all(how.as_bytes()).unwrap();
    false
}

fn assert_tells_the_same(program: &str, address: &str, customer: &str) {
    let ended = Running::start(script(&[program, address, customer])).end();
    assert!(ended.status.success(), "{program}: {}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, TOLD, "{program}: {}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_in_every_language_tell_the_same() {
    let place = Place::new();
    let server = place.serve();
    let told = Box::pin(flow::flow(server.address(), "rust")).await.unwrap();
    assert_eq!(told + "\n", TOLD, "rust");
    for program in PROGRAMS.into_iter().filter(|program| is_there(*program)) {
        assert_tells_the_same(program.0, server.address(), program.0);
    }
    server.stop();
    place.verify();
}

/// Passes connections on to a server, and cuts each of the first ones once so many bytes have come from the client.
fn cutting(server: String, cuts: &'static [usize]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (index, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let left = cuts.get(index).copied();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            // Either side may be gone at any time: that is what this is for.
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let mut passed = 0;
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    passed += read;
                    if server.write_all(&buffer[..read]).is_err() || left.is_some_and(|left| passed >= left) {
                        break;
                    }
                }
                for end in [client, server] {
                    let _ = end.shutdown(Shutdown::Both);
                }
            });
        }
    });
    address
}

#[test]
fn the_retry_service_config_gets_clients_over_lost_connections() {
    let place = Place::new();
    let server = place.serve();
    for program in [PROGRAMS[0], PROGRAMS[1]].into_iter().filter(|program| is_there(*program)) {
        // Within the first call, and within one that comes later: what was asked for is done, or not.
        let address = cutting(server.address().to_owned(), &[300, 900, 1_300]);
        assert_tells_the_same(program.0, &address, program.0);
    }
    server.stop();
    place.verify();
}

#[test]
fn the_retry_service_config_names_every_service() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/retry_service_config.json"));
    let config: serde_json::Value = serde_json::from_str(text).unwrap();
    let [methods] = config["methodConfig"].as_array().unwrap().as_slice() else { panic!("{config}") };
    let named: BTreeSet<_> =
        methods["name"].as_array().unwrap().iter().map(|name| name["service"].as_str().unwrap()).collect();
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let services = files
        .iter()
        .flat_map(|file| file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())));
    assert_eq!(named, services.collect::<Vec<_>>().iter().map(String::as_str).collect());
    // A deadline that passed would pass again, and what was refused is refused again.
    assert_eq!(methods["retryPolicy"]["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE"]));
}
