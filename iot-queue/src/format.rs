//! The bytes of the log, as `docs/formats/queue.md` defines them: all numbers little-endian.

pub(crate) mod control;
pub(crate) mod cursor;
pub(crate) mod metadata;
pub(crate) mod record;
pub(crate) mod segment;

/// The version of the format that this crate writes, and the only one that it reads.
pub(crate) const VERSION: u16 = 1;

/// Records begin at multiples of so many octets.
pub(crate) const ALIGNMENT: u32 = 8;

/// Octets that acknowledgements need, at the most, for one message that nobody acknowledged yet, where so many octets are
/// written together: a record of its own, and its range in the footer. See [`record::ranges_len`] and
/// [`segment::footer_len`].
pub(crate) const fn acknowledgement_cost(granule: u32) -> u32 {
    record::ranges_len(1).next_multiple_of(granule) + segment::RANGE_LEN
}

/// `len`, lengthened to the next multiple of [`ALIGNMENT`].
pub(crate) const fn aligned(len: u32) -> u32 {
    len.next_multiple_of(ALIGNMENT)
}

/// `len`, shortened to the next multiple of [`ALIGNMENT`].
pub(crate) const fn aligned_down(len: u32) -> u32 {
    len - len % ALIGNMENT
}

/// The `N` octets of `bytes` from `at` on; the caller has made sure of the length.
pub(crate) fn octets<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut octets = [0; N];
    octets.copy_from_slice(&bytes[at..at + N]);
    octets
}
