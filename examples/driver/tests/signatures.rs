//! Nodes on sockets of this machine that hand out the verification of signatures, on either driver.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use iot_core::{Instant, Timestamp};
use iot_crypto::SigningKey;
use iot_dht::wire::Role;
use iot_dht::{Event, GetMode, Node, NodeConfig, Record, SubnetLimit, TableConfig, Verification};
use iot_driver::Driver;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const PATIENCE: Duration = Duration::from_secs(20);

fn node(seed: u8) -> Node {
    let config = NodeConfig::default()
        .service(Role::Server)
        .table(TableConfig::default().subnets(SubnetLimit::Off))
        .verification(Verification::HandedOut);
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    Node::new(config, SigningKey::from_seed(&[seed; 32]), Instant::START, &mut rng)
}

fn record() -> Record {
    let expires = NOW.saturating_add(Duration::from_secs(3600));
    Record::sign(&SigningKey::from_seed(&[9; 32]), b"name", 1, expires, b"value").unwrap()
}

fn stored(event: Event) -> Option<usize> {
    if let Event::PutDone(done) = event { Some(done.stored) } else { None }
}

fn found(event: Event) -> Option<Option<Record>> {
    if let Event::GetDone(done) = event { Some(done.record) } else { None }
}

fn joined(event: Event) -> Option<()> {
    matches!(event, Event::Bootstrapped { .. }).then_some(())
}

#[test]
fn threads_verify_what_their_nodes_hand_out() {
    fn wait<T>(driver: &Driver, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(driver.events().recv_timeout(PATIENCE).unwrap()) {
                return found;
            }
        }
    }
    let start = |seed| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Driver::spawn(socket, node(seed), || NOW).unwrap()
    };
    let [first, second, third] = [1, 2, 3].map(start);
    let known: SocketAddr = first.address();
    for driver in [&second, &third] {
        driver.call(move |node, now, _| node.bootstrap(now, &[known])).unwrap();
        wait(driver, joined);
    }
    second.call(|node, now, wall| node.put(now, wall, record())).unwrap().unwrap();
    assert!(wait(&second, stored) >= 2);
    third.call(|node, now, wall| node.get(now, wall, *record().key(), GetMode::Newest)).unwrap().unwrap();
    assert_eq!(wait(&third, found), Some(record()));
    assert_eq!(third.stop().stats().verifications_dropped, 0);
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_verify_what_their_nodes_hand_out() {
    use iot_driver::Task;

    async fn wait<T>(task: &mut Task, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = tokio::time::timeout(PATIENCE, task.event()).await.unwrap().unwrap();
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for seed in 1..4 {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            tasks.push(Task::spawn(socket, node(seed), || NOW).unwrap());
        }
        let known = tasks[0].address();
        for task in &mut tasks[1..] {
            task.call(move |node, now, _| node.bootstrap(now, &[known])).await.unwrap();
            wait(task, joined).await;
        }
        tasks[1].call(|node, now, wall| node.put(now, wall, record())).await.unwrap().unwrap();
        assert!(wait(&mut tasks[1], stored).await >= 2);
        tasks[2].call(|node, now, wall| node.get(now, wall, *record().key(), GetMode::Newest)).await.unwrap().unwrap();
        assert_eq!(wait(&mut tasks[2], found).await, Some(record()));
        let node = tasks.pop().unwrap().stop().await.unwrap();
        assert_eq!(node.stats().verifications_dropped, 0);
    });
}
