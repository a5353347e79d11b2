//! The two ends of a stream, and storage that loses power.

use std::cell::Cell;
use std::rc::Rc;

use iot_core::{DeviceId, Freshness, Incarnation, KeyId, Position, StreamId, Topic};
use iot_crypto::Heading;
use iot_crypto::stream::{
    ContextId, Counter, CounterStore, Epoch, EpochSecret, Reservation, StreamReceiver, StreamSender,
};

pub const TOPIC: &str = "plant/7/boiler/12";
pub const PAYLOAD: &[u8; 20] = b"twenty octets, yes: ";
pub const SOURCE: DeviceId = DeviceId::from_bytes([0x51; 32]);
pub const READER: DeviceId = DeviceId::from_bytes([0x52; 32]);
pub const STREAM: StreamId = StreamId::new(7);
pub const INCARNATION: Incarnation = Incarnation::from_bytes(*b"a chance");

#[cfg(not(feature = "fast-aead"))]
pub type Cipher = iot_crypto::stream::RustCrypto;
/// What one cipher wrote, the other opens.
#[cfg(feature = "fast-aead")]
pub type Cipher = iot_crypto::stream::Ring;

pub type Sender = StreamSender<Option<Counter>>;
pub type Receiver<S = iot_core::Ranges<8>> = StreamReceiver<&'static str, S, Cipher>;

pub fn topic() -> Topic<'static> {
    Topic::new(TOPIC).unwrap()
}

pub fn context() -> ContextId {
    ContextId::new(&[0xab, 0xcd]).unwrap()
}

/// Where a stream's first message stands.
pub fn heading(first: u64) -> Heading<'static> {
    let position = Position { source: SOURCE, stream: STREAM, incarnation: INCARNATION, sequence: first };
    Heading { topic: topic(), position }
}

pub fn epoch(first: u64) -> Epoch<'static> {
    epoch_of(context(), &heading(first), READER, 1)
}

/// An epoch whose secret follows from a number.
pub fn epoch_of<'t>(context: ContextId, first: &Heading<'t>, reader: DeviceId, secret: u8) -> Epoch<'t> {
    let agreed = EpochSecret {
        secret: &[secret; 32],
        transcript: b"a handshake",
        key: KeyId::from_bytes([9; 8]),
        freshness: Freshness::Proven,
    };
    Epoch::from_agreed(context, first, reader, &agreed)
}

pub fn sender(first: u64) -> Sender {
    StreamSender::begin(epoch(first), None, Reservation::default()).unwrap()
}

pub fn receiver(first: u64) -> Receiver {
    StreamReceiver::new(epoch(first), TOPIC).unwrap()
}

/// Whether the receiver takes a copy of the message, with the right payload and position.
pub fn accepts(receiver: &mut Receiver, message: &[u8]) -> bool {
    let mut message = message.to_vec();
    match receiver.open(topic(), &mut message) {
        Ok(opened) => {
            assert_eq!(opened.payload(), PAYLOAD);
            assert_eq!((opened.position().source, opened.position().stream), (SOURCE, STREAM));
            assert_eq!(opened.heading().topic, topic());
            true
        }
        Err(_) => false,
    }
}

/// Two places in flash, written in turn. The power is cut after a number of written octets; what was being written is
/// torn there, as flash that is being programmed is, and the device is dead until it boots again.
#[derive(Clone, Default)]
pub struct Flash {
    places: Rc<[Cell<[u8; PLACE_LEN]>; 2]>,
    octets_left: Rc<Cell<Option<usize>>>,
}

/// A counter, and how manieth it is.
const PLACE_LEN: usize = 1 + Counter::LEN;

/// The device has no power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead;

impl Flash {
    /// Boots, and dies after so many octets were written.
    pub fn boot(&self, octets_left: Option<usize>) {
        self.octets_left.set(octets_left);
    }

    pub fn is_alive(&self) -> bool {
        self.octets_left.get() != Some(0)
    }

    /// Overwrites a place with what flash holds when it wears out.
    pub fn wear_out(&self) {
        self.places.iter().for_each(|place| place.set([0xa5; PLACE_LEN]));
    }

    fn read(&self, index: usize) -> Option<(u8, Counter)> {
        let place = self.places[index].get();
        let (turn, counter) = place.split_first().unwrap();
        Some((*turn, Counter::from_bytes(counter.try_into().unwrap())?))
    }

    /// The place written last.
    fn latest(&self) -> Option<(usize, u8, Counter)> {
        let places = [0, 1].map(|index| self.read(index).map(|(turn, counter)| (index, turn, counter)));
        match places {
            [Some(a), Some(b)] => Some(if a.1.wrapping_sub(b.1) < 0x80 { a } else { b }),
            [one, other] => one.or(other),
        }
    }
}

impl CounterStore for Flash {
    type Error = Dead;

    fn load(&mut self) -> Result<Option<Counter>, Dead> {
        if self.is_alive() { Ok(self.latest().map(|(_, _, counter)| counter)) } else { Err(Dead) }
    }

    fn store(&mut self, counter: Counter) -> Result<(), Dead> {
        let (index, turn) = self.latest().map_or((0, 0), |(index, turn, _)| (1 - index, turn.wrapping_add(1)));
        // A place is erased, and programmed octet by octet; its turn comes last.
        let mut place = [0xff; PLACE_LEN];
        for (at, octet) in
            counter.to_bytes().into_iter().enumerate().map(|(at, octet)| (at + 1, octet)).chain([(0, turn)])
        {
            match self.octets_left.get() {
                Some(0) => return Err(Dead),
                Some(left) => self.octets_left.set(Some(left - 1)),
                None => {}
            }
            place[at] = octet;
            self.places[index].set(place);
        }
        // The last octet is programmed, and the device may die before anybody hears of it.
        if self.is_alive() { Ok(()) } else { Err(Dead) }
    }
}
