//! What frames the records of a segment: two copies of a header before them, and, once it is sealed, a footer behind.

use alloc::vec::Vec;
use core::ops::Range;

use super::octets;
use crate::checksum::{self, Integrity};
#[cfg(iot_fault)]
use crate::fault::{self, Guard};
use crate::offset::Epoch;

/// Octets of one copy of the header, and of the trailer that ends a footer.
pub(crate) const BLOCK_LEN: usize = 64;
/// Where the second copy of the header stands: in another sector than the first, so that no one sector holds both.
const SECOND_COPY: usize = 512;
/// Where the first record stands.
pub(crate) const RECORDS: u32 = 1024;
/// Octets of a range of acknowledged messages.
pub(crate) const RANGE_LEN: u32 = 16;

const HEADER_MAGIC: [u8; 8] = *b"IOTQUEUE";
const TRAILER_MAGIC: [u8; 8] = *b"IOTQSEAL";

/// A flag of a trailer.
const CLOSED: u8 = 1;

/// In an index: a record begins at a multiple of 8, and the bits below are the lowest flags of the record.
pub(crate) const PLACE_FLAGS: u32 = super::ALIGNMENT - 1;
/// Octets of a message that was moved here.
pub(crate) const GUEST_LEN: u32 = 16;
/// In place of a place: the message does not stand here. In an index that an opening makes, the flags of its record may be
/// added.
pub(crate) const ELSEWHERE: u32 = 0;
/// In an index: the message was damaged, although a sync had covered it.
pub(crate) const DAMAGED: u32 = u32::MAX;
/// In an index: the message is missing, and may never have been durable.
pub(crate) const UNCERTAIN: u32 = u32::MAX - 1;

/// What a segment says about one of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The opening that began this life: as for records, it keeps two torn headers from making one.
    pub(crate) opening: u32,
    pub(crate) len: u32,
    /// Records that are synced together may begin at the next multiple of so many octets: 0 or a power of two.
    pub(crate) page_len: u32,
    pub(crate) epoch: Epoch,
    /// Counts the lives of all segments of a queue, so that it orders them, and no two lives share it.
    pub(crate) generation: u64,
    /// The number of the first message.
    pub(crate) first: u64,
    /// Every generation below this one had been retired when this life began.
    pub(crate) retired_below: u64,
    /// That an earlier life ended, because a write to it or a sync of it failed.
    pub(crate) cut: Option<Cut>,
}

/// Where a life ends, whatever stands behind: that stands again in the life whose header says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) end: u32,
    /// The low half of the generation of the life that ended.
    pub(crate) generation: u32,
    /// Whether a record of this life has to say what is uncertain in the one that ended.
    pub(crate) is_doubtful: bool,
}

/// What the octets where a header should be turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderBlock {
    Valid(SegmentHeader),
    Newer { version: u16 },
    Foreign,
    Blank,
    Unreadable,
}

impl SegmentHeader {
    /// Where this header says that the life of `other` ends.
    pub(crate) fn end_of(&self, other: &Self) -> Option<u32> {
        self.cut.filter(|cut| cut.generation == other.generation as u32).map(|cut| cut.end)
    }

    /// What the checksums of this life's records begin from.
    ///
    /// CRC32C is a bijection on any 4 octets of its input, so two generations of one epoch less than 2^32 apart never
    /// share a seed.
    pub(crate) fn seed(&self) -> u32 {
        checksum::crc32c(checksum::crc32c(0, self.epoch.as_bytes()), &self.generation.to_le_bytes())
    }

    /// Everything before the first record.
    pub(crate) fn encode(&self) -> [u8; RECORDS as usize] {
        let mut block = [0; BLOCK_LEN];
        block[..8].copy_from_slice(&HEADER_MAGIC);
        block[8..10].copy_from_slice(&super::VERSION.to_le_bytes());
        block[10] = self.page_len.checked_ilog2().unwrap_or(0) as u8;
        block[12..16].copy_from_slice(&self.opening.to_le_bytes());
        block[16..24].copy_from_slice(self.epoch.as_bytes());
        block[24..32].copy_from_slice(&self.generation.to_le_bytes());
        block[32..40].copy_from_slice(&self.first.to_le_bytes());
        block[40..48].copy_from_slice(&self.retired_below.to_le_bytes());
        block[48..52].copy_from_slice(&self.len.to_le_bytes());
        if let Some(Cut { end, generation, is_doubtful }) = self.cut {
            block[11] = is_doubtful.into();
            block[52..56].copy_from_slice(&end.to_le_bytes());
            block[56..60].copy_from_slice(&generation.to_le_bytes());
        }
        seal(&mut block);
        let mut bytes = [0; RECORDS as usize];
        bytes[..BLOCK_LEN].copy_from_slice(&block);
        bytes[SECOND_COPY..SECOND_COPY + BLOCK_LEN].copy_from_slice(&block);
        bytes
    }

    /// Reads the first [`RECORDS`] octets of a segment. Of two valid copies the later generation counts: they differ
    /// only when a crash interrupted the beginning of a life.
    pub(crate) fn decode(bytes: &[u8; RECORDS as usize]) -> HeaderBlock {
        let copies = [0, SECOND_COPY].map(|at| decode_copy(octets(bytes, at)));
        match copies {
            [HeaderBlock::Valid(left), HeaderBlock::Valid(right)] => {
                HeaderBlock::Valid(if right.generation > left.generation { right } else { left })
            }
            [valid @ HeaderBlock::Valid(_), _] | [_, valid @ HeaderBlock::Valid(_)] => valid,
            [newer @ HeaderBlock::Newer { .. }, _] | [_, newer @ HeaderBlock::Newer { .. }] => newer,
            [HeaderBlock::Foreign, _] | [_, HeaderBlock::Foreign] => HeaderBlock::Foreign,
            [HeaderBlock::Blank, HeaderBlock::Blank] => HeaderBlock::Blank,
            _ => HeaderBlock::Unreadable,
        }
    }
}

/// Where each copy of a header stands in the first [`RECORDS`] octets of a segment, and whether it is as it was written;
/// nothing of one that nobody has written.
pub(crate) fn copies(bytes: &[u8; RECORDS as usize]) -> [(u32, Option<Integrity>); 2] {
    [0, SECOND_COPY].map(|at| {
        let mut block: [u8; BLOCK_LEN] = octets(bytes, at);
        let integrity = (!is_blank(&block)).then(|| checksum::check_or_correct(&mut block, 0));
        (at as u32, integrity.map(|found| if block[..8] == HEADER_MAGIC { found } else { Integrity::Damaged }))
    })
}

/// Why a footer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// The life takes no more records.
    Full,
    /// Nobody writes until the queue is opened again; then the life goes on.
    Closed,
}

/// The end of a sealed segment: where to find its index, and, should both copies of the header be lost, whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) epoch: Epoch,
    pub(crate) generation: u64,
    pub(crate) first: u64,
    /// How many messages the index places.
    pub(crate) messages: u32,
    /// How many control records it places after them.
    pub(crate) controls: u32,
    /// How many ranges of acknowledged messages follow the places.
    pub(crate) ranges: u32,
    /// How many messages of earlier segments follow the ranges.
    pub(crate) guests: u32,
    /// Where the records end.
    pub(crate) end: u32,
    /// CRC32C of the places and ranges, begun from the life's seed.
    pub(crate) index_crc: u32,
    pub(crate) sealed: Sealed,
}

impl Trailer {
    /// Reads the last [`BLOCK_LEN`] octets of a segment.
    pub(crate) fn decode(mut block: [u8; BLOCK_LEN]) -> Option<Self> {
        #[cfg(iot_fault)]
        if fault::is_off(Guard::TrailerCrc) {
            seal(&mut block);
        }
        let near = differing_bits(&block[..8], &TRAILER_MAGIC) <= 1;
        if !near || checksum::check_or_correct(&mut block, 0) == Integrity::Damaged || block[..8] != TRAILER_MAGIC {
            return None;
        }
        Some(Self {
            epoch: Epoch::from_bytes(octets(&block, 8)),
            generation: u64::from_le_bytes(octets(&block, 16)),
            first: u64::from_le_bytes(octets(&block, 24)),
            messages: u32::from_le_bytes(octets(&block, 32)),
            ranges: u32::from_le_bytes(octets(&block, 36)),
            end: u32::from_le_bytes(octets(&block, 40)),
            index_crc: u32::from_le_bytes(octets(&block, 44)),
            controls: u32::from_le_bytes(octets(&block, 48)),
            guests: u32::from_le_bytes(octets(&block, 56)),
            sealed: if block[52] & CLOSED == 0 { Sealed::Full } else { Sealed::Closed },
        })
    }

    /// Octets of the whole footer.
    pub(crate) fn footer_len(&self) -> Option<u32> {
        let places = self.messages.checked_add(self.controls)?.checked_mul(4)?;
        let places = places.checked_next_multiple_of(super::ALIGNMENT)?;
        let ranges = self.ranges.checked_mul(RANGE_LEN)?;
        let guests = self.guests.checked_mul(GUEST_LEN)?;
        places.checked_add(ranges)?.checked_add(guests)?.checked_add(BLOCK_LEN as u32)
    }
}

/// Octets of a footer that holds `places` of messages and control records, and so many `pairs`: ranges of acknowledged
/// messages, and messages of earlier segments.
pub(crate) const fn footer_len(places: u32, pairs: u32) -> u32 {
    super::aligned(places * 4) + pairs * RANGE_LEN + BLOCK_LEN as u32
}

/// What a footer says of the records of its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contents<'s, R> {
    /// The place of each message, or a reason why it has none.
    pub(crate) index: &'s [u32],
    /// Where each control record stands.
    pub(crate) controls: &'s [u32],
    /// The acknowledged messages that records name.
    pub(crate) ranges: R,
    /// The number and the place of each message of an earlier segment.
    pub(crate) guests: &'s [(u64, u32)],
    /// Where the records end.
    pub(crate) end: u32,
}

/// The footer of the life that `header` began.
pub(crate) fn encode_footer(
    header: &SegmentHeader,
    sealed: Sealed,
    contents: Contents<'_, impl ExactSizeIterator<Item = Range<u64>>>,
    out: &mut Vec<u8>,
) {
    out.clear();
    let Contents { index, controls, ranges, guests, end } = contents;
    let (messages, range_count) = (index.len() as u32, ranges.len() as u32);
    out.extend(index.iter().chain(controls).flat_map(|place| place.to_le_bytes()));
    out.resize(super::aligned(out.len() as u32) as usize, 0);
    for range in ranges {
        out.extend(range.start.to_le_bytes());
        out.extend((range.end - range.start).to_le_bytes());
    }
    for (number, place) in guests {
        out.extend(number.to_le_bytes());
        out.extend(u64::from(*place).to_le_bytes());
    }
    let index_crc = checksum::crc32c(header.seed(), out);
    let mut block = [0; BLOCK_LEN];
    block[..8].copy_from_slice(&TRAILER_MAGIC);
    block[8..16].copy_from_slice(header.epoch.as_bytes());
    block[16..24].copy_from_slice(&header.generation.to_le_bytes());
    block[24..32].copy_from_slice(&header.first.to_le_bytes());
    block[32..36].copy_from_slice(&messages.to_le_bytes());
    block[36..40].copy_from_slice(&range_count.to_le_bytes());
    block[40..44].copy_from_slice(&end.to_le_bytes());
    block[44..48].copy_from_slice(&index_crc.to_le_bytes());
    block[48..52].copy_from_slice(&(controls.len() as u32).to_le_bytes());
    block[52] = if sealed == Sealed::Closed { CLOSED } else { 0 };
    block[56..60].copy_from_slice(&(guests.len() as u32).to_le_bytes());
    seal(&mut block);
    out.extend(block);
}

/// Whether these octets hold nothing: they are as an allocation or an erasure leaves them.
pub(crate) fn is_blank(octets: &[u8]) -> bool {
    [0, 0xFF].iter().any(|blank| octets.iter().all(|octet| octet == blank))
}

fn decode_copy(mut block: [u8; BLOCK_LEN]) -> HeaderBlock {
    #[cfg(iot_fault)]
    if fault::is_off(Guard::SegmentHeaderCrc) && block[..8] == HEADER_MAGIC {
        seal(&mut block);
    }
    // Only what is intact to the bit may make the queue refuse to open.
    if checksum::matches(&block, 0) {
        if block[..8] != HEADER_MAGIC {
            return HeaderBlock::Foreign;
        }
        let version = u16::from_le_bytes(octets(&block, 8));
        if version != super::VERSION {
            return HeaderBlock::Newer { version };
        }
    } else if is_blank(&block) {
        return HeaderBlock::Blank;
    } else if checksum::check_or_correct(&mut block, 0) == Integrity::Damaged
        || block[..8] != HEADER_MAGIC
        || u16::from_le_bytes(octets(&block, 8)) != super::VERSION
    {
        return HeaderBlock::Unreadable;
    }
    HeaderBlock::Valid(SegmentHeader {
        opening: u32::from_le_bytes(octets(&block, 12)),
        len: u32::from_le_bytes(octets(&block, 48)),
        page_len: if block[10] == 0 { 0 } else { 1_u32.checked_shl(block[10].into()).unwrap_or(0) },
        epoch: Epoch::from_bytes(octets(&block, 16)),
        generation: u64::from_le_bytes(octets(&block, 24)),
        first: u64::from_le_bytes(octets(&block, 32)),
        retired_below: u64::from_le_bytes(octets(&block, 40)),
        cut: Some(Cut {
            end: u32::from_le_bytes(octets(&block, 52)),
            generation: u32::from_le_bytes(octets(&block, 56)),
            is_doubtful: block[11] & 1 == 1,
        })
        .filter(|cut| cut.end > 0),
    })
}

fn seal(block: &mut [u8; BLOCK_LEN]) {
    let crc = checksum::crc32c(0, &block[..BLOCK_LEN - 4]);
    block[BLOCK_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
}

fn differing_bits(left: &[u8], right: &[u8]) -> u32 {
    left.iter().zip(right).map(|(left, right)| (left ^ right).count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        opening: 8,
        len: 4096,
        page_len: 512,
        epoch: Epoch::from_bytes([7; 8]),
        generation: 5,
        first: 900,
        retired_below: 3,
        cut: Some(Cut { end: 2048, generation: 4, is_doubtful: true }),
    };

    #[test]
    fn header_survives_each_flipped_bit_and_each_lost_sector() {
        let bytes = HEADER.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), HeaderBlock::Valid(HEADER), "bit {bit}");
        }
        for sector in 0..2 {
            let mut zeroed = bytes;
            zeroed[sector * 512..(sector + 1) * 512].fill(0);
            assert_eq!(SegmentHeader::decode(&zeroed), HeaderBlock::Valid(HEADER), "sector {sector}");
        }
    }

    #[test]
    fn lives_and_queues_have_seeds_of_their_own() {
        let seed = |generation, epoch| SegmentHeader { generation, epoch, ..HEADER }.seed();
        let mut seeds: Vec<_> = (1..=1000).map(|generation| seed(generation, HEADER.epoch)).collect();
        seeds.extend((0..100).map(|queue| seed(5, Epoch::from_bytes([0, 0, 0, 0, 0, 0, 0, queue]))));
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 1100);
    }

    #[test]
    fn tells_newer_foreign_blank_and_unreadable_apart() {
        assert_eq!(SegmentHeader::decode(&[0; 1024]), HeaderBlock::Blank);
        assert_eq!(SegmentHeader::decode(&[0xFF; 1024]), HeaderBlock::Blank);
        assert_eq!(SegmentHeader::decode(&[9; 1024]), HeaderBlock::Unreadable);
        let altered = |change: &dyn Fn(&mut [u8; BLOCK_LEN])| {
            let mut block = octets(&HEADER.encode(), 0);
            change(&mut block);
            seal(&mut block);
            let mut bytes = [0; 1024];
            bytes[..BLOCK_LEN].copy_from_slice(&block);
            SegmentHeader::decode(&bytes)
        };
        assert_eq!(altered(&|block| block[8] = 2), HeaderBlock::Newer { version: 2 });
        assert_eq!(altered(&|block| block[0] = b'J'), HeaderBlock::Foreign);
    }

    #[test]
    fn footer_gives_back_its_trailer_after_any_flipped_bit_in_it() {
        let mut footer = Vec::new();
        let ranges = [900..902, 905..906];
        let contents = Contents {
            index: &[1024, DAMAGED, 1100],
            controls: &[1150, 1160],
            ranges: ranges.into_iter(),
            guests: &[(70, 1170)],
            end: 1200,
        };
        encode_footer(&HEADER, Sealed::Closed, contents, &mut footer);
        assert_eq!(footer.len(), footer_len(5, 3) as usize);
        let trailer = Trailer::decode(octets(&footer, footer.len() - BLOCK_LEN)).expect("it was just sealed");
        assert_eq!((trailer.messages, trailer.controls, trailer.ranges, trailer.guests), (3, 2, 2, 1));
        assert_eq!(trailer.sealed, Sealed::Closed);
        assert_eq!((trailer.end, trailer.first), (1200, 900));
        assert_eq!(trailer.footer_len(), Some(footer_len(5, 3)));
        for bit in 0..BLOCK_LEN * 8 {
            let mut block: [u8; BLOCK_LEN] = octets(&footer, footer.len() - BLOCK_LEN);
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Trailer::decode(block), Some(trailer), "bit {bit}");
        }
    }
}
