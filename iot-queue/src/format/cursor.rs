//! Control records of cursors: what one is, where it stands, and that it is gone.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::octets;
use crate::cursor::MaxLag;

/// The payload of [`CURSOR`](super::control::CURSOR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CursorRecord {
    pub(crate) place: CursorPlace,
    pub(crate) max_lag: MaxLag,
    pub(crate) name: String,
}

/// Where a cursor stands: an entry of [`CURSOR_PLACES`](super::control::CURSOR_PLACES).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CursorPlace {
    /// Names the cursor, as long as it exists.
    pub(crate) slot: u32,
    /// Everything below was read and done with.
    pub(crate) position: u64,
    /// It was moved on to here, and has not passed it yet if this is more than the position.
    pub(crate) floor: u64,
}

impl CursorRecord {
    /// Octets before the name.
    pub(crate) const NAME_AT: usize = 48;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(Self::NAME_AT + self.name.len());
        payload.extend_from_slice(&self.place.slot.to_le_bytes());
        payload.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        payload.extend_from_slice(&self.place.position.to_le_bytes());
        payload.extend_from_slice(&self.place.floor.to_le_bytes());
        for limit in [self.max_lag.messages, self.max_lag.octets, micros(self.max_lag.age)] {
            payload.extend_from_slice(&limit.unwrap_or(u64::MAX).to_le_bytes());
        }
        payload.extend_from_slice(self.name.as_bytes());
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (fixed, name) = payload.split_at_checked(Self::NAME_AT)?;
        let word = |at| u64::from_le_bytes(octets(fixed, at));
        let limit = |at| Some(word(at)).filter(|&limit| limit != u64::MAX);
        let place = CursorPlace { slot: u32::from_le_bytes(octets(fixed, 0)), position: word(8), floor: word(16) };
        let max_lag = MaxLag { messages: limit(24), octets: limit(32), age: limit(40).map(Duration::from_micros) };
        let len = u32::from_le_bytes(octets(fixed, 4)) as usize;
        let name = core::str::from_utf8(name).ok().filter(|name| name.len() == len)?;
        Some(Self { place, max_lag, name: name.into() })
    }
}

impl CursorPlace {
    pub(crate) const LEN: usize = 20;

    /// The payload of a record of these places.
    pub(crate) fn encode_all(places: &[Self]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(places.len() * Self::LEN);
        for place in places {
            payload.extend_from_slice(&place.slot.to_le_bytes());
            payload.extend_from_slice(&place.position.to_le_bytes());
            payload.extend_from_slice(&place.floor.to_le_bytes());
        }
        payload
    }

    pub(crate) fn decode_all(payload: &[u8]) -> impl Iterator<Item = Self> + '_ {
        payload.chunks_exact(Self::LEN).map(|entry| Self {
            slot: u32::from_le_bytes(octets(entry, 0)),
            position: u64::from_le_bytes(octets(entry, 4)),
            floor: u64::from_le_bytes(octets(entry, 12)),
        })
    }
}

/// The payload of [`CURSOR_GONE`](super::control::CURSOR_GONE).
pub(crate) fn encode_gone(slot: u32) -> [u8; 4] {
    slot.to_le_bytes()
}

pub(crate) fn decode_gone(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_le_bytes)
}

fn micros(age: Option<Duration>) -> Option<u64> {
    age.map(|age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_no_part_of_one_does() {
        let place = CursorPlace { slot: 3, position: 5, floor: u64::MAX };
        let max_lag = MaxLag::UNLIMITED.messages(7).age(Duration::from_micros(9));
        let record = CursorRecord { place, max_lag, name: "Spiegel für später".into() };
        let payload = record.encode();
        assert_eq!(CursorRecord::decode(&payload), Some(record));
        assert!((0..payload.len()).all(|end| CursorRecord::decode(&payload[..end]).is_none()));
        let places = [place, CursorPlace { slot: 0, position: 1, floor: 0 }];
        let payload = CursorPlace::encode_all(&places);
        assert_eq!(CursorPlace::decode_all(&payload).collect::<Vec<_>>(), places);
        assert_eq!((decode_gone(&encode_gone(7)), decode_gone(&[7, 0, 0])), (Some(7), None));
    }
}
