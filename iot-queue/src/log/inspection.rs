//! Looking at every record that is needed, without changing anything.

use super::footer::{own_trailer, read_index};
use super::recovery::{without_superseded, without_vain};
use super::scan::{Age, Damage, scan};
use super::segment_state::Segment;
use super::survey::{read_trailer, salvage, survey};
use super::window::Window;
use crate::checksum::Integrity;
use crate::error::OpenError;
use crate::format::segment::{self, BLOCK_LEN, SegmentHeader};
use crate::format::{ALIGNMENT, control, record};
use crate::inspection::{self, DamagedRecord, Inspection, RecordKind};
use crate::offset::Offset;
use crate::storage::{self, SegmentExtent, SegmentNumber, Storage, StorageError};

/// Octets that are read at a time.
const AHEAD: u32 = 1 << 20;

/// Looks at the log that `storage` holds.
pub(crate) fn inspect<S: Storage>(storage: &S) -> Result<Inspection, OpenError> {
    let extents = storage.list()?;
    let mut survey = survey(storage, &extents)?;
    if let Some(&(_, header)) = survey.lives.first() {
        salvage(storage, &mut survey, header)?;
    }
    let mut lives = survey.lives;
    lives.sort_unstable_by_key(|(_, header)| header.generation);
    lives.dedup_by_key(|(_, header)| header.generation);
    let mut inspection = Inspection::default();
    for SegmentExtent { segment, .. } in extents {
        let was_used = lives.iter().any(|&(number, _)| number == segment);
        inspection.look_at_header(storage, segment, was_used)?;
    }
    let retired_below = lives.iter().map(|(_, header)| header.retired_below).max().unwrap_or(0);
    lives.retain(|(_, header)| header.generation >= retired_below);
    let lives = without_vain(storage, without_superseded(lives))?;
    for (at, &(number, header)) in lives.iter().enumerate() {
        let next = lives.get(at + 1).map(|(_, next)| next);
        inspection.look_at_life(storage, number, header, next)?;
    }
    Ok(inspection)
}

impl Inspection {
    /// `was_used` says that the segment holds a life, whatever became of its header.
    fn look_at_header<S: Storage>(
        &mut self,
        storage: &S,
        number: SegmentNumber,
        was_used: bool,
    ) -> Result<(), StorageError> {
        let mut start = [0; segment::RECORDS as usize];
        let failure = storage::read_around(storage, number, 0, &mut start)?.failure;
        let copies = segment::copies(&start);
        let mut behind = [0; record::HEADER_LEN as usize];
        let unread = storage::read_around(storage, number, segment::RECORDS, &mut behind)?.failure;
        let is_used = was_used
            || copies.iter().any(|(_, integrity)| integrity.is_some())
            || (failure, unread) != (None, None)
            || !segment::is_blank(&behind);
        for (at, integrity) in copies.into_iter().filter(|_| is_used) {
            match integrity {
                Some(Integrity::Intact) => self.intact += 1,
                Some(Integrity::Corrected) => {
                    self.note(number, at, RecordKind::Header, inspection::Damage::Corrected);
                }
                _ if failure.is_some() => self.note(number, at, RecordKind::Header, inspection::Damage::Unread),
                _ => self.note(number, at, RecordKind::Header, inspection::Damage::Lost),
            }
        }
        Ok(())
    }

    /// `next` began the life after this one.
    fn look_at_life<S: Storage>(
        &mut self,
        storage: &S,
        number: SegmentNumber,
        header: SegmentHeader,
        next: Option<&SegmentHeader>,
    ) -> Result<(), StorageError> {
        let cut = next.and_then(|next| next.end_of(&header));
        let trailer = own_trailer(storage, number, &header)?;
        let end = cut.or(trailer.map(|trailer| trailer.end));
        let limit = end.unwrap_or(header.len).min(header.len - BLOCK_LEN as u32);
        let age = if next.is_some() { Age::Past } else { Age::Newest };
        let mut life = Segment::new(number, header);
        let mut window = Window::reading_ahead(AHEAD.min(limit));
        match scan(storage, &mut life, age, limit, &mut window) {
            Ok(findings) => {
                self.intact += findings.intact;
                for damage in findings.damage {
                    self.note_record(number, damage);
                }
                // Behind the last record stands nothing but what fills a page.
                let page_end = life.end.next_multiple_of(header.page_len.max(ALIGNMENT));
                if let Some(end) = end.filter(|&end| end != life.end && end != page_end) {
                    self.note_record(number, Damage::Unknown { at: life.end, len: end.saturating_sub(life.end) });
                }
                if findings.unreadable.is_some() {
                    let kind = RecordKind::Unknown(limit - segment::RECORDS);
                    self.note(number, segment::RECORDS, kind, inspection::Damage::Unread);
                }
            }
            Err(StorageError::Io { .. }) => {
                let kind = RecordKind::Unknown(limit - segment::RECORDS);
                self.note(number, segment::RECORDS, kind, inspection::Damage::Unread);
            }
            Err(other) => return Err(other),
        }
        // One that was left because of a failure ends without a footer, or with one that does not count.
        if cut.is_none() { self.look_at_footer(storage, number, &header, next.is_some()) } else { Ok(()) }
    }

    /// `is_past` says that a later life was begun, which is done behind a footer.
    fn look_at_footer<S: Storage>(
        &mut self,
        storage: &S,
        number: SegmentNumber,
        header: &SegmentHeader,
        is_past: bool,
    ) -> Result<(), StorageError> {
        let at = header.len - BLOCK_LEN as u32;
        let mut block = [0; BLOCK_LEN];
        let failure = storage::read_around(storage, number, at, &mut block)?.failure;
        let Some(trailer) = own_trailer(storage, number, header)? else {
            // Another life's may stand there still, until this one has its own.
            let is_others = read_trailer(storage, number, header.len)?.is_some();
            let is_due = is_past && storage.granularity().is_none();
            if failure.is_some() {
                self.note(number, at, RecordKind::Footer, inspection::Damage::Unread);
            } else if is_due || !is_others && !segment::is_blank(&block) {
                self.note(number, at, RecordKind::Footer, inspection::Damage::Lost);
            }
            return Ok(());
        };
        if crate::checksum::matches(&block, 0) {
            self.intact += 1;
        } else {
            self.note(number, at, RecordKind::Footer, inspection::Damage::Corrected);
        }
        if read_index(storage, number, header, &trailer)?.is_none() {
            let index_at = trailer.footer_len().and_then(|len| header.len.checked_sub(len)).unwrap_or(at);
            self.note(number, index_at, RecordKind::Index, inspection::Damage::Lost);
        }
        Ok(())
    }

    fn note_record(&mut self, number: SegmentNumber, damage: Damage) {
        match damage {
            Damage::Corrected { at, kind, number: of } => {
                self.note(number, at, kind_of(kind, of), inspection::Damage::Corrected);
            }
            Damage::Lost { at, kind, number: of } => {
                self.note(number, at, kind_of(kind, of), inspection::Damage::Lost);
            }
            Damage::Unknown { at, len } => self.note(number, at, RecordKind::Unknown(len), inspection::Damage::Lost),
        }
    }

    fn note(&mut self, segment: SegmentNumber, position: u32, kind: RecordKind, damage: inspection::Damage) {
        self.damaged.push(DamagedRecord { segment, position, kind, damage });
    }
}

fn kind_of(kind: u8, number: Option<u64>) -> RecordKind {
    let offset = number.map(Offset::new);
    match (kind, offset) {
        (record::MESSAGE, Some(offset)) => RecordKind::Message(offset),
        (record::MOVED, offset) => RecordKind::MovedMessage(offset),
        (record::ACKNOWLEDGEMENTS, _) => RecordKind::Acknowledgements,
        (record::UNCERTAINTIES, _) => RecordKind::Uncertainties,
        (control::LEASES, _) => RecordKind::Leases,
        (control::EXPIRED, _) => RecordKind::Expired,
        (control::CLOCK, _) => RecordKind::Clock,
        (control::SOURCE | control::IDENTIFIERS, _) => RecordKind::Duplicates,
        (control::CHECKPOINT, _) => RecordKind::Checkpoint,
        (control::CURSOR | control::CURSOR_PLACES | control::CURSOR_GONE, _) => RecordKind::Cursor,
        (control::DROPPED, _) => RecordKind::Dropped,
        _ => RecordKind::Other(kind),
    }
}
