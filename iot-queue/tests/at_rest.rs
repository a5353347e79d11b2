//! Payloads that are encrypted at rest: nothing of them stands on the medium, and they come back whatever happened to
//! their segments.

#[path = "../examples/encrypted/cipher.rs"]
mod cipher;

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cipher::XChaChaPayloads;
use iot_core::Instant;
use iot_queue::{
    AppendError, Durability, Entry, Fate, Fault, GapCause, MemoryStorage, Message, OpenError, PayloadCipher,
    PayloadOpeningError, PayloadPlace, PayloadSealingError, Queue, QueueConfig, Release, SegmentNumber, Storage,
};

const KEY: [u8; 32] = [7; 32];
const SEGMENTS: u32 = 4;
const SEGMENT_LEN: u32 = 8192;
const TIMEOUT: Duration = Duration::from_secs(10);

type MemoryQueue = Queue<MemoryStorage>;

fn config() -> QueueConfig {
    let config = QueueConfig::default().max_payload(1000).and_then(|config| config.segment_len(SEGMENT_LEN));
    config.and_then(|config| config.segments(SEGMENTS)).expect("the shape is possible")
}

fn open(storage: MemoryStorage, key: &[u8; 32], opening: u8) -> Result<MemoryQueue, OpenError> {
    let cipher = Box::new(XChaChaPayloads::new(key, [opening; 16]));
    Queue::open_encrypted(storage, config(), [opening; 8], cipher)
}

/// No 8 octets of any payload stand in any other, nor anywhere else by chance.
fn secret(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..300)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

fn append(queue: &mut MemoryQueue, number: u64) {
    queue.append(&Message::new(&secret(number)).key(b"a key is not secret")).expect("there is room");
}

fn octets(storage: &MemoryStorage) -> Vec<u8> {
    let mut all = vec![0; (SEGMENTS * SEGMENT_LEN) as usize];
    for (segment, part) in all.chunks_mut(SEGMENT_LEN as usize).enumerate() {
        storage.read_at(SegmentNumber::new(segment as u32), 0, part).expect("the storage works");
    }
    all
}

fn payloads(queue: &mut MemoryQueue) -> Vec<Vec<u8>> {
    let found = queue.entries_from(queue.oldest()).map(|entry| match entry.expect("the storage works") {
        Entry::Message(stored) => stored.payload,
        Entry::Gap(gap) => panic!("nothing is missing: {gap:?}"),
    });
    found.collect()
}

#[test]
fn nothing_of_a_payload_stands_on_the_medium() {
    let mut queue = open(MemoryStorage::new(), &KEY, 1).expect("it is new");
    let mut secrets = BTreeSet::new();
    for number in 0..200 {
        secrets.extend(secret(number).windows(8).map(<[u8]>::to_vec));
        append(&mut queue, number);
        let leased = queue.reserve(Instant::START, TIMEOUT, 1).expect("the storage works");
        match number % 16 {
            0 => drop(queue.nack(Instant::START, leased[0].lease, "no reason", Release::Back)),
            _ => queue.ack(leased[0].lease).expect("the lease holds"),
        }
        if number == 100 {
            queue.append_batch(&[Message::new(&secret(1000)), Message::new(&secret(1001))]).expect("there is room");
            secrets.extend(
                [1000, 1001]
                    .iter()
                    .flat_map(|&number| secret(number))
                    .collect::<Vec<_>>()
                    .windows(8)
                    .map(<[u8]>::to_vec),
            );
        }
    }
    let storage = queue.close().expect("the storage works");
    let all = octets(&storage);
    let found = all.windows(8).find(|window| secrets.contains(*window));
    assert_eq!(found, None, "octets of a payload");
    assert!(all.windows(19).any(|window| window == b"a key is not secret"), "the medium was looked at");
    // Without a cipher they do stand there.
    let mut plain = Queue::open(MemoryStorage::new(), config(), [1; 8]).expect("it is new");
    append(&mut plain, 3);
    assert!(octets(&plain.into_storage()).windows(8).any(|window| secrets.contains(window)));
}

#[test]
fn messages_open_after_they_were_moved_and_by_later_openings() {
    let mut queue = open(MemoryStorage::new(), &KEY, 1).expect("it is new");
    let mut number = 0;
    while queue.stats().moved == 0 {
        assert!(number < 1000, "nothing is moved");
        let payload = if number == 0 { secret(0)[..40].to_vec() } else { secret(number).repeat(3) };
        queue.append(&Message::new(&payload)).expect("there is room");
        let offset = iot_queue::Offset::new(number);
        if number > 0 {
            let leased = queue.reserve_at(Instant::START, TIMEOUT, offset).expect("the storage works");
            queue.ack(leased.expect("nobody holds it").lease).expect("the lease holds");
        }
        number += 1;
    }
    let storage = queue.close().expect("the storage works");
    let mut queue = open(storage, &KEY, 2).expect("the key is right");
    let first = queue.reserve(Instant::START, TIMEOUT, 1).expect("the storage works");
    assert_eq!(first[0].payload, secret(0)[..40]);
}

#[test]
fn a_sync_that_failed_seals_nothing_twice() {
    let mut storage = MemoryStorage::new();
    storage.inject(Fault::OneSync, 9);
    let mut queue = open(storage, &KEY, 1).expect("it is new");
    for number in 0..8 {
        append(&mut queue, number);
    }
    let expected: Vec<_> = (0..8).map(secret).collect();
    assert_eq!(payloads(&mut queue), expected);
    let mut storage = queue.into_storage();
    storage.crash(|_| Fate::Lost);
    assert_eq!(payloads(&mut open(storage, &KEY, 2).expect("the key is right")), expected);
}

#[test]
fn another_key_opens_nothing_and_loses_nothing() {
    let mut queue = open(MemoryStorage::new(), &KEY, 1).expect("it is new");
    (0..12).for_each(|number| append(&mut queue, number));
    let storage = queue.close().expect("the storage works");
    let refused = open(storage.clone(), &[8; 32], 2).map(drop);
    assert_eq!(refused, Err(OpenError::WrongKey { offset: iot_queue::Offset::new(0) }));
    let refused = Queue::open(storage.clone(), config(), [3; 8]).map(drop);
    assert_eq!(refused, Err(OpenError::Encrypted { offset: iot_queue::Offset::new(0) }));
    let mut queue = open(storage, &KEY, 4).expect("the key is right");
    assert_eq!(payloads(&mut queue), (0..12).map(secret).collect::<Vec<_>>());

    // A new key, with the former beside it; and without it, although the newest messages open.
    let both = XChaChaPayloads::new(&[8; 32], [5; 16]).and_opening(&KEY);
    let storage = queue.into_storage();
    let mut queue = Queue::open_encrypted(storage, config(), [5; 8], Box::new(both)).expect("both keys are there");
    (12..20).for_each(|number| append(&mut queue, number));
    assert_eq!(payloads(&mut queue), (0..20).map(secret).collect::<Vec<_>>());
    let refused = open(queue.into_storage(), &[8; 32], 6).map(drop);
    assert_eq!(refused, Err(OpenError::WrongKey { offset: iot_queue::Offset::new(0) }));
}

#[test]
fn a_queue_that_was_not_encrypted_may_be_from_now_on() {
    let mut queue = Queue::open(MemoryStorage::new(), config(), [1; 8]).expect("it is new");
    append(&mut queue, 0);
    let mut queue = open(queue.into_storage(), &KEY, 2).expect("there is nothing to be opened");
    append(&mut queue, 1);
    assert_eq!(payloads(&mut queue), [secret(0), secret(1)]);
}

#[test]
fn damage_is_named_and_costs_its_message_only() {
    let mut queue = open(MemoryStorage::new(), &KEY, 1).expect("it is new");
    (0..6).for_each(|number| append(&mut queue, number));
    let mut storage = queue.close().expect("the storage works");
    // In the middle of the third record, each of which has more than 300 octets.
    storage.damage(SegmentNumber::new(0), |octets| octets[1024 + 1000] ^= 1);
    let mut queue = open(storage, &KEY, 2).expect("damage keeps no queue shut");
    let leased = queue.reserve(Instant::START, TIMEOUT, 1).expect("the storage works");
    assert_eq!(leased[0].payload, secret(0));
    let entries: Vec<_> = queue.entries_from(queue.oldest()).map(|entry| entry.expect("the storage works")).collect();
    let damaged = |entry: &&Entry| matches!(entry, Entry::Gap(gap) if gap.cause == GapCause::Damaged);
    assert_eq!((entries.len(), entries.iter().filter(damaged).count()), (6, 1));
}

/// Notes each nonce, and whether it was there before.
#[derive(Debug)]
struct Noting {
    inner: XChaChaPayloads,
    nonces: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl PayloadCipher for Noting {
    fn overhead(&self) -> u32 {
        self.inner.overhead()
    }

    fn seal(&mut self, place: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadSealingError> {
        self.inner.seal(place, payload)?;
        self.nonces.lock().expect("nobody panics").push(payload[..24].to_vec());
        Ok(())
    }

    fn open(&self, place: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadOpeningError> {
        self.inner.open(place, payload)
    }
}

/// The same places are sealed again after each power cut: a nonce that is made of the place would repeat.
#[test]
fn no_nonce_is_used_twice_although_places_are() {
    let nonces = Arc::new(Mutex::new(Vec::new()));
    let mut places = BTreeSet::new();
    let mut sealed = 0;
    let mut storage = MemoryStorage::new();
    for opening in 0..20 {
        let inner = XChaChaPayloads::new(&KEY, [opening; 16]);
        let cipher = Box::new(Noting { inner, nonces: nonces.clone() });
        let config = config().durability(Durability::Manual);
        let mut queue = Queue::open_encrypted(storage, config, [opening; 8], cipher).expect("the key is right");
        for number in 0..5 {
            places.insert(queue.next_offset());
            append(&mut queue, number);
            sealed += 1;
        }
        storage = queue.into_storage();
        storage.crash(|_| Fate::Lost);
    }
    let nonces = nonces.lock().expect("nobody panics");
    assert_eq!(nonces.len(), sealed);
    assert_eq!(nonces.iter().collect::<BTreeSet<_>>().len(), sealed, "a nonce was used twice");
    assert!(places.len() < sealed / 2, "places repeat: {}", places.len());
}

#[derive(Debug)]
struct Failing {
    grows_by: usize,
}

impl PayloadCipher for Failing {
    fn overhead(&self) -> u32 {
        8
    }

    fn seal(&mut self, _: PayloadPlace, payload: &mut Vec<u8>) -> Result<(), PayloadSealingError> {
        payload.extend_from_slice(&vec![0; self.grows_by]);
        if self.grows_by == 0 { Err(PayloadSealingError) } else { Ok(()) }
    }

    fn open(&self, _: PayloadPlace, _: &mut Vec<u8>) -> Result<(), PayloadOpeningError> {
        Err(PayloadOpeningError)
    }
}

#[test]
fn appends_nothing_that_is_not_sealed_or_does_not_fit() {
    for grows_by in [0, 9] {
        let cipher = Box::new(Failing { grows_by });
        let mut queue = Queue::open_encrypted(MemoryStorage::new(), config(), [1; 8], cipher).expect("it is new");
        assert_eq!(queue.append(&Message::new(b"secret")), Err(AppendError::Unsealed));
        assert_eq!((queue.stats().depth, queue.next_offset().number()), (0, 0));
    }
}
