//! Two ends behind NATs of each kind find each other and lose nothing, while the network drops, repeats, alters and
//! reorders, and while their relays and then they themselves are killed.

mod internet;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};

use iot_trial::{Mischief, Program, Trial, free_port, sibling};
use tempfile::TempDir;

use crate::internet::{Internet, Nat};

const P2P: &str = env!("CARGO_BIN_EXE_p2p");
const NODES: usize = 5;
static IOT: LazyLock<&str> = LazyLock::new(|| sibling(P2P, "iot"));

fn socket() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A node of the hash table, with its key and its records in a folder.
struct Node {
    folder: TempDir,
    listen: SocketAddr,
    /// Where it is seen.
    seen: SocketAddr,
    process: Program,
}

impl Node {
    /// Starts one, and waits until it has joined through another.
    fn start(internet: &Arc<Internet>, known: Option<SocketAddr>) -> Self {
        let (folder, listen) = (tempfile::tempdir().expect("there is room for a folder"), socket());
        let mut keygen = Command::new(*IOT);
        keygen.args(["envelope", "keygen", "key", "public"]).current_dir(&folder);
        assert!(keygen.output().is_ok_and(|output| output.status.success()), "a key is drawn");
        let (seen, process) = (internet.add(listen, Nat::None), Self::run(folder.path(), listen, known));
        Self { folder, listen, seen, process }
    }

    fn run(folder: &Path, listen: SocketAddr, known: Option<SocketAddr>) -> Program {
        let path = |name| folder.join(name).to_str().expect("it has a plain name").to_owned();
        let [key, store] = ["key", "store"].map(path);
        let (listen, known) = (listen.to_string(), known.map(|known| known.to_string()));
        let mut arguments = vec!["dht", "node", "--local", "--listen", &listen, "--key", &key, "--store", &store];
        arguments.extend(known.iter().flat_map(|known| ["--bootstrap", known]));
        let node = Program::start(*IOT, &arguments);
        node.wait_for(1, if known.is_some() { "joined the network" } else { "id " });
        node
    }

    /// Kills it, and starts it again.
    fn restart(self, known: SocketAddr) -> Self {
        let Self { folder, listen, seen, process } = self;
        process.kill();
        let process = Self::run(folder.path(), listen, Some(known).filter(|known| *known != seen));
        Self { folder, listen, seen, process }
    }
}

/// A device and a receiver behind these NATs, which are to meet in this way.
fn survives(nats: [Nat; 2], readings: u32, way: &str) {
    let internet = Internet::start(Mischief { alter: 10, drop: 30, repeat: 30, reorder: 50 });
    let mut nodes = vec![Node::start(&internet, None)];
    let known = nodes[0].seen;
    nodes.extend((1..NODES).map(|_| Node::start(&internet, Some(known))));
    // Whoever starts again has another port: the NAT does not take it for the one before.
    let listen = [0, 1].map(|_| {
        nats.map(|nat| {
            let listen = socket();
            internet.add(listen, nat);
            listen.to_string()
        })
    });
    let trial = Trial::new(P2P, known.to_string(), readings);
    let [[device, receiver], again] =
        listen.each_ref().map(|ends| ends.each_ref().map(|listen| ["--listen", listen.as_str()]));
    let of_device = [&device[..], &["--rate", "100"]].concat();
    let first = trial.receiver(&receiver);
    let device_process = trial.endless_device(&of_device);
    first.wait_for(10, "accepted");
    // Any of them may be the relay.
    let neighbour = nodes[1].seen;
    nodes = nodes.into_iter().map(|node| node.restart(neighbour)).collect();
    device_process.wait_for(1, way);
    let said = trial.survives_kills(device_process, first, again.each_ref().map(|end| &end[..]));
    assert!(said.contains(way) && !said.contains("missing") && !said.contains("refused"), "{nats:?}: {said}");
    drop(nodes);
    let counts = &internet.counts;
    let done = [&counts.altered, &counts.dropped, &counts.repeated, &counts.reordered, &internet.filtered];
    assert!(done.iter().all(|count| count.load(Relaxed) > 0), "{counts:?}");
}

#[test]
#[ignore = "takes a minute: seven processes, each of which is killed once"]
fn ends_whose_nats_let_them_meet_directly() {
    survives([Nat::PortRestricted, Nat::AddressRestricted], 8_000, "meets directly");
}

#[test]
#[ignore = "takes a minute: seven processes, each of which is killed once"]
fn ends_that_can_only_meet_over_a_relay_which_is_killed() {
    survives([Nat::Symmetric, Nat::PortRestricted], 2_000, "meets over a relay");
}
