//! A reading of 20 bytes in a stream: its size, and opening it, in random order over 100,000 streams.

use std::hint::black_box;
use std::time::Instant;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut as _, Error as AeadFailed, KeyInit as _};
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseEncrypt0, CoseEncrypt0Builder, HeaderBuilder, RegisteredLabelWithPrivate};
use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, Ranges, StreamId, Topic};
use iot_crypto::Heading;
use iot_crypto::stream::{
    Aead, ContextId, Counter, CounterStore, Epoch, EpochSecret, Reservation, StreamSender, Streams,
};

use super::{PAYLOAD, TOPIC};
use crate::measure::{Effort, Side, interleaved};
use crate::report::{Failure, Row};

/// How many streams the reader has.
const STREAMS: usize = 100_000;
/// Octets of their identifiers: two name 65,536.
const CONTEXT_LEN: usize = 3;
/// Where sequence numbers begin: in two octets.
const FIRST_SEQUENCE: u64 = 1_000;

/// Octets over the payload with an identifier of two octets and a sequence number below 65,536.
pub fn size(_: Effort) -> Result<Row, Failure> {
    let mut sender: StreamSender<Memory> = sender(1, ContextId::from_number(1, 2).expect("it fits"));
    let (_, message) = sender.send(PAYLOAD)?;
    let peer = peer::Source::new(1).seal(FIRST_SEQUENCE, &[0, 1]);
    let overhead = |len: usize| (len - PAYLOAD.len()) as u64;
    Ok(Row::count(overhead(message.len()), &[("coset", overhead(peer.len()))], "B", 21))
}

/// At most `bound` where `coset` and RustCrypto take 2.2 µs.
pub fn open<A: Aead + 'static>(effort: Effort, bound: f64) -> Result<Row, Failure> {
    Ok(Row::scaled(&interleaved(effort, open_sides::<A>()), bound, &[2.2e-6]))
}

/// Opening: ours, with the check of topic and replay; and `coset` with RustCrypto's cipher, without.
pub fn open_sides<A: Aead + 'static>() -> Vec<Side<'static>> {
    vec![ours_side::<A>(), peer_side()]
}

fn ours_side<A: Aead + 'static>() -> Side<'static> {
    let topic = Topic::new(TOPIC).expect("it is a topic");
    let mut streams = Streams::<Ranges<8>, A>::new(STREAMS, CONTEXT_LEN).expect("the identifiers suffice");
    let mut senders: Vec<StreamSender<Memory, A>> = Vec::with_capacity(STREAMS);
    for number in 0..STREAMS as u64 {
        let context = streams.assign().expect("there is room");
        streams.insert(epoch(number, context)).expect("there is room");
        senders.push(sender(number, context));
    }
    let mut draws = Draws::new();
    Side::timed("ours", move |calls| {
        let mut messages: Vec<Vec<u8>> =
            (0..calls).map(|_| senders[draws.below(STREAMS)].send(PAYLOAD).expect("a number is left").1).collect();
        let start = Instant::now();
        for message in &mut messages {
            let opened = streams.open(topic, black_box(message));
            assert_eq!(opened.expect("the message is new").payload(), PAYLOAD);
        }
        start.elapsed()
    })
}

fn peer_side() -> Side<'static> {
    let reader: Vec<peer::Source> = (0..STREAMS as u64).map(peer::Source::new).collect();
    let mut draws = Draws::new();
    let mut sequence = FIRST_SEQUENCE;
    Side::timed("coset + RustCrypto", move |calls| {
        let messages: Vec<Vec<u8>> = (0..calls)
            .map(|_| {
                sequence = FIRST_SEQUENCE + (sequence + 1) % 60_000;
                let index = draws.below(STREAMS);
                reader[index].seal(sequence, &(index as u32).to_be_bytes()[1..])
            })
            .collect();
        let start = Instant::now();
        for message in &messages {
            assert_eq!(peer::open(&reader, black_box(message)).as_deref(), Some(&PAYLOAD[..]));
        }
        start.elapsed()
    })
}

fn epoch(number: u64, context: ContextId) -> Epoch<'static> {
    let position = Position {
        source: DeviceId::from_bytes([1; 32]),
        stream: StreamId::new(number as u32),
        incarnation: Incarnation::from_bytes(number.to_be_bytes()),
        sequence: FIRST_SEQUENCE,
    };
    let heading = Heading { topic: Topic::new(TOPIC).expect("it is a topic"), position };
    let key = KeyId::from_bytes([3; 8]);
    let agreed = EpochSecret { secret: &[4; 32], transcript: b"a bench", key, freshness: Freshness::Proven };
    Epoch::from_agreed(context, &heading, DeviceId::from_bytes([2; 32]), &agreed)
}

fn sender<A: Aead>(number: u64, context: ContextId) -> StreamSender<Memory, A> {
    let reservation = Reservation::new(Reservation::MAX).expect("it is in range");
    StreamSender::begin(epoch(number, context), Memory, reservation).expect("memory does not fail")
}

/// Forgets, which only a bench may do.
struct Memory;

impl CounterStore for Memory {
    type Error = std::convert::Infallible;

    fn load(&mut self) -> Result<Option<Counter>, Self::Error> {
        Ok(None)
    }

    fn store(&mut self, _: Counter) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Draws streams.
struct Draws(u64);

impl Draws {
    fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// `coset` builds and reads the structure, `chacha20poly1305` is called directly. It finds the stream as we do, by an
/// index; it checks no replay and no topic, and what binds the message is as long as ours and hashed beforehand.
mod peer {
    use super::*;

    /// What a stream's reader keeps.
    pub struct Source {
        key: [u8; 32],
        base_iv: [u8; 12],
        external: [u8; 32],
    }

    impl Source {
        pub fn new(number: u64) -> Self {
            let mut key = [5; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            Self { key, base_iv: [6; 12], external: [7; 32] }
        }

        pub fn seal(&self, sequence: u64, context: &[u8]) -> Vec<u8> {
            let protected = HeaderBuilder::new().algorithm(Algorithm::ChaCha20Poly1305).build();
            let partial_iv = sequence.to_be_bytes().iter().copied().skip_while(|octet| *octet == 0).collect::<Vec<_>>();
            let nonce = self.nonce(&partial_iv);
            let unprotected = HeaderBuilder::new().key_id(context.to_vec()).partial_iv(partial_iv).build();
            let builder = CoseEncrypt0Builder::new().protected(protected).unprotected(unprotected);
            let builder = builder.create_ciphertext(PAYLOAD, &self.external, |plaintext, authenticated| {
                let mut text = plaintext.to_vec();
                let cipher = ChaCha20Poly1305::new((&self.key).into());
                cipher.encrypt_in_place((&nonce).into(), authenticated, &mut text).expect("it is short");
                text
            });
            builder.build().to_vec().expect("it is made of CBOR")
        }

        fn nonce(&self, partial_iv: &[u8]) -> [u8; 12] {
            let mut nonce = self.base_iv;
            nonce[12 - partial_iv.len()..].iter_mut().zip(partial_iv).for_each(|(octet, partial)| *octet ^= partial);
            nonce
        }
    }

    pub fn open(reader: &[Source], message: &[u8]) -> Option<Vec<u8>> {
        let sealed = CoseEncrypt0::from_slice(message).ok()?;
        if sealed.protected.header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ChaCha20Poly1305)) {
            return None;
        }
        let context = sealed.unprotected.key_id.iter().fold(0, |index, octet| index << 8 | usize::from(*octet));
        let source = reader.get(context)?;
        if sealed.unprotected.partial_iv.len() > 8 {
            return None;
        }
        let nonce = source.nonce(&sealed.unprotected.partial_iv);
        let opened = sealed.decrypt_ciphertext(
            &source.external,
            || None::<AeadFailed>,
            |ciphertext, authenticated| {
                let mut text = ciphertext.to_vec();
                let cipher = ChaCha20Poly1305::new((&source.key).into());
                cipher.decrypt_in_place((&nonce).into(), authenticated, &mut text).map_err(Some)?;
                Ok(text)
            },
        );
        opened.ok()
    }
}

#[cfg(test)]
mod tests {
    use iot_crypto::stream::{Ring, RustCrypto};

    use super::*;

    #[test]
    fn both_sides_refuse_an_altered_message() {
        let context = ContextId::from_number(1, CONTEXT_LEN).unwrap();
        let mut streams = Streams::<Ranges<8>, Ring>::new(2, CONTEXT_LEN).unwrap();
        streams.insert(epoch(1, context)).unwrap();
        let mut message = sender::<RustCrypto>(1, context).send(PAYLOAD).unwrap().1;
        let topic = Topic::new(TOPIC).unwrap();
        *message.last_mut().unwrap() ^= 1;
        assert!(streams.open(topic, &mut message.clone()).is_err());
        *message.last_mut().unwrap() ^= 1;
        assert!(streams.open(topic, &mut message.clone()).is_ok());
        assert!(streams.open(topic, &mut message).is_err(), "it came before");

        let reader = [peer::Source::new(0), peer::Source::new(1)];
        let mut message = reader[1].seal(FIRST_SEQUENCE, &[0, 0, 1]);
        assert_eq!(peer::open(&reader, &message).as_deref(), Some(&PAYLOAD[..]));
        *message.last_mut().unwrap() ^= 1;
        assert_eq!(peer::open(&reader, &message), None);
    }
}
