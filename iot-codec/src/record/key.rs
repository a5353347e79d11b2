use crate::cbor::NO_KEY;

/// Where a key stands in the order of CBOR: 0, 1, 2, ..., then -1, -2, ...
///
/// Keys that no record can have, from 2^32-1 and from -2^32, share a place with others of them.
#[inline]
pub(super) const fn rank(is_negative: bool, argument: u64) -> u64 {
    let low = if argument > u32::MAX as u64 { u32::MAX as u64 } else { argument };
    (is_negative as u64) << 32 | low
}

/// The rank of a key that a record can have; [`NO_KEY`] lies behind all keys.
#[inline]
pub(super) const fn rank_of(key: i32) -> u64 {
    if key == NO_KEY { u64::MAX } else { rank(key < 0, (key ^ key >> 31) as u64) }
}

/// The encoding, where it is a single byte.
#[cfg(target_pointer_width = "64")]
#[inline(always)]
pub(super) const fn short(key: i32) -> Option<u8> {
    match key {
        0..24 => Some(key as u8),
        -24..0 => Some(0x20 | !key as u8),
        _ => None,
    }
}

/// Refuses, while compiling, keys that are not in the order of CBOR.
///
/// # Panics
/// When they are not.
pub const fn assert_ascending(keys: &[i32]) {
    let mut index = 0;
    while index < keys.len() {
        assert!(keys[index] != i32::MIN, "record!: the least i32 cannot be a key");
        assert!(
            index == 0 || rank_of(keys[index - 1]) < rank_of(keys[index]),
            "record!: keys must be distinct and in CBOR order: 0, 1, 2, ... and then -1, -2, ..."
        );
        index += 1;
    }
}
