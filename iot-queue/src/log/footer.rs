//! Reading the footer of a segment.

use alloc::vec;
use alloc::vec::Vec;

use super::segment_state::{Phase, Segment};
use super::survey::read_trailer;
use crate::checksum;
use crate::format::segment::{self, BLOCK_LEN, DAMAGED, ELSEWHERE, Sealed, SegmentHeader, Trailer, UNCERTAIN};
use crate::format::{octets, record};
use crate::offset::GapCause;
use crate::storage::{self, SegmentNumber, Storage, StorageError};

/// Fills `segment` from its footer, if it has an intact one of its present life that was written for this reason.
pub(super) fn load_footer<S: Storage>(
    storage: &S,
    segment: &mut Segment,
    sealed: Sealed,
) -> Result<bool, StorageError> {
    let trailer = own_trailer(storage, segment.number, &segment.header)?;
    let Some(trailer) = trailer.filter(|trailer| trailer.sealed == sealed) else { return Ok(false) };
    let Some(index) = read_index(storage, segment.number, &segment.header, &trailer)? else { return Ok(false) };
    let (index, guests) = index.split_at(index.len() - (trailer.guests * segment::GUEST_LEN) as usize);
    let (places, ranges) = index.split_at(index.len() - (trailer.ranges * segment::RANGE_LEN) as usize);
    let mut places = places.chunks_exact(4).map(|place| u32::from_le_bytes(octets(place, 0)));
    for place in places.by_ref().take(trailer.messages as usize) {
        match place {
            segment::DAMAGED => segment.push_lost(GapCause::Damaged),
            UNCERTAIN => segment.push_lost(GapCause::Uncertain),
            place if (segment::RECORDS..trailer.end).contains(&place) => {
                segment.push(place & !segment::PLACE_FLAGS, (place & segment::PLACE_FLAGS) as u8);
            }
            _ => segment.push_lost(GapCause::Damaged),
        }
    }
    let within = |place: &u32| (segment::RECORDS..trailer.end).contains(place);
    segment.controls.extend(places.take(trailer.controls as usize).filter(within));
    record::decode_ranges(ranges).for_each(|range| segment.recorded.insert_range(range));
    let guests = guests.chunks_exact(segment::GUEST_LEN as usize);
    segment.guests = guests
        .map(|guest| (u64::from_le_bytes(octets(guest, 0)), u32::from_le_bytes(octets(guest, 8))))
        .map(|(number, place)| (number, if place == ELSEWHERE || within(&place) { place } else { DAMAGED }))
        .collect();
    segment.end = trailer.end;
    segment.written = trailer.end;
    segment.synced = trailer.end;
    segment.phase = Phase::Sealed;
    Ok(true)
}

/// The end of the footer of a segment's present life, if it has one.
pub(super) fn own_trailer<S: Storage>(
    storage: &S,
    number: SegmentNumber,
    header: &SegmentHeader,
) -> Result<Option<Trailer>, StorageError> {
    let own = |trailer: &Trailer| {
        let same_life = trailer.epoch == header.epoch && trailer.generation == header.generation;
        same_life && trailer.first == header.first && trailer.end >= segment::RECORDS
    };
    Ok(read_trailer(storage, number, header.len)?.filter(own))
}

/// The octets of a footer before its end, if they are as they were written.
pub(super) fn read_index<S: Storage>(
    storage: &S,
    number: SegmentNumber,
    header: &SegmentHeader,
    trailer: &Trailer,
) -> Result<Option<Vec<u8>>, StorageError> {
    let fits = |footer_len: &u32| footer_len.checked_add(trailer.end).is_some_and(|end| end <= header.len);
    let Some(footer_len) = trailer.footer_len().filter(fits) else { return Ok(None) };
    let mut index = vec![0; footer_len as usize - BLOCK_LEN];
    if storage::read_around(storage, number, header.len - footer_len, &mut index)?.failure.is_some() {
        return Ok(None);
    }
    let holds = checksum::crc32c(header.seed(), &index) == trailer.index_crc;
    #[cfg(iot_fault)]
    let holds = holds || crate::fault::is_off(crate::fault::Guard::IndexCrc);
    Ok(holds.then_some(index))
}
