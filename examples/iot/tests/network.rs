//! Fifty nodes on real sockets, each a process of `iot dht node`, behind a relay that can lose datagrams and divide the
//! network: a third of them is killed at a time, one datagram in five is lost, and two halves meet again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "network/commands.rs"]
mod commands;
#[path = "network/process.rs"]
mod process;
#[path = "network/relay.rs"]
mod relay;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use iot_core::Timestamp;
use iot_crypto::SigningKey;
use iot_dht::feed::Keeper;
use iot_dht::wire::Role;
use iot_dht::{Event, GetDone, GetMode, Key, Node, NodeConfig, PutDone, Record, SubnetLimit, TableConfig};
use iot_driver::Driver;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::process::Process;
use crate::relay::Relay;

const NODES: usize = 50;
const RECORDS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes, by their place at the relay; those who put and get have the places behind them.
struct Network {
    relay: Relay,
    nodes: Vec<Option<Process>>,
}

impl Network {
    fn start() -> Self {
        let mut network = Self { relay: Relay::start(NODES + 2), nodes: (0..NODES).map(|_| None).collect() };
        (0..NODES).for_each(|place| network.join(place));
        network.nodes.iter_mut().flatten().skip(1).for_each(Process::wait_until_joined);
        network
    }

    /// Starts a process in this place, which joins through the first that is there.
    fn join(&mut self, place: usize) {
        let known = self.nodes.iter().position(Option::is_some).map(|known| self.relay.address(known));
        let process = Process::start("127.0.0.1:0", known);
        self.relay.connect(place, process.address);
        self.nodes[place] = Some(process);
    }

    fn kill(&mut self, places: impl Iterator<Item = usize>) {
        places.for_each(|place| drop(self.nodes[place].take()));
    }

    /// Somebody who puts and gets, in this place.
    fn client(&self, place: usize) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        self.relay.connect(place, socket.local_addr().unwrap());
        Client::join(socket, place as u64, &[self.relay.address(0), self.relay.address(NODES - 1)])
    }
}

struct Client {
    driver: Driver,
    started: Instant,
}

impl Client {
    fn join(socket: UdpSocket, seed: u64, known: &[SocketAddr]) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let config = NodeConfig::default().service(Role::Client);
        let config = config.table(TableConfig::default().subnets(SubnetLimit::Off));
        let key = SigningKey::generate(&mut rng);
        let node = Node::new(config, key, iot_core::Instant::START, &mut rng);
        let client = Self { driver: Driver::spawn(socket, node, wall).unwrap(), started: Instant::now() };
        let known = known.to_vec();
        client.driver.call(move |node, now, _| node.bootstrap(now, &known)).unwrap();
        client.wait(|event| matches!(event, Event::Bootstrapped { .. }).then_some(()));
        client
    }

    fn put(&self, record: Record) -> PutDone {
        let operation = self.driver.call(move |node, now, wall| node.put(now, wall, record)).unwrap().unwrap();
        self.wait(|event| match event {
            Event::PutDone(done) if done.operation == operation => Some(done),
            _ => None,
        })
    }

    fn get(&self, key: Key) -> GetDone {
        let operation =
            self.driver.call(move |node, now, wall| node.get(now, wall, key, GetMode::Newest)).unwrap().unwrap();
        self.wait(|event| match event {
            Event::GetDone(done) if done.operation == operation => Some(done),
            _ => None,
        })
    }

    /// Whether a search through those that it knows meets a node at this address.
    fn finds(&self, address: SocketAddr) -> bool {
        let target = Key::from_bytes([0; 32]);
        let operation = self.driver.call(move |node, now, wall| node.find(now, wall, target)).unwrap().unwrap();
        let closest = self.wait(|event| match event {
            Event::FindDone(done) if done.operation == operation => Some(done.closest),
            _ => None,
        });
        closest.iter().any(|peer| peer.address == address)
    }

    fn now(&self) -> iot_core::Instant {
        iot_core::Instant::START.saturating_add(self.started.elapsed())
    }

    fn wait<T>(&self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.driver.events().recv_timeout(left).expect("an answer within a minute");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    /// How many of all records are found in this version or a newer one.
    fn found(&self, sequence: u64) -> usize {
        let found = |number: &usize| {
            let record = self.get(*record(*number, sequence).key()).record;
            record.is_some_and(|record| record.sequence() >= sequence)
        };
        (0..RECORDS).filter(found).count()
    }

    fn put_all(&self, sequence: u64) {
        for number in 0..RECORDS {
            let done = self.put(record(number, sequence));
            assert!(done.stored > 0, "record {number}: {done:?}");
        }
    }
}

fn record(number: usize, sequence: u64) -> Record {
    let owner = SigningKey::from_seed(&[number as u8 + 1; 32]);
    let expires = wall().saturating_add(Duration::from_secs(3600));
    Record::sign(&owner, b"value", sequence, expires, &sequence.to_be_bytes()).unwrap()
}

fn wall() -> Timestamp {
    Timestamp::EPOCH.saturating_add(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

#[test]
#[ignore = "takes a minute: fifty processes on real sockets, three times over"]
fn values_survive_when_a_third_of_the_processes_is_killed_at_a_time() {
    let mut network = Network::start();
    let client = network.client(NODES);
    client.put_all(1);
    let mut keeper = Keeper::new(Duration::from_secs(1), RECORDS);
    for round in 0..3 {
        // The first stays, so that those who come later know somebody.
        network.kill((1..NODES).filter(|place| place % 3 == round));
        for number in 0..RECORDS {
            let done = client.get(*record(number, 1).key());
            let found = done.record.unwrap_or_else(|| panic!("record {number} did not survive kill {round}"));
            keeper.keep(client.now(), wall(), found);
        }
        let gone: Vec<_> = (0..NODES).filter(|place| network.nodes[*place].is_none()).collect();
        gone.iter().for_each(|place| network.join(*place));
        gone.iter().for_each(|place| network.nodes[*place].as_mut().unwrap().wait_until_joined());
        // Who comes fetches what belongs to it, from those who are left. Who wants to be sure puts again what it has.
        let due = client.now().saturating_add(Duration::from_secs(1));
        while let Some(record) = keeper.poll_put(due, wall()).cloned() {
            assert!(client.put(record).stored > 0);
        }
    }
    let newcomer = network.client(NODES + 1);
    assert_eq!(newcomer.found(1), RECORDS, "every process but one is another than at the start");
}

#[test]
#[ignore = "takes a minute: fifty processes on real sockets"]
fn values_are_put_and_found_while_one_datagram_in_five_is_lost() {
    let network = Network::start();
    network.relay.lose(200);
    let (writer, reader) = (network.client(NODES), network.client(NODES + 1));
    writer.put_all(1);
    assert_eq!(reader.found(1), RECORDS);
    assert!(network.relay.lost() > 100, "{} datagrams were lost", network.relay.lost());
}

#[test]
#[ignore = "takes a minute: fifty processes on real sockets"]
fn two_halves_meet_again_and_the_newer_value_wins() {
    let network = Network::start();
    let (here, there) = (network.client(NODES), network.client(NODES + 1));
    here.put_all(1);
    assert_eq!(there.found(1), RECORDS);

    // Even places on one side, odd ones on the other; each side has one who puts and gets.
    network.relay.divide();
    here.put_all(2);
    assert_eq!((here.found(2), there.found(2)), (RECORDS, 0), "nothing crosses");
    assert_eq!(there.found(1), RECORDS, "what was there before is on both sides");

    network.relay.unite();
    let until = Instant::now() + PATIENCE;
    while there.found(2) < RECORDS {
        assert!(Instant::now() < until, "the other half does not find what was put");
    }
}
