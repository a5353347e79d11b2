//! Making room by dropping the oldest messages, and telling everybody who did not get them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use super::Queue;
use crate::config::Consumers;
use crate::error::{AppendError, LeaseError};
use crate::format::control::DROPPED;
use crate::format::record;
use crate::gap::{self, GapRecord, GapSigner};
use crate::log::{LogError, Lookup, Window};
use crate::message::Message;
use crate::offset::{Gap, GapCause, Offset};
use crate::storage::Storage;

/// What was dropped and not everybody was told of yet.
#[derive(Debug, Default)]
pub(super) struct Drops {
    pub(super) record: Option<GapRecord>,
    /// Below here the leasing consumers were told.
    told: u64,
    signer: Option<Box<dyn GapSigner>>,
    /// Messages dropped since the queue was opened.
    pub(super) total: u64,
}

/// Octets before the claim in the payload of a control record.
const CLAIM_AT: usize = 16;

impl<S: Storage> Queue<S> {
    /// Lets `signer` sign the record of what is dropped from now on; see
    /// [`WhenFull::DropOldest`](crate::WhenFull::DropOldest).
    pub fn sign_gaps_with(&mut self, signer: Box<dyn GapSigner>) {
        self.drops.signer = Some(signer);
    }

    /// What was dropped to make room, and not everybody was told of yet. It comes before everything that is still stored.
    ///
    /// A cursor reads it as a gap of the cause [`Dropped`](GapCause::Dropped), and was told when it has
    /// [passed](Self::advance_cursor) that. Leasing consumers look here before they reserve, and say by
    /// [`ack_dropped`](Self::ack_dropped) that they were told.
    pub fn dropped(&self) -> Option<&GapRecord> {
        self.drops.record.as_ref()
    }

    /// Whether leasing consumers were told of everything that was dropped; without them there is nobody to be told.
    pub fn is_told_of_drops(&self) -> bool {
        let until = self.drops.record.as_ref().map_or(0, |record| record.gap.until.number());
        self.drops.told >= until || self.config.consumers_choice() == Consumers::CursorsOnly
    }

    /// Says that the leasing consumers were told of what was dropped before `offset`: the end of the gap of
    /// [`dropped`](Self::dropped). Lasts, as [`ack`](Self::ack) does, from the next [`commit`](Self::commit) on.
    ///
    /// # Errors
    /// [`LeaseError::ReadOnly`] and [`LeaseError::Storage`] when the storage failed.
    pub fn ack_dropped(&mut self, offset: Offset) -> Result<(), LeaseError> {
        self.log.writable().map_err(LeaseError::ReadOnly)?;
        if self.drops.record.is_some() && offset.number() > self.drops.told {
            self.drops.told = offset.number();
            let Some(record) = &self.drops.record else { return Ok(()) };
            let payload = encode(self.drops.told, record);
            self.log.enter_control(DROPPED, &payload).or_else(LeaseError::unless_full)?;
            self.log.stand(DROPPED, 0, &payload);
        }
        Ok(())
    }

    /// Drops what somebody still needs of the oldest segment, once the record of that is durable, and frees the segment.
    /// [`LogError::Full`] where not even an empty log would have room for `messages`.
    pub(super) fn drop_oldest(&mut self, messages: &[Message<'_>]) -> Result<(), AppendError> {
        let budget = self.budget();
        let fail = |error| AppendError::from_log(error, budget);
        if !self.log.has_room_when_empty(messages) {
            return Err(fail(LogError::Full));
        }
        // The oldest segment may hold no number of its own, so that neither its place nor the count of segments tells.
        let before = self.log.front_generation();
        match self.commit_all() {
            Ok(_) | Err(LogError::Full) => {}
            Err(error) => return Err(fail(error)),
        }
        if self.log.front_generation() != before {
            return Ok(());
        }
        self.log.leave_only_segment().map_err(fail)?;
        let end = self.log.front().end;
        let dropped = if self.first_needed() < end { self.record_drop(end)? } else { 0 };
        self.drops.total += dropped;
        #[cfg(feature = "tracing")]
        crate::trace::dropped(end, dropped);
        self.finish_drop(end);
        self.commit_all().map_err(fail)?;
        if self.log.front_generation() == before { Err(fail(LogError::Full)) } else { Ok(()) }
    }

    /// Puts back what an earlier opening dropped, as its last record says, and finishes it.
    pub(super) fn restore_drops(&mut self, payload: &[u8]) {
        let Some((told, record)) = decode(payload) else { return };
        let until = record.gap.until.number().min(self.log.next());
        if self.log.stand(DROPPED, 0, payload) {
            (self.drops.told, self.drops.record) = (told, Some(record));
        }
        self.finish_drop(until);
    }

    /// Forgets the record once everybody was told. Without room that waits.
    pub(super) fn trim_drops(&mut self) -> Result<(), LogError> {
        let Some(until) = self.drops.record.as_ref().map(|record| record.gap.until.number()) else { return Ok(()) };
        if self.is_told_of_drops() && self.cursors.first_position().is_none_or(|position| position >= until) {
            match self.log.enter_control(DROPPED, &[]) {
                Ok(()) => {
                    self.drops.record = None;
                    self.log.clear_standing(DROPPED, 0);
                }
                Err(LogError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Why messages in `missing` are gone that a cursor did not get: the cause that the first of them has, and where that
    /// ends.
    pub(super) fn why_missing(&self, missing: Range<u64>) -> Gap {
        let dropped =
            self.drops.record.as_ref().map_or(0..0, |record| record.gap.from.number()..record.gap.until.number());
        let (until, cause) = if dropped.contains(&missing.start) {
            (dropped.end.min(missing.end), GapCause::Dropped)
        } else if missing.contains(&dropped.start) && !dropped.is_empty() {
            (dropped.start, GapCause::Expired)
        } else {
            (missing.end, GapCause::Expired)
        };
        Gap { from: Offset::new(missing.start), until: Offset::new(until), cause }
    }

    /// The record as it is when what somebody needs before `end` is dropped, too, with at most so many feeds.
    fn record_of(&mut self, end: u64, max_feeds: usize) -> GapRecord {
        let is_leasing = self.config.consumers_choice() == Consumers::Leasing;
        let cursors_need = self.cursors.first_needed().unwrap_or(u64::MAX);
        let from = self.first_needed().clamp(self.log.oldest(), end);
        let mut record = self.drops.record.clone().unwrap_or_else(|| GapRecord::beginning_at(from));
        // One that was moved may be older than what was dropped before.
        record.gap.from = record.gap.from.min(Offset::new(from));
        let mut window = Window::default();
        let mut next = from;
        while let Some(number) = self.log.next_stored(next).filter(|&number| number < end) {
            next = number + 1;
            let unsettled = is_leasing && self.log.next_unsettled(number) == Some(number);
            let wanted = number >= cursors_need && !self.expiries.contains(number);
            if unsettled || wanted {
                match self.log.read(number, &mut window) {
                    Ok(Lookup::Message { position, .. }) => record.add(position.as_ref(), max_feeds),
                    Ok(Lookup::Lost(_) | Lookup::Absent) => {}
                    Ok(Lookup::Unread(_)) | Err(_) => record.add(None, max_feeds),
                }
            }
        }
        record.gap.until = Offset::new(end);
        record
    }

    /// The first message that somebody needs.
    fn first_needed(&self) -> u64 {
        let is_leasing = self.config.consumers_choice() == Consumers::Leasing;
        let leasing_need = self.log.next_unsettled(self.log.oldest()).filter(|_| is_leasing).unwrap_or(u64::MAX);
        self.cursors.first_needed().unwrap_or(u64::MAX).min(leasing_need)
    }

    /// How many feeds fit in the record beside everything else that each segment begins with.
    fn gap_feeds(&self) -> usize {
        let signature = self.drops.signer.as_ref().map_or(0, |signer| signer.signature_len());
        let fixed = record::record_len(0, (CLAIM_AT + gap::FIXED_LEN + signature) as u32) as usize;
        let room = self.log.room_to_stand(DROPPED, 0) as usize;
        (room.saturating_sub(fixed) / gap::FEED_LEN).min(self.config.gap_feeds_limit() as usize)
    }

    /// Makes it durable that what is before `end` is dropped, and lets each segment begin with a record of that. Gives how
    /// many messages it names that the last one did not.
    ///
    /// A segment comes back by that, so it may take any room. After failures there may be room only for a record that names
    /// no more sources than the last one, or none at all: then it goes to the medium with the segment that comes back.
    fn record_drop(&mut self, end: u64) -> Result<u64, AppendError> {
        let budget = self.budget();
        let (former, feeds) = self.drops.record.as_ref().map_or((0, 0), |record| (record.messages, record.feeds.len()));
        let mut max_feeds = self.gap_feeds();
        loop {
            let mut record = self.record_of(end, max_feeds);
            let dropped = record.messages - former;
            record.claim = record.encode_claim(self.log.epoch());
            if let Some(signer) = &mut self.drops.signer {
                record.signature = signer.sign(&record.claim).map_err(|_| AppendError::GapUnsigned)?;
            }
            #[cfg(iot_fault)]
            if crate::fault::is_off(crate::fault::Guard::GapSignature) {
                record.signature.clear();
            }
            let payload = encode(self.drops.told, &record);
            match self.log.enter_for_room(DROPPED, 0, &payload) {
                Err(LogError::Full) if record.feeds.len() > feeds => max_feeds = feeds,
                Err(LogError::Full) if self.log.stand(DROPPED, 0, &payload) => {
                    self.drops.record = Some(record);
                    return Ok(dropped);
                }
                entered => {
                    entered.map_err(|error| AppendError::from_log(error, budget))?;
                    self.drops.record = Some(record);
                    self.commit_all().map_err(|error| AppendError::from_log(error, budget))?;
                    return Ok(dropped);
                }
            }
        }
    }

    /// Nobody gets what is before `end` any more.
    fn finish_drop(&mut self, end: u64) {
        self.cursors.drop_before(end);
        let mut from = self.log.oldest();
        while let Some(number) = self.log.next_unsettled(from).filter(|&number| number < end) {
            self.leases.forget(number);
            self.log.settle(number);
            from = number + 1;
        }
        self.log.pass(end);
    }
}

fn encode(told: u64, record: &GapRecord) -> Vec<u8> {
    let mut payload = Vec::with_capacity(CLAIM_AT + record.claim.len() + record.signature.len());
    payload.extend_from_slice(&told.to_le_bytes());
    payload.extend_from_slice(&(record.claim.len() as u64).to_le_bytes());
    payload.extend_from_slice(&record.claim);
    payload.extend_from_slice(&record.signature);
    payload
}

fn decode(payload: &[u8]) -> Option<(u64, GapRecord)> {
    let (told, rest) = payload.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let (claim, signature) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    let (_, record) = GapRecord::decode_claim(claim, signature)?;
    Some((u64::from_le_bytes(*told), record))
}
