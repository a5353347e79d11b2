use core::cmp::Ordering;

use iot_core::Instant;

use super::TRAILER;
use super::header::{Form, MessageId};
use super::receiver::Peer;
use crate::fec::{Code, reconstruct};
use crate::framing::Checksum;

/// What all fragments of a message have in common. Fragments that differ in any of it belong to different messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) peer: Peer,
    pub(super) id: MessageId,
    pub(super) data: u8,
    pub(super) shard_len: u16,
}

impl Key {
    const NONE: Self = Self { peer: Peer(0), id: MessageId { form: Form::Short, number: 0 }, data: 0, shard_len: 0 };

    fn data(&self) -> usize {
        self.data.into()
    }

    fn shard_len(&self) -> usize {
        self.shard_len.into()
    }

    fn block_len(&self) -> usize {
        self.data() * self.shard_len()
    }

    /// Octets that a slot needs for it: the block, and an octet for each of its places.
    pub(super) fn slot_len(&self) -> usize {
        self.block_len() + self.data()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Gathering,
    /// The message was handed out. It is kept while nobody needs the memory, to recognise what still comes of it.
    Delivered,
}

/// Memory for one message.
///
/// The block's places are followed by an octet for each, the index of the shard in it or [`EMPTY`]. Data shards stand at
/// their own places, parity at places that are empty; there is one for each shard until there are enough.
#[derive(Clone, Debug)]
pub(super) struct Slot<const BYTES: usize> {
    pub(super) state: State,
    pub(super) key: Key,
    pub(super) held: u8,
    pub(super) expires: Instant,
    /// When the last shard was put in.
    pub(super) latest: Instant,
    bytes: [u8; BYTES],
}

/// No shard has this index.
const EMPTY: u8 = u8::MAX;

/// What became of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was kept, and so many more are needed.
    Kept { missing: u8 },
    /// It was there already.
    Repeated,
    /// Another one of this index was there before, and stays.
    Contradiction,
}

impl<const BYTES: usize> Slot<BYTES> {
    pub(super) const FREE: Self = Self {
        state: State::Free,
        key: Key::NONE,
        held: 0,
        expires: Instant::START,
        latest: Instant::START,
        bytes: [0; BYTES],
    };

    /// Begins a message, whose [`slot_len`](Key::slot_len) must not exceed `BYTES`.
    pub(super) fn begin(&mut self, key: Key, now: Instant, expires: Instant) {
        self.state = State::Gathering;
        self.key = key;
        self.held = 0;
        self.expires = expires;
        self.latest = now;
        let (_, places, _) = self.parts();
        places.fill(EMPTY);
    }

    /// Takes a shard of the length in the key.
    pub(super) fn put(&mut self, index: u8, shard: &[u8], now: Instant) -> Put {
        let (block, places, len) = self.parts();
        if let Some(place) = places.iter().position(|&held| held == index) {
            let is_same = block[place * len..][..len] == *shard;
            return if is_same { Put::Repeated } else { Put::Contradiction };
        }
        let own = usize::from(index);
        // Parity goes as far back as it can, where data most probably was lost and will not come to move it.
        let last_empty = places.iter().rposition(|&held| held == EMPTY);
        let place = match places.get(own) {
            Some(&EMPTY) => own,
            Some(&parity) => {
                let Some(empty) = last_empty else { return Put::Repeated };
                let (front, back) = block.split_at_mut(own.max(empty) * len);
                front[own.min(empty) * len..][..len].swap_with_slice(&mut back[..len]);
                places[empty] = parity;
                own
            }
            None => {
                let Some(empty) = last_empty else { return Put::Repeated };
                empty
            }
        };
        block[place * len..][..len].copy_from_slice(shard);
        places[place] = index;
        self.latest = now;
        self.held += 1;
        Put::Kept { missing: self.key.data - self.held }
    }

    /// Repairs the block, once enough shards are held, and gives the length of the message in front of it.
    ///
    /// Without a message that its trailer confirms, the slot is free again.
    pub(super) fn finish(&mut self) -> Option<usize> {
        let data = self.key.data;
        let (block, places, _) = self.parts();
        let repaired = reconstruct(block, places);
        let len = repaired.ok().and_then(|()| confirmed_len(block, data));
        for (own, place) in (0..data).zip(places) {
            *place = own;
        }
        self.state = if len.is_some() { State::Delivered } else { State::Free };
        len
    }

    /// Whether this shard belongs to the message that was delivered.
    pub(super) fn agrees(&self, index: u8, shard: &[u8]) -> bool {
        let len = self.key.shard_len();
        let block = &self.bytes[..self.key.block_len()];
        if let Some(own) = block.chunks_exact(len).nth(index.into()) {
            return own == shard;
        }
        let Ok(code) = Code::new(self.key.data()) else { return false };
        let factors = code.factors(index);
        let mut strip = [0; 64];
        shard.chunks(strip.len()).enumerate().all(|(number, piece)| {
            let start = number * strip.len();
            strip.fill(0);
            for (point, own) in (0..self.key.data).zip(block.chunks_exact(len)) {
                factors.add(point, &own[start..start + piece.len()], &mut strip);
            }
            strip[..piece.len()] == *piece
        })
    }

    /// The first octets of the block.
    pub(super) fn message(&self, len: usize) -> &[u8] {
        &self.bytes[..len]
    }

    pub(super) fn is_gathering_of(&self, peer: Peer) -> bool {
        self.state == State::Gathering && self.key.peer == peer
    }

    /// Which of two messages heard less lately.
    pub(super) fn by_age(&self, other: &Self) -> Ordering {
        self.latest.cmp(&other.latest)
    }

    /// Which of two messages is the lesser loss: that of which less is here, then the one that heard less lately.
    pub(super) fn by_worth(&self, other: &Self) -> Ordering {
        self.held.cmp(&other.held).then(self.by_age(other))
    }

    /// The block, the indices of its places, and the length of a place.
    fn parts(&mut self) -> (&mut [u8], &mut [u8], usize) {
        let (data, len) = (self.key.data(), self.key.shard_len());
        let (block, places) = self.bytes[..self.key.slot_len()].split_at_mut(data * len);
        (block, places, len)
    }
}

/// The length of the message in a block, if padding and checksum hold.
fn confirmed_len(block: &[u8], data: u8) -> Option<usize> {
    let (content, &[padding, a, b, c, d]) = block.split_last_chunk::<TRAILER>()?;
    let len = content.len().checked_sub(padding.into())?;
    let (message, zeros) = content.split_at_checked(len)?;
    let holds = padding < data
        && zeros.iter().all(|&octet| octet == 0)
        && Checksum::Crc32.of(message) == u32::from_be_bytes([a, b, c, d]);
    holds.then_some(len)
}
