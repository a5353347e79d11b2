//! Events for whoever listens by `tracing`. Exists with that feature only.

use crate::stats::Stats;
use crate::storage::{SegmentNumber, StorageError};

/// What an opening found.
pub(crate) fn opened(stats: &Stats) {
    let Stats { depth, recovered, quarantined, gaps, cut, unreadable_segments, segments_used, segments, .. } = *stats;
    if quarantined > 0 || unreadable_segments > 0 {
        tracing::warn!(depth, recovered, quarantined, gaps, cut, unreadable_segments, "opened with losses");
    } else {
        tracing::info!(depth, recovered, gaps, cut, segments_used, segments, "opened");
    }
}

/// A write or sync failed, and the log tries to go on in another segment.
pub(crate) fn failed(cause: &StorageError) {
    tracing::warn!(%cause, "the storage failed, going on in another segment");
}

/// Nothing is written any more.
pub(crate) fn read_only(cause: &StorageError) {
    tracing::error!(%cause, "the queue is read-only from here on");
}

/// A segment came free.
pub(crate) fn recycled(segment: SegmentNumber, generation: u64) {
    tracing::debug!(segment = segment.number(), generation, "recycled a segment");
}

/// A message became a gap.
pub(crate) fn lost(offset: u64) {
    tracing::warn!(offset, "a message cannot be given and becomes a gap");
}

/// A message became a dead letter.
pub(crate) fn dead_letter(offset: u64) {
    tracing::warn!(offset, "a message became a dead letter");
}

/// The oldest messages made room.
pub(crate) fn dropped(until: u64, messages: u64) {
    tracing::warn!(until, messages, "dropped the oldest messages");
}
