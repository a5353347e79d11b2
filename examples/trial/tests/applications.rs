//! What every application over the shared driver says to its first user, without a server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use iot_trial::{Trial, free_port, siblings};

/// Each application: how an address begins that it does not take, unless it is none of a network; what it says when nobody
/// is where it connects to, unless it cannot tell; and the user that it logs in, if it does.
const APPLICATIONS: [(&str, Option<&str>, &str, Option<&str>); 14] = [
    ("amqp", Some("tls"), "`rabbitmq-server` starts one; trying again", Some("plant")),
    ("coap", Some("coaps"), "`coap receiver FOLDER --server ADDRESS` starts it; trying again", None),
    ("http", Some("ftp"), "starts it, or a device that is pulled from; trying again", None),
    ("kafka", Some("kafkas"), "README.md starts one, tansu; trying again", None),
    ("mqtt", Some("tls"), "`mosquitto -p 1883` starts one; trying again", Some("plant")),
    ("nats", Some("wss"), "`nats-server -js` starts one; trying again", Some("plant")),
    (
        "p2p",
        Some("dtls"),
        "does a node of the hash table run there (`iot dht node`), and the receiver somewhere?",
        None,
    ),
    ("radio", Some("dtls"), "`radio receiver FOLDER --server ADDRESS` starts the receiver", None),
    ("serial", None, "is it plugged in, and are you allowed to use it? trying again", None),
    ("store", Some("tls"), "`store receiver FOLDER --server ADDRESS` starts it; trying again", None),
    ("tcp", Some("tls"), "`tcp receiver FOLDER --server ADDRESS` starts it; trying again", None),
    ("udp", Some("dtls"), "nobody has that port; is the receiver there? `udp receiver FOLDER --server ADDRESS`", None),
    ("websocket", Some("tls"), "`websocket receiver FOLDER --server ADDRESS` starts it; trying again", None),
    ("xmpp", Some("tls"), "`prosody -F` starts one; trying again", Some("plant")),
];

/// A command line, and what a program says to it.
type Wrong = (&'static [&'static str], &'static str);

/// Each program with a command line of its own: what its help says, among other things; and what it says to wrong command
/// lines.
const OTHERS: [(&str, &[&str], &[Wrong]); 5] = [
    (
        "gateway",
        &["gateway FOLDER --receiver ADDRESS", "--udp ADDRESS", "--tcp ADDRESS", "--http ADDRESS", "--status ADDRESS"],
        &[(&[], "gateway: a folder is missing: see --help\n"), (&["--odd"], "gateway: invalid option '--odd'\n")],
    ),
    (
        "gateway-min",
        &["gateway FOLDER --receiver ADDRESS"],
        &[(&[], "gateway: a folder is missing: see --help\n"), (&["--odd"], "gateway: invalid option '--odd'\n")],
    ),
    (
        "gateway-receiver",
        &["gateway-receiver FOLDER --listen ADDRESS --back ADDRESS DEVICE...", "gateway-receiver --minutes DEVICE"],
        &[
            (&[], "gateway-receiver: folders are missing: see --help\n"),
            (&["--odd"], "gateway-receiver: invalid option '--odd'\n"),
        ],
    ),
    (
        "push",
        &["push keys FOLDER NAME...", "push publisher FOLDER", "push receiver FOLDER/NAME", "push list FOLDER/NAME"],
        &[
            (&[], "push: a command is missing or incomplete: see --help\n"),
            (&["keys", "plant"], "push: a command is missing or incomplete: see --help\n"),
            (&["publisher", "plant", "--odd"], "push: invalid option '--odd'\n"),
        ],
    ),
    (
        "worker",
        &["worker FOLDER [OPTIONS] -- COMMAND [ARGUMENT..]", "`iot queue dead FOLDER`"],
        &[
            (&[], "worker: a folder or a command is missing: see --help\n"),
            (&["shop"], "worker: a folder or a command is missing: see --help\n"),
            (&["shop", "--odd"], "worker: invalid option '--odd'\n"),
        ],
    ),
];

/// How a program ends that is started with these arguments, and what it says.
fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let ended = Command::new(program).args(arguments).output().unwrap();
    (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
}

#[test]
#[ignore = "builds every application"]
fn each_says_what_is_wrong_and_how_to_mend_it_and_ends_when_it_is_told_to() {
    // The folder above that of this test has the programs.
    let test = std::env::current_exe().unwrap();
    let beside = test.parent().unwrap().with_file_name("applications");
    let beside = beside.to_str().unwrap();
    let programs = siblings(beside, OTHERS.map(|(name, ..)| name));
    for ((name, words, wrong), program) in OTHERS.into_iter().zip(programs) {
        let (code, help) = run(program, &["--help"]);
        assert!(code == Some(0) && words.iter().all(|word| help.contains(word)), "{name}: {help}");
        for (arguments, said) in wrong {
            assert_eq!(run(program, arguments), (Some(2), (*said).to_owned()));
        }
    }
    let programs = siblings(beside, APPLICATIONS.map(|(name, ..)| name));
    for ((name, odd, nobody, user), program) in APPLICATIONS.into_iter().zip(programs) {
        let (code, help) = run(program, &["--help"]);
        assert_eq!(code, Some(0), "{name}");
        for word in ["keys FOLDER", "device FOLDER", "receiver FOLDER", "list FOLDER", "--server ADDRESS"] {
            assert!(help.contains(word), "{name}: {word} is not in {help}");
        }
        let usage = format!("{name}: a command and a folder are missing: see --help\n");
        assert_eq!(run(program, &[]), (Some(2), usage));
        let (code, said) = run(program, &["device", "nowhere"]);
        assert!(code == Some(1) && said.contains("nowhere/device/keys: No such file"), "{name}: {said}");

        let server = if name == "serial" { "no-line".into() } else { format!("127.0.0.1:{}", free_port()) };
        let trial = Trial::new(program, server, 10);
        let [password, _] = trial.passwords();
        let login = user.map(|user| ["--user", user, "--password", &password]);
        let login = login.as_ref().map_or(&[][..], |login| &login[..]);
        if user.is_some() {
            let device = trial.device(&["--user", "plant", "--password", "gone"]);
            device.wait_for(1, "gone: No such file");
            assert_eq!(device.wait().code(), Some(1), "{name}");
        }
        if let Some(scheme) = odd {
            let server = format!("{scheme}://plant.example:1");
            let odd = [&["--server", &server], login].concat();
            let lines = trial.folder().join("lines");
            let sink = ["--influx", lines.to_str().unwrap()];
            let of_receiver = [&odd[..], if name == "store" { &sink } else { &[] }].concat();
            for end in [trial.device(&odd), trial.receiver(&of_receiver)] {
                end.wait_for(1, &format!("plant.example:1: no {scheme} here; "));
                assert_eq!(end.wait().code(), Some(1), "{name}");
            }
        }
        let device = trial.device(login);
        let line = device.wait_for(1, nobody);
        assert!(line.matches(trial.server()).count() <= 1, "{name} says twice where: {line}");
        assert!(device.terminate().success(), "{name} ends well");
    }
}
