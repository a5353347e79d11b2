//! What each segment says about itself, and what else says which life a segment is in whose header is gone.

use alloc::vec::Vec;

use super::scan::first_intact;
use super::segment_state::Segment;
use crate::error::OpenError;
use crate::format::record;
use crate::format::segment::{self, BLOCK_LEN, HeaderBlock, SegmentHeader, Trailer};
use crate::storage::{self, SegmentExtent, SegmentNumber, Storage, StorageError};

/// How many generations are tried, latest first, on a segment that does not say its own: each costs reading it once.
const GUESSES: usize = 8;

/// What the segments on the medium turned out to be.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) lives: Vec<(SegmentNumber, SegmentHeader)>,
    pub(super) unreadable: Vec<SegmentNumber>,
    pub(super) blank: Vec<SegmentNumber>,
    /// Segments whose header the medium failed to read. What is not given up is not written to, for it may be read another
    /// time.
    pub(super) failed: Vec<SegmentNumber>,
    pub(super) failure: Option<StorageError>,
}

/// Reads what each segment says about itself. Only an intact header that says so makes the log refuse to open.
pub(super) fn survey<S: Storage>(storage: &S, extents: &[SegmentExtent]) -> Result<Survey, OpenError> {
    let mut survey = Survey::default();
    let mut start = [0; segment::RECORDS as usize];
    for &SegmentExtent { segment, .. } in extents {
        let failure = storage::read_around(storage, segment, 0, &mut start)?.failure;
        match SegmentHeader::decode(&start) {
            HeaderBlock::Valid(header) if is_possible(&header) => survey.lives.push((segment, header)),
            HeaderBlock::Newer { version } => return Err(OpenError::NewerFormat { segment, version }),
            HeaderBlock::Foreign => return Err(OpenError::Foreign { segment }),
            _ if failure.is_some() => survey.failed.push(segment),
            HeaderBlock::Blank => survey.blank.push(segment),
            HeaderBlock::Valid(_) | HeaderBlock::Unreadable => survey.unreadable.push(segment),
        }
        survey.failure = survey.failure.or(failure);
    }
    if let Some((_, first)) = survey.lives.first() {
        let (epoch, len) = (first.epoch, first.len);
        if let Some(&(segment, _)) = survey.lives.iter().find(|(_, life)| life.epoch != epoch || life.len != len) {
            return Err(OpenError::Foreign { segment });
        }
    }
    Ok(survey)
}

/// Tries to find out which life a segment with no readable header is in: from its footer, or by looking for records of
/// each generation that is missing. One that holds no such record is as good as blank.
pub(super) fn salvage<S: Storage>(storage: &S, survey: &mut Survey, any: SegmentHeader) -> Result<(), StorageError> {
    let mut known = 0;
    // Each life that is found makes known which generation may be next.
    while core::mem::replace(&mut known, survey.lives.len()) != survey.lives.len() {
        salvage_once(storage, survey, any)?;
    }
    Ok(())
}

fn salvage_once<S: Storage>(storage: &S, survey: &mut Survey, any: SegmentHeader) -> Result<(), StorageError> {
    for &number in survey.unreadable.iter().chain(&survey.failed).chain(&survey.blank) {
        if survey.lives.iter().any(|&(salvaged, _)| salvaged == number) {
            continue;
        }
        let candidate = |generation, first| SegmentHeader { generation, first, retired_below: 0, cut: None, ..any };
        if let Some(trailer) = read_trailer(storage, number, any.len)?.filter(|trailer| trailer.epoch == any.epoch) {
            let header = candidate(trailer.generation, trailer.first);
            if is_possible(&header) && !survey.lives.iter().any(|(_, life)| life.generation == header.generation) {
                survey.lives.push((number, header));
            }
            continue;
        }
        if survey.blank.contains(&number) {
            continue;
        }
        let generations = survey.lives.iter().map(|(_, life)| life.generation);
        let (lowest, highest) = (generations.clone().min().unwrap_or(1), generations.clone().max().unwrap_or(1));
        let missing = (lowest.saturating_sub(1).max(1)..=highest + 1).rev();
        let missing = missing.filter(|generation| generations.clone().all(|known| known != *generation));
        let missing: Vec<_> = missing.take(GUESSES).collect();
        for generation in missing {
            if let Some(first) = first_number(storage, number, candidate(generation, 0))? {
                survey.lives.push((number, candidate(generation, first)));
                break;
            }
        }
    }
    Ok(())
}

pub(super) fn read_trailer<S: Storage>(
    storage: &S,
    number: SegmentNumber,
    len: u32,
) -> Result<Option<Trailer>, StorageError> {
    let mut block = [0; BLOCK_LEN];
    storage::read_around(storage, number, len - BLOCK_LEN as u32, &mut block)?;
    Ok(Trailer::decode(block))
}

/// How many of these segments hold something where their first record would stand.
pub(super) fn count_with_content<S: Storage>(storage: &S, segments: &[SegmentNumber]) -> Result<u64, StorageError> {
    let mut count = 0;
    for &number in segments {
        let mut start = [0; record::HEADER_LEN as usize];
        let failure = storage::read_around(storage, number, segment::RECORDS, &mut start)?.failure;
        count += u64::from(failure.is_some() || !segment::is_blank(&start));
    }
    Ok(count)
}

/// The number that the first intact record of this life carries.
fn first_number<S: Storage>(
    storage: &S,
    number: SegmentNumber,
    header: SegmentHeader,
) -> Result<Option<u64>, StorageError> {
    let segment = Segment::new(number, header);
    first_intact(storage, &segment, header.len - BLOCK_LEN as u32)
}

fn is_possible(header: &SegmentHeader) -> bool {
    use crate::config::{MAX_SEGMENT_LEN, MIN_SEGMENT_LEN};
    let countable = header.first.max(header.generation) < 1 << 62;
    let len = header.len;
    let cut_possible = header.cut.is_none_or(|cut| (segment::RECORDS..=len).contains(&cut.end));
    countable
        && header.retired_below <= header.generation
        && cut_possible
        && (MIN_SEGMENT_LEN..=MAX_SEGMENT_LEN).contains(&len)
        && len.is_multiple_of(crate::format::ALIGNMENT)
}

#[cfg(test)]
mod tests;
