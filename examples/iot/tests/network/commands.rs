//! What `iot dht` says and does, in small networks.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::Client;
use crate::process::Process;

fn iot(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iot")).current_dir(folder).args(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Three nodes, the first of which everybody knows.
fn network(listen: &str) -> [Process; 3] {
    let first = Process::start(listen, None);
    let others = [(); 2].map(|()| {
        let mut process = Process::start(listen, Some(first.address));
        process.wait_until_joined();
        process
    });
    let [second, third] = others;
    // Who has joined was answered, and who answered knows it only once it has proved who it is.
    let all = [first, second, third];
    for (place, process) in all.iter().enumerate() {
        let client = Client::join(loopback(process.address), place as u64, &[process.address]);
        let until = Instant::now() + Duration::from_secs(60);
        while !all.iter().all(|other| client.finds(other.address)) {
            assert!(Instant::now() < until, "{place} does not name all others");
        }
    }
    all
}

/// A socket for whoever talks to this address.
fn loopback(other: SocketAddr) -> UdpSocket {
    UdpSocket::bind(if other.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap()
}

#[test]
fn a_record_and_a_feed_are_published_and_read_over_both_families_of_addresses() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let [first, second, third] = network(listen);
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str], known: &Process| {
            let known = known.address.to_string();
            iot(folder.path(), &[&["dht"], arguments, &["--bootstrap", &known]].concat())
        };
        let keys = printed(&iot(folder.path(), &["envelope", "keygen", "secret", "public"]));
        let device = keys.lines().next().unwrap().split_whitespace().last().unwrap();

        std::fs::write(folder.path().join("value"), b"running").unwrap();
        let put = ["put", "--key", "secret", "--name", "status", "value"];
        assert!(printed(&run(&put, &first)).contains("stored by 3 of 3 nodes"));
        let get = |name, known| run(&["get", "--device", device, "--name", name], known);
        assert_eq!(printed(&get("status", &second)), "running");
        assert!(complaint(&get("absent", &second), 1).contains("there is no such record: 3 of 3 nodes answered"));
        // The number follows from the time, and two puts of one second are two.
        for _ in 0..2 {
            assert!(printed(&run(&put, &first)).contains("stored by 3 of 3 nodes"));
        }
        let older = run(&[&put[..], &["--sequence", "1"]].concat(), &third);
        assert!(complaint(&older, 1).contains("no node stores it: a newer one is known"));

        // Two runs of the publisher, and two of the reader, who goes on where it was.
        let lines: Vec<String> = (0..40).map(|n| format!("message {n} {}", "x".repeat(n * 3))).collect();
        let feed = ["feed", "publish", "--key", "secret", "--name", "log", "--state", "state", "lines"];
        let read = ["feed", "read", "--from", "public", "--name", "log", "--state", "cursor"];
        for half in [&lines[..25], &lines[25..]] {
            std::fs::write(folder.path().join("lines"), half.join("\n") + "\n").unwrap();
            assert!(printed(&run(&feed, &first)).starts_with(&format!("published {} messages", half.len())));
            assert_eq!(printed(&run(&read, &third)), half.join("\n") + "\n");
        }
        assert_eq!(printed(&run(&read, &third)), "", "nothing new");
        let absent = ["feed", "read", "--from", "public", "--name", "absent"];
        assert!(complaint(&run(&absent, &third), 1).contains("there is no such feed"));

        let (words, succeeded) = first.terminate();
        assert!(words.contains(": a record that it put: a newer one is known\n"), "{words}");
        assert!(words.contains("told to stop: 2 nodes in the table, ") && succeeded, "{words}");
    }
}

/// Killed without a word, as by `kill -9`, and nobody else has the record.
#[test]
fn a_node_that_was_killed_holds_again_what_it_held_and_finds_the_network_without_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    printed(&iot(folder.path(), &["envelope", "keygen", "node", "public"]));
    let keys = printed(&iot(folder.path(), &["envelope", "keygen", "secret", "public2"]));
    let device = keys.lines().next().unwrap().split_whitespace().last().unwrap();
    let (key, store) = (path("node"), path("store"));
    let arguments = ["--key".as_ref(), key.as_os_str(), "--store".as_ref(), store.as_os_str()];
    let mut keeper = Process::start_with("127.0.0.1:0", None, &arguments);
    assert_eq!(keeper.wait_for("holds "), "holds 0 records of the store\n");
    let address = keeper.address.to_string();

    std::fs::write(path("value"), b"running").unwrap();
    let put = |name| {
        let arguments = ["dht", "put", "--key", "secret", "--name", name, "--bootstrap", &address, "value"];
        assert!(printed(&iot(folder.path(), &arguments)).contains("stored by 1 of 1 nodes"));
    };
    let files = || std::fs::read_dir(&store).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().len() == 64);
    ["status", "place"].into_iter().for_each(put);
    let until = Instant::now() + Duration::from_secs(60);
    while files().count() < 2 {
        assert!(Instant::now() < until, "the records are not written");
        std::thread::yield_now();
    }
    // Somebody who writes into the directory is not believed.
    let forged = files().next().unwrap().unwrap().path();
    let mut octets = std::fs::read(&forged).unwrap();
    *octets.last_mut().unwrap() ^= 1;
    std::fs::write(store.join("0".repeat(64)), &octets).unwrap();
    drop(keeper);

    let mut keeper = Process::start_with("127.0.0.1:0", None, &arguments);
    assert!(keeper.wait_for("removed ").ends_with("its owner did not sign it\n"));
    assert_eq!(keeper.wait_for("holds "), "holds 2 records of the store\n");
    let address = keeper.address.to_string();
    for name in ["status", "place"] {
        let get = ["dht", "get", "--device", device, "--name", name, "--bootstrap", &address];
        assert_eq!(printed(&iot(folder.path(), &get)), "running");
    }

    // Whom it knew when it was told to stop, it asks when it comes back.
    let mut other = Process::start("127.0.0.1:0", Some(keeper.address));
    other.wait_until_joined();
    // The other has joined once it is answered, and the keeper knows it only once it has proved who it is.
    let client = Client::join(UdpSocket::bind("127.0.0.1:0").unwrap(), 1, &[keeper.address]);
    let until = Instant::now() + Duration::from_secs(60);
    while !client.finds(other.address) {
        assert!(Instant::now() < until, "the keeper does not name the other");
    }
    let (words, _) = keeper.terminate();
    assert!(words.contains("told to stop: 1 nodes in the table"), "{words}");
    let mut keeper = Process::start_with("127.0.0.1:0", None, &arguments);
    keeper.wait_until_joined();
}

/// That others get no answer is shown in simulated networks; a command would wait a quarter of a minute for one.
#[test]
fn a_private_network_serves_those_who_have_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admission");
    std::fs::write(&path, format!("{}\n", "1f".repeat(32))).unwrap();
    let node = Process::start_with("127.0.0.1:0", None, &["--admission".as_ref(), path.as_os_str()]);
    let address = node.address.to_string();
    let keys = printed(&iot(folder.path(), &["envelope", "keygen", "secret", "public"]));
    let device = keys.lines().next().unwrap().split_whitespace().last().unwrap();
    std::fs::write(folder.path().join("value"), b"running").unwrap();
    let with_key = ["--name", "status", "--bootstrap", &address, "--admission", "admission"];
    let put = [&["dht", "put", "--key", "secret"], &with_key[..], &["value"]].concat();
    assert!(printed(&iot(folder.path(), &put)).contains("stored by 1 of 1 nodes"));
    let get = [&["dht", "get", "--device", device], &with_key[..]].concat();
    assert_eq!(printed(&iot(folder.path(), &get)), "running");
    std::fs::write(&path, "1f").unwrap();
    assert!(complaint(&iot(folder.path(), &get), 1).contains("admission: not a key of 64 hexadecimal digits"));
}

/// A reader looks for a new head once a minute, and each line is published when the one before it was read: looking alone, it
/// would take two minutes at least.
#[test]
fn a_reader_that_follows_is_told_at_once() {
    let [first, second, _third] = network("127.0.0.1:0");
    let folder = tempfile::tempdir().unwrap();
    let known = [&first, &second].map(|process| process.address.to_string());
    printed(&iot(folder.path(), &["envelope", "keygen", "secret", "public"]));
    let publish = |line: &str| {
        std::fs::write(folder.path().join("line"), line).unwrap();
        let arguments = ["--key", "secret", "--name", "log", "--state", "state", "--bootstrap", &known[0], "line"];
        printed(&iot(folder.path(), &[&["dht", "feed", "publish"], &arguments[..]].concat()));
    };
    publish("before");
    let mut reader = Command::new(env!("CARGO_BIN_EXE_iot"));
    reader.args(["dht", "feed", "read", "--follow", "--from", "public", "--name", "log", "--bootstrap", &known[1]]);
    let mut reader = reader.current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "before");
    let began = Instant::now();
    for number in 0..3 {
        let line = format!("message {number}");
        publish(&line);
        assert_eq!(lines.next().unwrap().unwrap(), line);
    }
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(110), "it was not pushed");
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| iot(folder.path(), &[&["dht"], arguments].concat());
    printed(&iot(folder.path(), &["envelope", "keygen", "--kind", "p256", "p256", "public"]));
    std::fs::write(folder.path().join("value"), b"running").unwrap();
    let usage = |arguments: &[&str]| complaint(&run(arguments), 2);
    assert!(usage(&[]).contains("'dht' needs a command: node, put, get, feed, sim or plots"));
    assert!(usage(&["feed", "write"]).contains("there is no command 'dht feed write'"));
    assert!(usage(&["get", "--name", "a"]).contains("one of --from and --device says whose it is"));
    for (option, scenario) in [
        (["--sybils", "5"], "plain"),
        (["--sybils", "5"], "colluders"),
        (["--attack", "liar"], "dead"),
        (["--share", "0.5"], "sybil"),
        (["--records", "5"], "offline"),
        (["--operations", "5"], "flood"),
        (["--placement", "closest"], "flood"),
    ] {
        let words = usage(&[&["sim", "--scenario", scenario][..], &option].concat());
        assert!(words.contains(&format!("{} changes nothing in the scenario {scenario}", option[0])), "{words}");
    }
    assert!(usage(&["sim", "--share", "0.5"]).contains("--share changes nothing in the scenario plain"));
    assert!(usage(&["sim", "--scenario", "none"]).contains("the scenarios are plain, churn, dead, loss, offline"));
    assert!(usage(&["get", "--device", "00", "--name", "a"]).contains("64 hexadecimal digits"));
    assert!(usage(&["node", "--listen", "nowhere"]).contains("--listen cannot be \"nowhere\""));
    let get = ["get", "--device", &"00".repeat(32), "--name", "a"];
    assert!(usage(&get).contains("--bootstrap is missing"));
    printed(&iot(folder.path(), &["envelope", "keygen", "secret", "public2"]));
    std::fs::write(folder.path().join("lines"), ["first", &"x".repeat(2000), "third"].join("\n")).unwrap();
    let publish = ["feed", "publish", "--key", "secret", "--name", "log", "--state", "state", "lines"];
    let words = complaint(&run(&[&publish[..], &["--bootstrap", "127.0.0.1:1"]].concat()), 1);
    assert!(words.contains("lines: line 2 has 2000 octets, and a message at most 9"), "{words}");
    assert!(!folder.path().join("state").exists(), "nothing was published");
    let put = ["put", "--key", "p256", "--name", "a", "--bootstrap", "127.0.0.1:1", "value"];
    assert!(complaint(&run(&put), 1).contains("records are signed with a key of the kind ed25519"));
}
