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
    sorted: [(u64, u32); TableConfig::MAX_BUCKET_SIZE],
    taken: usize,
    len: usize,
}

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
            sorted: [(0, 0); TableConfig::MAX_BUCKET_SIZE],
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
        for (slot, (index, entry)) in self.sorted.iter_mut().zip(entries.iter().enumerate()) {
            *slot = (entry.id.prefix() ^ target, (start + index) as u32);
        }
        let sorted = &mut self.sorted[..len];
        sorted.sort_unstable();
        // Identifiers that share eight octets are made by an attacker, not met by chance, and must still be in order.
        if sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            let all = &self.table.entries;
            sorted.sort_unstable_by_key(|(_, index)| all[*index as usize].id.distance(&self.target));
        }
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
        let (_, index) = self.sorted[self.taken];
        self.taken += 1;
        Some(&self.table.entries[index as usize])
    }
}
