//! What stands between a message's position and its payload: items of a type, a length and a value.

use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Instant;

use super::octets;
use crate::message::{Lane, Message, MessageId};

const KEY: u8 = 1;
const LANE: u8 = 2;
const ID: u8 = 3;
const APPENDED_AT: u8 = 4;
const DELAY: u8 = 5;
const TIME_TO_LIVE: u8 = 6;

/// Octets of the longest key: what the length of an item can tell.
pub(crate) const MAX_KEY_LEN: usize = u8::MAX as usize;

/// Octets of an item's type and length.
const ITEM_HEADER: u32 = 2;

/// What the items of a message say. An item that is missing, unknown or of an impossible length says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes<'m> {
    pub(crate) key: Option<&'m [u8]>,
    pub(crate) lane: Lane,
    pub(crate) id: Option<MessageId>,
    /// When the message was appended, by the queue's own clock: only of messages that have a delay or a time to live.
    pub(crate) appended_at: Instant,
    pub(crate) delay: Duration,
    pub(crate) time_to_live: Option<Duration>,
}

impl<'m> Attributes<'m> {
    /// What a message says that is appended at `now` of the queue's own clock.
    pub(crate) fn of(message: &Message<'m>, now: Instant) -> Self {
        let &Message { key, lane, id, delay, time_to_live, .. } = message;
        let timed = !delay.is_zero() || time_to_live.is_some();
        let appended_at = if timed { now } else { Instant::START };
        Self { key, lane, id, appended_at, delay, time_to_live }
    }

    pub(crate) fn decode(mut items: &'m [u8]) -> Self {
        let mut attributes = Self::default();
        while let [kind, len, rest @ ..] = items {
            let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
            items = rest;
            let micros = || value.try_into().map(u64::from_le_bytes).ok();
            match *kind {
                KEY if !value.is_empty() => attributes.key = Some(value),
                LANE if value.len() == 1 => attributes.lane = Lane::new(value[0]).unwrap_or_default(),
                ID if value.len() == MessageId::LEN => {
                    attributes.id = Some(MessageId::from_bytes(octets(value, 0)));
                }
                APPENDED_AT => attributes.appended_at = Instant::from_micros(micros().unwrap_or(0)),
                DELAY => attributes.delay = Duration::from_micros(micros().unwrap_or(0)),
                TIME_TO_LIVE => attributes.time_to_live = micros().map(Duration::from_micros),
                _ => {}
            }
        }
        attributes
    }
}

/// Octets that [`encode`] writes.
pub(crate) fn items_len(message: &Message<'_>) -> u32 {
    let times = u32::from(!message.delay.is_zero()) + u32::from(message.time_to_live.is_some());
    let key = message.key.map_or(0, |key| ITEM_HEADER + key.len() as u32);
    let lane = if message.lane == Lane::default() { 0 } else { ITEM_HEADER + 1 };
    let id = message.id.map_or(0, |_| ITEM_HEADER + MessageId::LEN as u32);
    let times = if times > 0 { (times + 1) * (ITEM_HEADER + 8) } else { 0 };
    key + lane + id + times
}

/// Appends the items of a message that is appended at `now` of the queue's own clock.
pub(crate) fn encode(message: &Message<'_>, now: Instant, out: &mut Vec<u8>) {
    let mut item = |kind: u8, value: &[u8]| {
        out.extend_from_slice(&[kind, value.len() as u8]);
        out.extend_from_slice(value);
    };
    if let Some(key) = message.key {
        item(KEY, key);
    }
    if message.lane != Lane::default() {
        item(LANE, &[message.lane.number()]);
    }
    if let Some(id) = message.id {
        item(ID, id.as_bytes());
    }
    let (delay, time_to_live) = (message.delay, message.time_to_live);
    if !delay.is_zero() || time_to_live.is_some() {
        item(APPENDED_AT, &now.as_micros().to_le_bytes());
    }
    if !delay.is_zero() {
        item(DELAY, &micros(delay).to_le_bytes());
    }
    if let Some(time_to_live) = time_to_live {
        item(TIME_TO_LIVE, &micros(time_to_live).to_le_bytes());
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_and_have_the_length_that_was_foretold() {
        let now = Instant::from_micros(77);
        let second = Duration::from_secs(1);
        let plain = Message::new(b"x");
        let lane = Lane::new(7).expect("there are eight");
        for message in [
            plain,
            plain.key(b"pump"),
            plain.lane(lane),
            plain.id(MessageId::from_bytes([9; 16])),
            plain.delay(second),
            plain.time_to_live(second * 3),
            plain.key(&[1; 255]).lane(lane).id(MessageId::from_bytes([1; 16])).delay(second).time_to_live(second),
        ] {
            let mut items = Vec::new();
            encode(&message, now, &mut items);
            assert_eq!(items.len() as u32, items_len(&message));
            let read = Attributes::decode(&items);
            assert_eq!((read.key, read.lane, read.id), (message.key, message.lane, message.id));
            assert_eq!((read.delay, read.time_to_live), (message.delay, message.time_to_live));
            let timed = !read.delay.is_zero() || read.time_to_live.is_some();
            assert_eq!(read.appended_at, if timed { now } else { Instant::START });
        }
    }

    #[test]
    fn passes_over_what_it_does_not_know_and_what_is_cut_off() {
        let items = [200, 2, 1, 1, LANE, 1, 3, ID, 16, 1];
        assert_eq!(Attributes::decode(&items).lane.number(), 3);
        assert_eq!(Attributes::decode(&items).id, None);
        assert_eq!(Attributes::decode(&[LANE, 1, 8]), Attributes::default());
        assert_eq!(Attributes::decode(&[KEY, 0, LANE]), Attributes::default());
    }
}
