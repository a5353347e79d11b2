#[cfg(test)]
mod tests;

use core::time::Duration;

use iot_core::Instant;
use iot_core::limits::OutOfRange;
use thiserror::Error;

use super::checked_lifetime;
use super::header::{Frame, Header};
use super::slot::{Key, Put, Slot, State};

/// Who sent a frame, as far as the transport knows: an address, or a place in the caller's table of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub u64);

/// How a [`Receiver`] receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    lifetime: Duration,
    quota: u16,
}

impl ReceiverConfig {
    /// The default, where a constant is needed.
    pub const DEFAULT: Self = Self { lifetime: super::LIFETIME, quota: 2 };

    /// How long a message is kept after its first fragment, whole or not: the senders' lifetime. A minute by default.
    ///
    /// # Errors
    /// [`OutOfRange`] below a microsecond.
    pub const fn lifetime(mut self, lifetime: Duration) -> Result<Self, OutOfRange> {
        match checked_lifetime(lifetime) {
            Ok(lifetime) => self.lifetime = lifetime,
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// How many unfinished messages a peer may have at a time, 1 or more. 2 by default.
    ///
    /// One more takes the place of the peer's own that heard least lately.
    ///
    /// # Errors
    /// [`OutOfRange`] for 0.
    pub const fn quota(mut self, messages: u16) -> Result<Self, OutOfRange> {
        if messages == 0 {
            return Err(OutOfRange { setting: "quota", value: 0, min: 1, max: u16::MAX as u64 });
        }
        self.quota = messages;
        Ok(self)
    }
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Puts fragments together, in `SLOTS` slots of `BYTES` octets, for any number of peers.
///
/// [`slot_bytes`](super::slot_bytes) says how many octets a slot needs. All memory is in the value, some 50 octets for
/// a slot beside its own; [`new`](Self::new) is `const`, so it can be a `static`.
///
/// A slot is taken by the first fragment of a message, and freed when the message's lifetime is over. Once it was handed
/// out, it stays to recognise what still comes of the message, for as long as nobody needs the memory. If all slots
/// collect messages, a new one takes the place of the one of which the fewest fragments are here, and among those the
/// one that heard least lately; so nobody takes what is almost whole by beginning many.
///
/// Of fragments that contradict each other, the first stands; if it was the forged one, the checksum fails, everything
/// that was collected is dropped, and what is still to come begins anew.
///
/// The work of a call is bounded by the slots, and by the repair of one block.
#[derive(Clone, Debug)]
pub struct Receiver<const SLOTS: usize, const BYTES: usize> {
    config: ReceiverConfig,
    slots: [Slot<BYTES>; SLOTS],
    stats: Stats,
}

impl<const SLOTS: usize, const BYTES: usize> Receiver<SLOTS, BYTES> {
    /// A receiver that knows of no message. Without slots it does not compile.
    pub const fn new(config: ReceiverConfig) -> Self {
        const { assert!(SLOTS > 0, "a receiver needs a slot") };
        Self { config, slots: [const { Slot::FREE }; SLOTS], stats: Stats::new() }
    }

    /// Takes a frame, as the transport delivered it.
    ///
    /// # Errors
    /// [`ReceiveError`], after which it goes on with the next frame as if this one had been lost.
    pub fn handle_frame<'a>(
        &'a mut self,
        now: Instant,
        peer: Peer,
        frame: &'a [u8],
    ) -> Result<Received<'a>, ReceiveError> {
        self.handle_timeout(now);
        match Frame::parse(frame) {
            Ok(Frame::Whole(message)) => {
                self.stats.whole += 1;
                Ok(Received::Message(message))
            }
            Ok(Frame::Fragment(header, shard)) => {
                self.stats.fragments += 1;
                self.handle_fragment(now, peer, header, shard)
            }
            Err(error) => {
                self.stats.malformed += 1;
                Err(error)
            }
        }
    }

    /// Forgets the messages whose lifetime is over. [`handle_frame`](Self::handle_frame) does so, too.
    pub fn handle_timeout(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if slot.state != State::Free && slot.expires <= now {
                self.stats.expired += u64::from(slot.state == State::Gathering);
                slot.state = State::Free;
            }
        }
    }

    /// When the next unfinished message is given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.gathering().map(|slot| slot.expires).min()
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Messages of which some fragments are here.
    pub fn unfinished(&self) -> usize {
        self.gathering().count()
    }

    fn gathering(&self) -> impl Iterator<Item = &Slot<BYTES>> {
        self.slots.iter().filter(|slot| slot.state == State::Gathering)
    }

    fn handle_fragment(
        &mut self,
        now: Instant,
        peer: Peer,
        header: Header,
        shard: &[u8],
    ) -> Result<Received<'_>, ReceiveError> {
        // No frame that was parsed has a longer shard.
        let key = Key { peer, id: header.id, data: header.data, shard_len: shard.len() as u16 };
        let needed = key.slot_len();
        if needed > BYTES {
            self.stats.too_long += 1;
            return Err(ReceiveError::TooLong { needed, available: BYTES });
        }
        let mut known = self.slots.iter().position(|slot| slot.state != State::Free && slot.key == key);
        if let Some(slot) = known.and_then(|number| self.slots.get_mut(number)) {
            if slot.state == State::Delivered {
                if slot.agrees(header.index, shard) {
                    self.stats.repeated += 1;
                    return Ok(Received::Repeated);
                }
                // The sender forgot that it had used this id, as after a restart: this is another message, which has to
                // find its place as any other.
                self.stats.contradictions += 1;
                slot.state = State::Free;
                known = None;
            }
        }
        let number = known.unwrap_or_else(|| self.vacate(peer));
        let slot = &mut self.slots[number];
        if known.is_none() {
            slot.begin(key, now, now.saturating_add(self.config.lifetime));
        }
        match slot.put(header.index, shard, now) {
            Put::Kept { missing: 0 } => {}
            Put::Kept { missing } => return Ok(Received::Kept { missing }),
            Put::Repeated => {
                self.stats.repeated += 1;
                return Ok(Received::Repeated);
            }
            Put::Contradiction => {
                self.stats.contradictions += 1;
                return Err(ReceiveError::Contradiction { index: header.index });
            }
        }
        let Some(len) = slot.finish() else {
            self.stats.checksum_failures += 1;
            return Err(ReceiveError::Checksum);
        };
        self.stats.messages += 1;
        Ok(Received::Message(slot.message(len)))
    }

    /// The slot for a new message of this peer.
    fn vacate(&mut self, peer: Peer) -> usize {
        let numbered = || self.slots.iter().enumerate();
        let own = || numbered().filter(|(_, slot)| slot.is_gathering_of(peer));
        if own().count() >= usize::from(self.config.quota) {
            let stalest = own().min_by(|(_, a), (_, b)| a.by_age(b));
            self.stats.over_quota += 1;
            return stalest.map_or(0, |(number, _)| number);
        }
        let free = numbered().find(|(_, slot)| slot.state == State::Free);
        let done =
            || numbered().filter(|(_, slot)| slot.state == State::Delivered).min_by(|(_, a), (_, b)| a.by_age(b));
        if let Some((number, _)) = free.or_else(done) {
            return number;
        }
        let least = numbered().min_by(|(_, a), (_, b)| a.by_worth(b));
        self.stats.evicted += 1;
        least.map_or(0, |(number, _)| number)
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received<'a> {
    /// A message, whole in this frame or now.
    Message(&'a [u8]),
    /// A fragment of a message that needs so many more.
    Kept {
        /// Fragments that still have to come, at least 1.
        missing: u8,
    },
    /// A fragment that was here before, or of a message that was handed out.
    Repeated,
}

impl<'a> Received<'a> {
    /// The message, if there is one.
    pub fn message(self) -> Option<&'a [u8]> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

/// Why a frame was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Malformed input: a frame that no sender makes.
    #[error("malformed frame at offset {offset}")]
    Malformed {
        /// Where it is wrong or ends too early.
        offset: usize,
    },
    /// Malformed input, or a later version's.
    #[error("unknown form of frame {form:#04x}")]
    UnknownForm {
        /// The first octet.
        form: u8,
    },
    /// A limit was reached: the message does not fit into a slot.
    #[error("message needs a slot of {needed} octets, and there are {available}")]
    TooLong {
        /// Octets that it needs.
        needed: usize,
        /// Octets of a slot.
        available: usize,
    },
    /// The peer misbehaved, or somebody in its name: a fragment was here with other contents, which stand.
    #[error("fragment {index} contradicts an earlier one")]
    Contradiction {
        /// The fragment's index.
        index: u8,
    },
    /// The peer misbehaved, or somebody in its name: the fragments do not make the message that was sent. They are dropped.
    #[error("fragments do not make a message: its checksum fails")]
    Checksum,
}

/// What a [`Receiver`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that came whole in a frame.
    pub whole: u64,
    /// Messages put together from fragments.
    pub messages: u64,
    /// Fragments, useful or not.
    pub fragments: u64,
    /// Fragments that were here before, or of messages that were handed out.
    pub repeated: u64,
    /// Fragments with other contents than one before them.
    pub contradictions: u64,
    /// Fragments of messages that do not fit into a slot.
    pub too_long: u64,
    /// Messages whose checksum failed.
    pub checksum_failures: u64,
    /// Unfinished messages whose lifetime was over.
    pub expired: u64,
    /// Unfinished messages that gave their slot to another peer's, or to a new one of the same peer within its quota.
    pub evicted: u64,
    /// Unfinished messages that gave their slot to a new one of a peer at its quota.
    pub over_quota: u64,
    /// Frames that no sender makes, or not in this version.
    pub malformed: u64,
}

impl Stats {
    const fn new() -> Self {
        Self {
            whole: 0,
            messages: 0,
            fragments: 0,
            repeated: 0,
            contradictions: 0,
            too_long: 0,
            checksum_failures: 0,
            expired: 0,
            evicted: 0,
            over_quota: 0,
            malformed: 0,
        }
    }
}
