//! The receiver's power is cut when the gateway has let go of everything.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use iot_core::DeviceId;
use iot_link::process::now;
use iot_queue::shared::{SharedQueue, SharedSettings};
use iot_queue::sink::Intake;
use iot_queue::{Durability, Entry, Fate, MemoryStorage, Message, Offset, Queue, QueueConfig};
use iot_uplink::Uplink;

/// How long a thread may get no turn.
const PATIENCE: Duration = Duration::from_secs(120);

const MESSAGES: u64 = 300;

fn open(disk: MemoryStorage) -> Queue<MemoryStorage> {
    let config = QueueConfig::default().segment_len(1 << 20).and_then(|config| config.segments(2)).unwrap();
    Queue::open(disk, config.durability(Durability::Manual), [7; 8]).unwrap()
}

fn share(queue: Queue<MemoryStorage>) -> SharedQueue<MemoryStorage, fn() -> iot_core::Instant> {
    SharedQueue::new(queue, now as fn() -> iot_core::Instant, SharedSettings::default())
}

#[test]
fn what_a_gateway_let_go_of_no_power_cut_takes_from_its_receiver() {
    let (taken, arrived) = (share(open(MemoryStorage::new())), share(open(MemoryStorage::new())));
    taken.with(|queue, _| {
        for number in 0..MESSAGES {
            queue.append(&Message::new(&number.to_be_bytes())).unwrap();
        }
        queue.commit().unwrap();
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let receiving = arrived.clone();
    std::thread::spawn(move || iot_uplink::receive("receiver", &listener, &receiving, Intake::new(1)));
    let uplink = Uplink::new("gateway", &taken, "receiver", DeviceId::from_bytes([9; 32]), &address).unwrap();
    let stop = AtomicBool::new(false);
    let disk = std::thread::scope(|threads| {
        threads.spawn(|| uplink.run(&stop, None, |_, _| {}));
        let end = Instant::now() + PATIENCE;
        let let_go_of = || taken.with(|queue, _| queue.cursors().next().unwrap().position);
        while let_go_of() < Offset::new(MESSAGES) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Whoever waits ends before anything is said.
        taken.close();
        let disk = arrived.with(|queue, _| std::mem::replace(queue, open(MemoryStorage::new()))).into_storage();
        (let_go_of() == Offset::new(MESSAGES)).then_some(disk)
    });
    let mut disk = disk.expect("everything is forwarded");
    disk.crash(|_| Fate::Lost);
    let receiver = open(disk);
    let numbers = receiver.entries_from(Offset::START).map(|entry| match entry.unwrap() {
        Entry::Message(message) => u64::from_be_bytes(message.payload.try_into().unwrap()),
        Entry::Gap(gap) => panic!("{gap:?}"),
    });
    assert!(numbers.eq(0..MESSAGES));
}
