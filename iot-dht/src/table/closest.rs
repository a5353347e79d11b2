use crate::id::{Bit, Id};
use crate::table::{Entry, Table, TableConfig};

/// Entries in ascending distance from a target; see [`Table::closest`].
///
/// Every entry of a bucket differs from the table's own identifier first in the same bit, so whole buckets are ordered
/// by distance before any entry is looked at: those whose bit is set in `own ^ target` come first, from the most
/// significant bit down, then the others from the least significant bit up. Only the buckets that the caller asks for
/// are sorted.
#[derive(Clone, Debug)]
pub struct Closest<'t, const N: usize> {
    table: &'t Table<N>,
    target: Id<N>,
    relative: Id<N>,
    pass: Pass,
    /// The next bucket to look at in the first pass; one past it in the second.
    bucket: usize,
    /// Where the sorted bucket's entries begin.
    start: usize,
    /// Of each of its entries, the first bits of the distance and, in the last, its place in the bucket.
    sorted: [u64; TableConfig::MAX_BUCKET_SIZE],
    taken: usize,
    len: usize,
}

/// Bits of a place in a bucket.
const PLACE_BITS: u32 = TableConfig::MAX_BUCKET_SIZE.ilog2();
const PLACE: u64 = TableConfig::MAX_BUCKET_SIZE as u64 - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Near,
    Far,
}

impl<'t, const N: usize> Closest<'t, N> {
    pub(super) fn new(table: &'t Table<N>, target: &Id<N>) -> Self {
        Self {
            table,
            target: *target,
            relative: Id::from_bytes(*table.own.distance(target).as_bytes()),
            pass: Pass::Near,
            bucket: 0,
            start: 0,
            sorted: [0; TableConfig::MAX_BUCKET_SIZE],
            taken: 0,
            len: 0,
        }
    }

    /// Sorts the next bucket that is not empty, if there is one.
    fn advance(&mut self) -> Option<()> {
        let buckets = &self.table.buckets;
        loop {
            let bucket = match self.pass {
                Pass::Near => match buckets.get(self.bucket) {
                    Some(bucket) => {
                        self.bucket += 1;
                        bucket
                    }
                    None => {
                        self.pass = Pass::Far;
                        continue;
                    }
                },
                Pass::Far => {
                    self.bucket = self.bucket.checked_sub(1)?;
                    &buckets[self.bucket]
                }
            };
            let near = self.relative.bit(usize::from(bucket.index)) == Bit::One;
            if near == (self.pass == Pass::Near) {
                self.sort(usize::from(bucket.start), usize::from(bucket.len));
                return Some(());
            }
        }
    }

    fn sort(&mut self, start: usize, len: usize) {
        let target = self.target.prefix();
        let entries = &self.table.entries[start..start + len];
        for (place, (slot, entry)) in self.sorted.iter_mut().zip(entries).enumerate() {
            *slot = (entry.id.prefix() ^ target) & !PLACE | place as u64;
        }
        let sorted = &mut self.sorted[..len];
        sorted.sort_unstable();
        // Identifiers that share so many bits are made by an attacker, not met by chance, and must still be in order.
        if sorted.windows(2).any(|pair| pair[0] >> PLACE_BITS == pair[1] >> PLACE_BITS) {
            sorted.sort_unstable_by_key(|slot| entries[(*slot & PLACE) as usize].id.distance(&self.target));
        }
        self.start = start;
        self.taken = 0;
        self.len = len;
    }
}

impl<'t, const N: usize> Iterator for Closest<'t, N> {
    type Item = &'t Entry<N>;

    fn next(&mut self) -> Option<&'t Entry<N>> {
        if self.taken == self.len {
            self.advance()?;
        }
        let place = (self.sorted[self.taken] & PLACE) as usize;
        self.taken += 1;
        Some(&self.table.entries[self.start + place])
    }
}
