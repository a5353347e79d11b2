//! The octets of a claim, and what it says when more is dropped.

use alloc::vec::Vec;

use iot_core::{DeviceId, Incarnation, Position, StreamId};

use super::{DroppedFeed, GapRecord};
use crate::format::octets;
use crate::offset::{Epoch, Gap, GapCause, Offset};

/// Octets of a claim before its feeds.
pub(crate) const FIXED_LEN: usize = 48;
/// Octets of a feed in a claim.
pub(crate) const FEED_LEN: usize = 68;

/// The first octets of every claim.
const MAGIC: [u8; 4] = *b"GAP\x01";

impl GapRecord {
    /// A record of nothing, from this place on.
    pub(crate) fn beginning_at(number: u64) -> Self {
        let gap = Gap { from: Offset::new(number), until: Offset::new(number), cause: GapCause::Dropped };
        Self { gap, messages: 0, feeds: Vec::new(), unnamed: 0, claim: Vec::new(), signature: Vec::new() }
    }

    /// Adds a message, in a record of at most so many feeds.
    pub(crate) fn add(&mut self, position: Option<&Position>, max_feeds: usize) {
        self.messages = self.messages.saturating_add(1);
        let Some(position) = position else {
            self.unnamed = self.unnamed.saturating_add(1);
            return;
        };
        let has_room = self.feeds.len() < max_feeds;
        let is_of = |feed: &&mut DroppedFeed| {
            (feed.source, feed.stream, feed.incarnation) == (position.source, position.stream, position.incarnation)
        };
        let (from, until) = (position.sequence, position.sequence.saturating_add(1));
        match self.feeds.iter_mut().find(is_of) {
            Some(feed) => {
                (feed.from, feed.until) = (feed.from.min(from), feed.until.max(until));
                feed.messages = feed.messages.saturating_add(1);
            }
            None if has_room => {
                let Position { source, stream, incarnation, .. } = *position;
                self.feeds.push(DroppedFeed { source, stream, incarnation, from, until, messages: 1 });
            }
            None => self.unnamed = self.unnamed.saturating_add(1),
        }
    }

    /// The octets that a signature covers.
    pub(crate) fn encode_claim(&self, epoch: Epoch) -> Vec<u8> {
        let mut claim = Vec::with_capacity(FIXED_LEN + self.feeds.len() * FEED_LEN);
        claim.extend_from_slice(&MAGIC);
        claim.extend_from_slice(&(self.feeds.len() as u32).to_le_bytes());
        claim.extend_from_slice(epoch.as_bytes());
        for word in [self.gap.from.number(), self.gap.until.number(), self.messages, self.unnamed] {
            claim.extend_from_slice(&word.to_le_bytes());
        }
        for feed in &self.feeds {
            claim.extend_from_slice(feed.source.as_bytes());
            claim.extend_from_slice(&feed.stream.number().to_le_bytes());
            claim.extend_from_slice(feed.incarnation.as_bytes());
            for word in [feed.from, feed.until, feed.messages] {
                claim.extend_from_slice(&word.to_le_bytes());
            }
        }
        claim
    }

    /// Reads a claim that somebody signed: what a receiver does with it after he has checked the signature. Gives the
    /// log that it is about, too. Nothing when these octets are no claim.
    pub fn decode_claim(claim: &[u8], signature: &[u8]) -> Option<(Epoch, Self)> {
        let (fixed, feeds) = claim.split_at_checked(FIXED_LEN)?;
        let word = |bytes: &[u8], at| u64::from_le_bytes(octets(bytes, at));
        let count = u32::from_le_bytes(octets(fixed, 4)) as usize;
        let (from, until) = (Offset::new(word(fixed, 16)), Offset::new(word(fixed, 24)));
        if fixed[..4] != MAGIC || Some(feeds.len()) != count.checked_mul(FEED_LEN) || from > until {
            return None;
        }
        let feed = |bytes: &[u8]| DroppedFeed {
            source: DeviceId::from_bytes(octets(bytes, 0)),
            stream: StreamId::new(u32::from_le_bytes(octets(bytes, 32))),
            incarnation: Incarnation::from_bytes(octets(bytes, 36)),
            from: word(bytes, 44),
            until: word(bytes, 52),
            messages: word(bytes, 60),
        };
        let record = Self {
            gap: Gap { from, until, cause: GapCause::Dropped },
            messages: word(fixed, 32),
            feeds: feeds.chunks_exact(FEED_LEN).map(feed).collect(),
            unnamed: word(fixed, 40),
            claim: claim.to_vec(),
            signature: signature.to_vec(),
        };
        Some((Epoch::from_bytes(octets(fixed, 8)), record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(source: u8, sequence: u64) -> Position {
        Position {
            source: DeviceId::from_bytes([source; 32]),
            stream: StreamId::new(7),
            incarnation: Incarnation::from_bytes([source; 8]),
            sequence,
        }
    }

    #[test]
    fn one_record_names_many_sources_and_counts_those_that_it_has_no_room_for() {
        let mut record = GapRecord::beginning_at(4);
        for (source, sequence) in [(1, 10), (2, 5), (1, 12), (3, 1), (2, 4)] {
            record.add(Some(&position(source, sequence)), 2);
        }
        record.add(None, 2);
        record.gap.until = Offset::new(10);
        let feeds: Vec<_> = record.feeds.iter().map(|feed| (feed.from, feed.until, feed.messages)).collect();
        assert_eq!((record.messages, record.unnamed, feeds), (6, 2, [(10, 13, 2), (4, 6, 2)].to_vec()));

        let epoch = Epoch::from_bytes([9; 8]);
        record.claim = record.encode_claim(epoch);
        record.signature = Vec::from([1, 2, 3]);
        let read = GapRecord::decode_claim(&record.claim, &record.signature);
        assert_eq!(read, Some((epoch, record.clone())));
        for end in 0..record.claim.len() {
            assert_eq!(GapRecord::decode_claim(&record.claim[..end], &[]), None);
        }
        let mut longer = record.claim.clone();
        longer.push(0);
        assert_eq!(GapRecord::decode_claim(&longer, &[]), None);
    }
}
