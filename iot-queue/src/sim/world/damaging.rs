//! What the medium does to what it holds.

use alloc::vec::Vec;

use super::World;
use crate::config::Unreadable;
use crate::format::{record, segment};
use crate::sim::model::Damage;
use crate::storage::SegmentNumber;

/// How near to another flipped bit of its segment one may be: two in one header are more than its checksum corrects.
const FLIPS_APART: u32 = 64;

impl World {
    /// Flips a bit of the medium: often where few octets matter much. Sometimes it flips another, where a record says what
    /// nothing else does, or a footer what would have to be found out from the records.
    pub(super) fn flip_bit(&mut self) {
        let Some((segment, len)) = self.any_segment() else { return };
        let octet = match self.random.below(9) {
            0 => self.random.below(64),
            1 => 512 + self.random.below(64),
            2 => u64::from(len) - 17 - self.random.below(16),
            // Where the records end, in the trailer.
            4 => u64::from(len) - 24 + self.random.below(2),
            3 => u64::from(len) - 1 - self.random.below(192),
            _ => self.random.below(u64::from(len)),
        };
        self.flip(segment, octet as u32);
        if self.random.happens(1, 2) {
            let other = if self.random.happens(1, 2) { self.newest_segment() } else { Some((segment, len)) };
            let Some((segment, len)) = other else { return };
            let octets = self.disk.octets(segment);
            let octet = match self.random.below(4) {
                0 | 1 => self.any_record(&octets, |_| true) + self.random.below(record::HEADER_LEN.into()),
                2 => self.any_record(&octets, |kind| kind != record::MESSAGE) + u64::from(record::HEADER_LEN),
                _ => u64::from(len) - 65 - self.random.below(64),
            };
            self.flip(segment, octet as u32);
        }
    }

    fn flip(&mut self, segment: SegmentNumber, octet: u32) {
        let is_near = |&(other, at): &(SegmentNumber, u32)| other == segment && at.abs_diff(octet) < FLIPS_APART;
        if self.flips.iter().any(is_near) {
            return;
        }
        let octets = self.disk.octets(segment);
        if self.disk.flip_bit(segment, octet, self.random.below(8) as u32) {
            self.flips.push((segment, octet));
            self.model.damage = self.model.damage.max(Damage::Bits);
            self.model.hit(&octets, octet as usize);
        }
    }

    /// Where a record of such a kind begins, as far as its tag tells; where the first one does if there is none.
    fn any_record(&mut self, octets: &[u8], is_kind: impl Fn(u8) -> bool) -> u64 {
        let first = segment::RECORDS as usize;
        let is_one = |&at: &usize| octets[at] == octets[first] && is_kind(octets[at + 4]);
        let places: Vec<_> = (first..octets.len() - record::HEADER_LEN as usize).step_by(8).filter(is_one).collect();
        if places.is_empty() { first as u64 } else { places[self.random.index(places.len())] as u64 }
    }

    /// The segment whose life began last, by its header.
    fn newest_segment(&self) -> Option<(SegmentNumber, u32)> {
        let octets = |number| self.disk.octets(SegmentNumber::new(number));
        let generation =
            |number: &u32| octets(*number).get(24..32).map(|octets| octets.iter().rev().copied().collect::<Vec<_>>());
        let newest = (0..self.segments).max_by_key(generation)?;
        let len = octets(newest).len() as u32;
        (len >= crate::config::MIN_SEGMENT_LEN).then_some((SegmentNumber::new(newest), len))
    }

    pub(super) fn zero_sector(&mut self) {
        let Some((segment, len)) = self.any_segment() else { return };
        let sector = self.random.below(u64::from(len / 512)) as u32 * 512;
        if self.disk.zero_sector(segment, sector..sector + 512) {
            self.model.damage = Damage::Sector;
        }
    }

    /// What cannot be read is lost when it is given up. Otherwise it is lost to nobody; but what it says of leases, cursors
    /// and acknowledgements does not count as long as it lasts.
    pub(super) fn hide_sector(&mut self) {
        let Some((segment, len)) = self.any_segment() else { return };
        let sector = self.random.below(u64::from(len / 512)) as u32 * 512;
        if self.disk.hide_sector(segment, sector..sector + 512) {
            let given_up = self.setup.unreadable == Unreadable::GiveUp;
            self.model.damage = self.model.damage.max(if given_up { Damage::Sector } else { Damage::Bits });
        }
    }

    fn any_segment(&mut self) -> Option<(SegmentNumber, u32)> {
        let segment = SegmentNumber::new(self.random.below(self.segments.into()) as u32);
        let len = self.disk.octets(segment).len() as u32;
        (len >= crate::config::MIN_SEGMENT_LEN).then_some((segment, len))
    }
}
