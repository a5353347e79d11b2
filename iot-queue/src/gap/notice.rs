//! What is told of messages that are missing, beyond the log that misses them.

use alloc::vec::Vec;

use iot_codec::cbor::{self, Limits};
use iot_codec::record;

use crate::lease::Leased;
use crate::message::{MessageId, Stored};
use crate::offset::{Epoch, Gap, GapCause, Offset};
use crate::sink::is_notice;

use super::GapRecord;

record! {
    /// A gap as `docs/formats/mirror.md` has it: in a frame, and as the payload of a message.
    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct GapItem<'b> {
        1 => from: u64,
        2 => until: u64,
        3 => cause: Cause,
        4 => claim: Option<&'b [u8]>,
        5 => signature: Option<&'b [u8]>,
    }
}

record! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Cause {
        1 => Damaged,
        2 => Uncertain,
        3 => Expired,
        4 => Dropped,
        5 => Filtered,
    }
}

/// Messages of a log that did not come with it: which, why, and who says so. It travels in their place.
///
/// Behind a mirror it is a message, whose payload is this; [`Stored::gap_notice`] and [`Leased::gap_notice`] tell it
/// from the others. Nothing in it is proof: what is signed is the claim of whoever dropped the messages, and the rest
/// is what the mirror says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapNotice {
    /// The places of the log that are missing, and why.
    pub gap: Gap,
    /// What whoever dropped them says, as octets that a signature covers: a [`GapRecord::claim`]. It may name more than
    /// this gap does. Empty where nothing was dropped to make room.
    pub claim: Vec<u8>,
    /// What his [`GapSigner`](crate::GapSigner) gave for the claim.
    pub signature: Vec<u8>,
}

impl GapNotice {
    /// A notice without a claim.
    pub const fn unsigned(gap: Gap) -> Self {
        Self { gap, claim: Vec::new(), signature: Vec::new() }
    }

    /// What the claim says, and which log it is about; nothing if there is none. The caller verifies the signature
    /// first.
    pub fn record(&self) -> Option<(Epoch, GapRecord)> {
        GapRecord::decode_claim(&self.claim, &self.signature)
    }

    /// The octets of the notice, as they are in the payload of a message.
    pub fn to_vec(&self) -> Vec<u8> {
        cbor::to_vec(&GapItem::of(self))
    }

    /// Reads the octets of a notice. Nothing when they are of none.
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        let limits = Limits::default().bytes(u32::try_from(octets.len()).unwrap_or(u32::MAX)).items(64);
        cbor::from_slice_within::<GapItem<'_>>(octets, &limits).ok()?.into_notice()
    }

    /// The notice of a gap in a log, of which `dropped` tells what was dropped.
    pub(crate) fn of(gap: Gap, dropped: Option<&GapRecord>) -> Self {
        let covers = |record: &&GapRecord| record.gap.from <= gap.from && gap.until <= record.gap.until;
        match dropped.filter(|_| gap.cause == GapCause::Dropped).filter(covers) {
            Some(record) => Self { gap, claim: record.claim.clone(), signature: record.signature.clone() },
            None => Self::unsigned(gap),
        }
    }
}

impl<'b> GapItem<'b> {
    pub(crate) fn of(notice: &'b GapNotice) -> Self {
        let octets = |octets: &'b [u8]| (!octets.is_empty()).then_some(octets);
        Self {
            from: notice.gap.from.number(),
            until: notice.gap.until.number(),
            cause: match notice.gap.cause {
                GapCause::Damaged => Cause::Damaged,
                GapCause::Uncertain => Cause::Uncertain,
                GapCause::Expired => Cause::Expired,
                GapCause::Dropped => Cause::Dropped,
                GapCause::Filtered => Cause::Filtered,
            },
            claim: octets(&notice.claim),
            signature: octets(&notice.signature),
        }
    }

    /// The same without what is signed.
    pub(crate) fn without_claim(&self) -> GapItem<'static> {
        GapItem { from: self.from, until: self.until, cause: self.cause, claim: None, signature: None }
    }

    /// Nothing when the gap ends before it begins.
    pub(crate) fn into_notice(self) -> Option<GapNotice> {
        let cause = match self.cause {
            Cause::Damaged => GapCause::Damaged,
            Cause::Uncertain => GapCause::Uncertain,
            Cause::Expired => GapCause::Expired,
            Cause::Dropped => GapCause::Dropped,
            Cause::Filtered => GapCause::Filtered,
        };
        let octets = |octets: Option<&[u8]>| octets.unwrap_or_default().to_vec();
        (self.from < self.until).then(|| GapNotice {
            gap: Gap { from: Offset::new(self.from), until: Offset::new(self.until), cause },
            claim: octets(self.claim),
            signature: octets(self.signature),
        })
    }
}

impl Stored {
    /// What this message tells of missing ones, if a mirror put it in their place: by its identifier, which everybody
    /// can choose who appends to the log, so that only the signature says who claims it.
    pub fn gap_notice(&self) -> Option<GapNotice> {
        notice_in(self.id.as_ref(), &self.payload)
    }
}

impl Leased {
    /// As [`Stored::gap_notice`].
    pub fn gap_notice(&self) -> Option<GapNotice> {
        notice_in(self.id.as_ref(), &self.payload)
    }
}

fn notice_in(id: Option<&MessageId>, payload: &[u8]) -> Option<GapNotice> {
    id.filter(|id| is_notice(id)).and_then(|_| GapNotice::from_slice(payload))
}
