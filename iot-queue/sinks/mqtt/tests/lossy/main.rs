//! A gateway and a receiver, which are killed, around a broker that loses, repeats and reorders, and cuts connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;

use std::time::Duration;

use iot_core::{DeviceId, Instant};
use iot_queue::mirror::{Mirror, MirrorError};
use iot_queue::{Consumers, Durability, Entry, Fate, MaxLag, MemoryStorage, Message, Offset, Queue, QueueConfig, Seek};
use iot_queue_driven::{Delivery, DrivenError, DrivenSink, Inbound as _, PropertyError, Reception, SINCE, hexadecimal};
use iot_queue_mqtt::{MqttError, Topic, TopicReader, mirror_config, mqtt_sink_over};

use self::broker::{Lossy, Mischief, Random};

fn open(storage: MemoryStorage, config: QueueConfig, random: u64) -> Queue<MemoryStorage> {
    Queue::open(storage, config, random.to_le_bytes()).unwrap()
}

fn config(segments: u32) -> QueueConfig {
    let config = QueueConfig::default().max_payload(256).and_then(|config| config.segment_len(4096));
    config.and_then(|config| config.segments(segments)).unwrap().durability(Durability::Manual)
}

fn topic() -> Topic {
    Topic::new("broker", "plant")
}

struct Gateway {
    queue: Queue<MemoryStorage>,
    mirror: Mirror,
    sink: DrivenSink<MqttError>,
}

impl Gateway {
    fn open(storage: MemoryStorage, broker: &Lossy, random: u64) -> Self {
        let mut queue = open(storage, config(60).consumers(Consumers::CursorsOnly), random);
        let cursor = queue.open_cursor("mirror", Seek::Oldest, MaxLag::UNLIMITED).unwrap();
        let config = mirror_config().window(24).unwrap().answer_within(Duration::from_secs(1));
        let mirror = Mirror::new(config, &queue, cursor, random).unwrap();
        let (sink, driver) = mqtt_sink_over(broker.clone(), topic());
        // It ends with the sink.
        tokio::spawn(driver.run());
        Self { queue, mirror, sink }
    }
}

struct Receiver {
    queue: Queue<MemoryStorage>,
    reception: Reception,
    reader: TopicReader<Lossy>,
}

impl Receiver {
    fn open(storage: MemoryStorage, broker: &Lossy, random: u64) -> Self {
        let queue = open(storage, config(60), random);
        let mut reception = Reception::new(4, DeviceId::from_bytes([9; 32]));
        reception.recover(&queue).unwrap();
        Self { queue, reception, reader: TopicReader::over(broker.clone(), topic()) }
    }

    /// What came is stored, and some receipts are sent; those of a power cut are not.
    async fn take(&mut self) {
        let Ok(came) = self.reader.read().await else {
            return tokio::time::sleep(Duration::from_millis(50)).await;
        };
        self.store(came).await;
    }

    async fn store(&mut self, came: Vec<Result<Delivery, PropertyError>>) {
        came.into_iter().for_each(|delivery| self.reception.handle(delivery.unwrap()));
        let receipts = self.reception.store(&mut self.queue).unwrap();
        // Senders send again what they have no receipt for.
        let _ = self.reader.answer(&receipts).await;
    }
}

async fn run(seed: u64) -> (Mischief, u64) {
    let mut random = Random(seed);
    let broker = Lossy::new(seed + 1000);
    let mut gateway = Gateway::open(MemoryStorage::new(), &broker, seed);
    let mut receiver = Receiver::open(MemoryStorage::new(), &broker, seed + 1);
    let (start, mut written, mut resent) = (tokio::time::Instant::now(), 0_u64, 0);
    for step in 0..20_000 {
        let now = Instant::from_micros(start.elapsed().as_micros() as u64);
        // Who cannot be reached is asked again.
        let _ = gateway.mirror.drive(now, &mut gateway.queue, &mut gateway.sink);
        assert!(!gateway.mirror.is_halted());
        let has = receiver.queue.durable();
        assert!(gateway.mirror.confirmed() <= has, "what the receiver has not was let go of");
        if step > 2000 {
            broker.mend();
            if gateway.mirror.confirmed() == gateway.queue.next_offset() {
                break;
            }
        }
        tokio::select! {
            biased;
            () = receiver.take() => continue,
            () = gateway.sink.answered() => continue,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        match random.below(100) {
            _ if step > 2000 => {}
            0..8 => {
                for _ in 0..random.below(12) {
                    gateway.queue.append(&Message::new(&written.to_le_bytes())).unwrap();
                    written += 1;
                }
                gateway.queue.commit().unwrap();
            }
            30..32 => {
                resent += gateway.mirror.stats().sent;
                let mut storage = gateway.queue.into_storage();
                storage.crash(|_| Fate::Lost);
                gateway = Gateway::open(storage, &broker, random.below(u64::MAX));
            }
            32..34 => {
                let mut storage = receiver.queue.into_storage();
                storage.crash(|_| Fate::Lost);
                receiver = Receiver::open(storage, &broker, random.below(u64::MAX));
            }
            _ => {}
        }
    }
    resent += gateway.mirror.stats().sent;
    assert_eq!(gateway.mirror.confirmed(), Offset::new(written), "it never arrives");
    let mut next = 0_u64;
    for entry in receiver.queue.entries_from(Offset::START) {
        let Entry::Message(stored) = entry.unwrap() else { panic!("nothing was lost") };
        assert_eq!(stored.payload, next.to_le_bytes(), "one is missing, or twice, or out of order");
        next += 1;
    }
    assert_eq!(next, written);
    (broker.mischief(), resent - written)
}

/// Time passes as soon as there is nothing else to do.
fn run_async<F: Future>(future: F) -> F::Output {
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    builder.unwrap().block_on(future)
}

#[test]
fn behind_a_broker_that_loses_and_repeats_each_message_arrives_once() {
    let mut total = (Mischief::default(), 0);
    for seed in 0..12 {
        let (mischief, resent) = run_async(run(seed));
        total.0.lost += mischief.lost;
        total.0.repeated += mischief.repeated;
        total.0.late += mischief.late;
        total.0.cut += mischief.cut;
        total.1 += resent;
    }
    let (Mischief { lost, repeated, late, cut }, resent) = total;
    assert!(lost.min(repeated).min(late) > 300 && cut > 30 && resent > 1000, "too little happened: {total:?}");
}

/// A gateway with so many messages, and a broker that keeps to the protocol.
fn sound(messages: u64) -> (Gateway, Lossy) {
    let broker = Lossy::new(0);
    broker.mend();
    let mut gateway = Gateway::open(MemoryStorage::new(), &broker, 1);
    for number in 0..messages {
        gateway.queue.append(&Message::new(&number.to_le_bytes())).unwrap();
    }
    gateway.queue.commit().unwrap();
    (gateway, broker)
}

#[test]
fn a_sound_broker_is_given_each_message_once_and_in_order() {
    run_async(async {
        let (mut gateway, broker) = sound(100);
        let mut receiver = Receiver::open(MemoryStorage::new(), &broker, 2);
        // It has subscribed before the first message is published.
        let _ = tokio::time::timeout(Duration::from_millis(10), receiver.reader.read()).await;
        let start = tokio::time::Instant::now();
        while gateway.mirror.confirmed() < Offset::new(100) {
            let now = Instant::from_micros(start.elapsed().as_micros() as u64);
            gateway.mirror.drive(now, &mut gateway.queue, &mut gateway.sink).unwrap();
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", gateway.mirror.stats());
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                came = receiver.reader.read() => receiver.store(came.unwrap()).await,
                () = gateway.sink.answered() => {}
            }
        }
        assert_eq!(broker.entries(), (0..100_u64).map(|number| number.to_le_bytes().to_vec()).collect::<Vec<_>>());
    });
}

#[test]
fn that_nobody_has_subscribed_is_said() {
    run_async(async {
        let (mut gateway, _) = sound(3);
        let failed = loop {
            match gateway.mirror.drive(Instant::START, &mut gateway.queue, &mut gateway.sink) {
                Ok(()) => gateway.sink.answered().await,
                Err(error) => break error,
            }
        };
        let MirrorError::Sink(DrivenError::Server(MqttError::NoReceiver { topic })) = failed else {
            panic!("{failed:?}")
        };
        assert!(topic.starts_with("plant/entries/"), "{topic}");
        assert_eq!(gateway.mirror.confirmed(), Offset::START);
    });
}

#[test]
fn what_others_publish_is_no_entry_and_frees_nothing() {
    run_async(async {
        let (mut gateway, broker) = sound(3);
        let mut reader = TopicReader::over(broker.clone(), topic());
        let _ = tokio::time::timeout(Duration::from_millis(10), reader.read()).await;
        broker.publish("plant/entries/0101010101010101", "21.5");
        assert_eq!(reader.read().await.unwrap(), [Err(PropertyError::Missing { name: SINCE })]);
        let feed = hexadecimal(gateway.queue.epoch().as_bytes());
        for step in 0..20 {
            gateway.mirror.drive(Instant::START, &mut gateway.queue, &mut gateway.sink).unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(20), gateway.sink.answered());
            let _ = waited.await;
            for text in ["", "3", "0101010101010101 3", "x 3"] {
                broker.publish(&format!("plant/receipts/{feed}"), text);
            }
            assert_eq!(gateway.mirror.confirmed(), Offset::START, "step {step}");
        }
        assert_eq!(gateway.mirror.stats().under_way, 3);
        // And this is a receipt.
        broker.publish(&format!("plant/receipts/{feed}"), &format!("{feed} 2"));
        gateway.sink.answered().await;
        gateway.mirror.drive(Instant::START, &mut gateway.queue, &mut gateway.sink).unwrap();
        assert_eq!(gateway.mirror.acknowledged(), Offset::new(2));
    });
}
