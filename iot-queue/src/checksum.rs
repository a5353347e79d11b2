//! CRC32C (Castagnoli, as in RFC 3720 §12.1), and what a single flipped bit looks like to it.
//!
//! With `std` the `crc32c` crate computes it by the processor's instructions; that crate needs `std`, so without it a
//! table of 1 KiB does the same work a byte at a time. Both give the same numbers.

/// What became of a block that carries its own CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    /// The CRC matches.
    Intact,
    /// One bit was wrong, and has been put right.
    Corrected,
    /// More than one bit is wrong.
    Damaged,
}

/// Continues the CRC32C `seed` over `bytes`; a seed of 0 begins one.
#[cfg(feature = "std")]
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(seed, bytes)
}

/// Continues the CRC32C `seed` over `bytes`; a seed of 0 begins one.
#[cfg(not(feature = "std"))]
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    by_table(seed, bytes)
}

/// Whether the last four octets of `block` are the CRC32C of the others, begun from `seed`.
pub(crate) fn matches(block: &[u8], seed: u32) -> bool {
    block.split_last_chunk::<4>().is_some_and(|(body, stored)| crc32c(seed, body) == u32::from_le_bytes(*stored))
}

/// Like [`matches`], but puts a single wrong bit right, wherever in the block it is.
///
/// Tries each bit, so it is meant for headers of a few dozen octets at places where a header is known to stand.
pub(crate) fn check_or_correct(block: &mut [u8], seed: u32) -> Integrity {
    if matches(block, seed) {
        return Integrity::Intact;
    }
    for bit in 0..block.len() * 8 {
        block[bit / 8] ^= 1 << (bit % 8);
        if matches(block, seed) {
            return Integrity::Corrected;
        }
        block[bit / 8] ^= 1 << (bit % 8);
    }
    Integrity::Damaged
}

#[cfg(any(test, not(feature = "std")))]
fn by_table(seed: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!seed, |crc, octet| TABLE[usize::from(crc as u8 ^ octet)] ^ (crc >> 8))
}

#[cfg(any(test, not(feature = "std")))]
static TABLE: [u32; 256] = {
    /// The Castagnoli polynomial with its bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720 §B.4.
    #[test]
    fn matches_published_vectors() {
        let ascending: [u8; 32] = core::array::from_fn(|index| index as u8);
        for (bytes, crc) in [(&[0; 32], 0x8a91_36aa), (&[0xff; 32], 0x62a8_ab43), (&ascending, 0x46dd_794e)] {
            assert_eq!(crc32c(0, bytes), crc);
            assert_eq!(by_table(0, bytes), crc);
        }
    }

    #[test]
    fn table_and_instructions_agree_when_continued() {
        let bytes: [u8; 97] = core::array::from_fn(|index| (index * 31) as u8);
        for split in 0..bytes.len() {
            let (left, right) = bytes.split_at(split);
            assert_eq!(by_table(by_table(7, left), right), crc32c(7, &bytes));
        }
    }

    #[test]
    fn corrects_each_single_bit_and_no_pair() {
        let mut block = [0x5a; 32];
        let crc = crc32c(9, &block[..28]);
        block[28..].copy_from_slice(&crc.to_le_bytes());
        let good = block;
        assert_eq!(check_or_correct(&mut block, 9), Integrity::Intact);
        for bit in 0..256 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check_or_correct(&mut block, 9), Integrity::Corrected);
            assert_eq!(block, good);
        }
        for bit in 1..256 {
            let mut twice = good;
            twice[0] ^= 1;
            twice[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check_or_correct(&mut twice, 9), Integrity::Damaged);
        }
    }
}
