#[cfg(test)]
mod tests;

use core::time::Duration;

use iot_core::Instant;
use iot_core::limits::OutOfRange;
use thiserror::Error;

use super::header::{ESCAPE, Form, Header, MessageId, needs_escape};
use super::ids::Ids;
use super::{SHORTEST_MTU, TRAILER, checked_lifetime};
use crate::fec::{Code, Redundancy};
use crate::framing::Checksum;

/// How a [`Sender`] sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    mtu: u16,
    lifetime: Duration,
    redundancy: Redundancy,
}

impl SenderConfig {
    /// The default, where a constant is needed.
    pub const DEFAULT: Self = Self { mtu: 51, lifetime: super::LIFETIME, redundancy: Redundancy::NONE };

    /// Octets of the longest frame, from 8 on. 51 by default, what `LoRaWAN` carries in Europe at its slowest.
    ///
    /// # Errors
    /// [`OutOfRange`] below 8.
    pub const fn mtu(mut self, octets: u16) -> Result<Self, OutOfRange> {
        if octets < SHORTEST_MTU {
            let (min, max) = (SHORTEST_MTU as u64, u16::MAX as u64);
            return Err(OutOfRange { setting: "mtu", value: octets as u64, min, max });
        }
        self.mtu = octets;
        Ok(self)
    }

    /// How long a message takes to be sent at most, and how long its receivers keep it. A minute by default.
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

    /// How many parity fragments are added. None by default.
    ///
    /// With any, messages that would fit into a frame whole travel as fragments, too, so that copies are recognised.
    pub const fn redundancy(mut self, redundancy: Redundancy) -> Self {
        self.redundancy = redundancy;
        self
    }

    /// Octets of the longest message that is sent, whichever ids are free: as many data fragments as the redundancy
    /// leaves of 255, with the longest header.
    ///
    /// 11,980 by default; 0 also stands for none, where the redundancy leaves no data fragment or too short a one.
    pub const fn max_message_len(&self) -> usize {
        let shard_len = self.mtu as usize - Form::Long.len();
        let mut data = u8::MAX;
        while data > 0 {
            if self.redundancy.shards(data).is_some() {
                return (data as usize * shard_len).saturating_sub(TRAILER);
            }
            data -= 1;
        }
        0
    }
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Cuts messages into frames. About 300 octets, and none for a message.
#[derive(Clone, Debug)]
pub struct Sender {
    config: SenderConfig,
    ids: Ids,
}

impl Sender {
    /// A sender whose first message has the id `first`, as many bits of it as an id has.
    ///
    /// Ids are not remembered across restarts, so give a number that is another after each, such as a boot count or the
    /// next sequence number. Else a receiver that has half of an older message may mix the two, and lose both.
    pub const fn new(config: SenderConfig, first: u16) -> Self {
        Self { config, ids: Ids::starting_at(first) }
    }

    /// Begins a message. Several can be on their way at once.
    ///
    /// # Errors
    /// [`SendError::TooLong`] if 255 fragments do not suffice, parity included, as up to
    /// [`max_message_len`](SenderConfig::max_message_len) they do; [`SendError::NoFreeId`] if there were too many
    /// messages, some thousands, within two lifetimes.
    pub fn send<'m>(&mut self, now: Instant, message: &'m [u8]) -> Result<Outgoing<'m>, SendError> {
        let escape = needs_escape(message);
        let is_alone = self.config.redundancy.shards(1) == Some(1);
        if is_alone && message.len() + usize::from(escape) <= usize::from(self.config.mtu) {
            return Ok(Outgoing { content: Content::Whole { message, escape }, next: 0, shards: 1 });
        }
        let expires = now.saturating_add(self.config.lifetime);
        let until = expires.saturating_add(self.config.lifetime);
        let (plan, id) = self.choose(now, until, message.len())?;
        let fragments = Fragments::new(message, &plan, id, expires);
        Ok(Outgoing { content: Content::Fragments(fragments), next: 0, shards: plan.shards })
    }

    /// The shortest header that has room for the number of shards, and a free id.
    fn choose(&mut self, now: Instant, until: Instant, len: usize) -> Result<(Plan, MessageId), SendError> {
        let mut free: Option<Instant> = None;
        for form in Form::ALL {
            let Some(plan) = self.plan(len, form) else { continue };
            match self.ids.take(form, now, until) {
                Ok(id) => return Ok((plan, id)),
                Err(at) => free = Some(free.map_or(at, |earlier| earlier.min(at))),
            }
        }
        Err(match free {
            Some(retry_at) => SendError::NoFreeId { retry_at },
            None => SendError::TooLong { len, mtu: self.config.mtu },
        })
    }

    /// The fewest shards for a message of this length, and then the shortest.
    fn plan(&self, len: usize, form: Form) -> Option<Plan> {
        let needed = len.checked_add(TRAILER)?;
        let data = u8::try_from(needed.div_ceil(usize::from(self.config.mtu) - form.len())).ok()?;
        let shards = self.config.redundancy.shards(data)?;
        let has_room = shards <= form.shards() && data <= form.data();
        has_room.then_some(Plan { data, shards, shard_len: needed.div_ceil(data.into()) })
    }
}

struct Plan {
    data: u8,
    shards: u8,
    shard_len: usize,
}

/// The frames of one message, made as they are asked for, in the order in which they should be sent.
#[derive(Clone, Debug)]
pub struct Outgoing<'m> {
    content: Content<'m>,
    next: u8,
    shards: u8,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no allocator to put it elsewhere")]
enum Content<'m> {
    Whole { message: &'m [u8], escape: bool },
    Fragments(Fragments<'m>),
}

impl Outgoing<'_> {
    /// Writes the next frame to the front of `buffer`; `None` after the last one.
    ///
    /// The work is that of one shard: a copy, or as many products as the message has octets.
    ///
    /// # Errors
    /// [`SendError::Buffer`] if the frame has no room, which can be repeated; [`SendError::TooLate`] if the message's
    /// lifetime is over: what is left must not be sent any more.
    pub fn next_frame<'b>(&mut self, now: Instant, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, SendError> {
        if self.next == self.shards {
            return Ok(None);
        }
        let (needed, available) = (self.frame_len(), buffer.len());
        let Some(frame) = buffer.get_mut(..needed) else {
            return Err(SendError::Buffer { needed, available });
        };
        match &self.content {
            Content::Whole { message, escape } => {
                let (head, body) = frame.split_at_mut(usize::from(*escape));
                head.fill(ESCAPE);
                body.copy_from_slice(message);
            }
            Content::Fragments(fragments) if now < fragments.expires => fragments.write(self.next, frame),
            Content::Fragments(_) => return Err(SendError::TooLate),
        }
        self.next += 1;
        Ok(Some(frame))
    }

    /// The number of frames in all.
    pub fn frames(&self) -> usize {
        self.shards.into()
    }

    /// The number of frames that were not asked for yet.
    pub fn remaining(&self) -> usize {
        (self.shards - self.next).into()
    }

    /// The number of frames that have to arrive, whichever they are.
    pub fn needed(&self) -> usize {
        match &self.content {
            Content::Whole { .. } => 1,
            Content::Fragments(fragments) => fragments.data.into(),
        }
    }

    /// Octets in each frame.
    pub fn frame_len(&self) -> usize {
        match &self.content {
            Content::Whole { message, escape } => message.len() + usize::from(*escape),
            Content::Fragments(fragments) => fragments.header(0).len() + fragments.shard_len,
        }
    }
}

#[derive(Clone, Debug)]
struct Fragments<'m> {
    message: &'m [u8],
    trailer: [u8; TRAILER],
    id: MessageId,
    data: u8,
    shard_len: usize,
    expires: Instant,
    /// Only if there is parity.
    code: Option<Code>,
}

impl<'m> Fragments<'m> {
    fn new(message: &'m [u8], plan: &Plan, id: MessageId, expires: Instant) -> Self {
        let data = usize::from(plan.data);
        let padding = data * plan.shard_len - TRAILER - message.len();
        let [a, b, c, d] = Checksum::Crc32.of(message).to_be_bytes();
        // There is less padding than shards, because the shards are as short as they can be.
        let trailer = [padding as u8, a, b, c, d];
        let code = if plan.shards > plan.data { Code::new(data).ok() } else { None };
        Self { message, trailer, id, data: plan.data, shard_len: plan.shard_len, expires, code }
    }

    fn header(&self, index: u8) -> Header {
        Header { id: self.id, data: self.data, index }
    }

    fn write(&self, index: u8, frame: &mut [u8]) {
        let shard = self.header(index).write(frame);
        shard.fill(0);
        match &self.code {
            Some(code) if index >= self.data => {
                let factors = code.factors(index);
                for point in 0..self.data {
                    for (offset, piece) in self.pieces(point) {
                        factors.add(point, piece, &mut shard[offset..]);
                    }
                }
            }
            _ => {
                for (offset, piece) in self.pieces(index) {
                    shard[offset..offset + piece.len()].copy_from_slice(piece);
                }
            }
        }
    }

    /// What of message and trailer lies in a data shard, and where in it; the rest is padding.
    fn pieces(&self, point: u8) -> [(usize, &[u8]); 2] {
        let start = usize::from(point) * self.shard_len;
        let trailer_start = usize::from(self.data) * self.shard_len - TRAILER;
        [(0, self.message), (trailer_start, &self.trailer)].map(|(at, part)| {
            let from = start.saturating_sub(at).min(part.len());
            let to = (start + self.shard_len).saturating_sub(at).min(part.len());
            (at.saturating_sub(start).min(self.shard_len), &part[from..to])
        })
    }
}

/// Why a message or a frame of it cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message does not fit into 255 fragments, parity included.
    #[error("message of {len} octets needs more than 255 frames of {mtu} octets")]
    TooLong {
        /// Octets of the message.
        len: usize,
        /// Octets of the longest frame.
        mtu: u16,
    },
    /// A limit was reached: every id belongs to a message that a receiver may still collect.
    #[error("no id is free before {} µs", .retry_at.as_micros())]
    NoFreeId {
        /// When one is.
        retry_at: Instant,
    },
    /// The message's lifetime is over.
    #[error("lifetime of the message is over")]
    TooLate,
    /// The API was misused: the buffer is shorter than a frame.
    #[error("frame of {needed} octets does not fit into {available}")]
    Buffer {
        /// Octets of the frame.
        needed: usize,
        /// Octets of the buffer.
        available: usize,
    },
}
