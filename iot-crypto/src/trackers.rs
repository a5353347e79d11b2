use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;

use iot_codec::cbor::{self, Buffer, Cursor, Encode, EncodeError, Output, Writer};
use iot_core::limits::OutOfRange;
use iot_core::{
    Admission, DeviceId, Freshness, Incarnation, ObserveError, Position, Ranges, SequenceError, StreamId, Tracker,
};

use crate::stream::StreamMemory;
use crate::{BufferTooSmall, ReplayError, ReplayGuard};

/// What a reader has accepted of many sources: a [`Tracker`] for each stream of each. The [`ReplayGuard`] of an
/// [`Opener`](crate::Opener) that has no other.
///
/// # At the bounds
///
/// A stream too many is refused as [`ReplayError::Full`], and nothing is forgotten by itself: whom to
/// [forget](Self::forget) is the caller's to choose, and the forgotten can be played again. Each source may have a
/// number of streams of its own, so that none crowds out the others.
///
/// # Restarts
///
/// [Save](Self::save_into) the stream of a message before the message is acknowledged, or after a restart it is
/// accepted again.
///
/// ```
/// use iot_core::{DeviceId, Incarnation, Position, StreamId};
/// use iot_crypto::{ReplayError, ReplayGuard, Trackers};
///
/// // At most 10,000 streams, 16 of each source.
/// let mut trackers: Trackers = Trackers::new(10_000, 16)?;
/// let position = Position {
///     source: DeviceId::from_bytes([1; 32]),
///     stream: StreamId::new(0),
///     incarnation: Incarnation::from_bytes(*b"a chance"),
///     sequence: 7,
/// };
/// trackers.accept(&position)?;
/// assert_eq!(trackers.accept(&position), Err(ReplayError::Repeated));
///
/// let mut saved = vec![0; trackers.saved_len(position.source, position.stream)];
/// trackers.save_into(position.source, position.stream, &mut saved)?;
/// let mut restarted: Trackers = Trackers::new(10_000, 16)?;
/// restarted.restore(&saved)?;
/// assert_eq!(restarted.check(&position), Err(ReplayError::Repeated));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trackers<S = Ranges<16>, const INCARNATIONS: usize = 2, const TOMBSTONES: usize = 32> {
    trackers: BTreeMap<(DeviceId, StreamId), Tracker<S, INCARNATIONS, TOMBSTONES>>,
    capacity: usize,
    streams_per_source: usize,
}

/// Why octets are not the saved memory of a stream that can be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreTrackerError {
    /// They are not the record of one.
    #[error("the saved tracker is malformed")]
    Malformed(#[from] cbor::DecodeError),
    /// They have other members than such a record.
    #[error("the saved tracker has {found} members where {expected} are due")]
    Members {
        /// How many are due.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// They do not fit the tracker, or are damaged.
    #[error("what was accepted cannot be restored")]
    Memory(#[from] iot_core::RestoreError),
    /// There is a memory of the stream already. Put back before anything is accepted.
    #[error("the stream {stream} of {from} has a memory")]
    Twice {
        /// Whose stream it is.
        from: DeviceId,
        /// Which.
        stream: StreamId,
    },
    /// A limit was reached: one stream too many.
    #[error("there is no room for another stream")]
    Full,
}

impl<S: StreamMemory, const INCARNATIONS: usize, const TOMBSTONES: usize> Trackers<S, INCARNATIONS, TOMBSTONES> {
    /// Remembers nothing yet, and at most `capacity` streams, of which `streams_per_source` are of one source.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] if a source may have no stream, or more than there may be.
    pub fn new(capacity: usize, streams_per_source: usize) -> Result<Self, OutOfRange> {
        if !(1..=capacity).contains(&streams_per_source) {
            let (value, max) = (streams_per_source as u64, capacity as u64);
            return Err(OutOfRange { setting: "streams_per_source", value, min: 1, max });
        }
        Ok(Self { trackers: BTreeMap::new(), capacity, streams_per_source })
    }

    /// Forgets a stream, and returns what was known of it. Its messages can be played again from now on, unproven.
    pub fn forget(&mut self, source: DeviceId, stream: StreamId) -> Option<Tracker<S, INCARNATIONS, TOMBSTONES>> {
        self.trackers.remove(&(source, stream))
    }

    /// What was accepted of a stream.
    pub fn tracker(&self, source: DeviceId, stream: StreamId) -> Option<&Tracker<S, INCARNATIONS, TOMBSTONES>> {
        self.trackers.get(&(source, stream))
    }

    /// What was accepted of a stream, to prove it, to close an incarnation, or to tell it what was skipped.
    pub fn tracker_mut(
        &mut self,
        source: DeviceId,
        stream: StreamId,
    ) -> Option<&mut Tracker<S, INCARNATIONS, TOMBSTONES>> {
        self.trackers.get_mut(&(source, stream))
    }

    /// The streams, in the order of their sources.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = (DeviceId, StreamId)> + '_ {
        self.trackers.keys().copied()
    }

    /// Octets that [`save_into`](Self::save_into) needs now for this stream; 0 if nothing is known of it.
    pub fn saved_len(&self, source: DeviceId, stream: StreamId) -> usize {
        self.tracker(source, stream).map_or(0, |tracker| cbor::encoded_len(&Saved { source, stream, tracker }))
    }

    /// Writes what was accepted of a stream to the front of `buffer`, which must have [`saved_len`](Self::saved_len)
    /// octets, and returns how many they are.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn save_into(&self, source: DeviceId, stream: StreamId, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let Some(tracker) = self.tracker(source, stream) else { return Ok(0) };
        let saved = Saved { source, stream, tracker };
        let buffer = BufferTooSmall::check(buffer, cbor::encoded_len(&saved))?;
        let mut writer = Writer::new(Buffer::new(buffer));
        saved.encode(&mut writer).expect("the buffer has the length of the record");
        Ok(writer.into_output().len())
    }

    /// Puts back what was saved of a stream. From a copy that may be too old, say so with
    /// [`Tracker::doubt`].
    ///
    /// # Errors
    ///
    /// [`RestoreTrackerError`]. Nothing was put back then.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), RestoreTrackerError> {
        let mut cursor = Cursor::new(saved);
        members(&mut cursor, 5)?;
        let source = DeviceId::from_bytes(cbor::Decode::decode(&mut cursor)?);
        let stream = StreamId::new(cbor::Decode::decode(&mut cursor)?);
        let mut tracker = Tracker::new();
        if cursor.bool()? {
            tracker.demand_proof();
        }
        for _ in 0..cursor.array()? {
            members(&mut cursor, 3)?;
            let incarnation = Incarnation::from_bytes(cbor::Decode::decode(&mut cursor)?);
            // One more than the number from which on it is proven, and 0 if none is.
            let proven_from = cursor.unsigned()?.checked_sub(1);
            let seen = crate::stream::restore_memory(&mut cursor)?;
            tracker.restore_open(incarnation, seen?, proven_from)?;
        }
        for _ in 0..cursor.array()? {
            tracker.restore_closed(Incarnation::from_bytes(cbor::Decode::decode(&mut cursor)?))?;
        }
        cursor.finish()?;
        if !self.has_room(source) {
            return Err(RestoreTrackerError::Full);
        }
        match self.trackers.entry((source, stream)) {
            Entry::Occupied(_) => Err(RestoreTrackerError::Twice { from: source, stream }),
            Entry::Vacant(place) => {
                place.insert(tracker);
                Ok(())
            }
        }
    }

    /// Whether a source may have another stream.
    fn has_room(&self, source: DeviceId) -> bool {
        let of_source = self.trackers.range((source, StreamId::new(0))..=(source, StreamId::new(u32::MAX)));
        self.trackers.len() < self.capacity && of_source.count() < self.streams_per_source
    }
}

impl<S: StreamMemory, const INCARNATIONS: usize, const TOMBSTONES: usize> ReplayGuard
    for Trackers<S, INCARNATIONS, TOMBSTONES>
{
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        let Position { source, stream, incarnation, sequence } = *position;
        match self.tracker(source, stream) {
            Some(tracker) => tracker.check(incarnation, sequence).map(drop).map_err(ReplayError::from),
            None if self.has_room(source) => Ok(()),
            None => Err(ReplayError::Full),
        }
    }

    fn freshness(&self, position: &Position) -> Freshness {
        let Position { source, stream, incarnation, sequence } = *position;
        let known = self.tracker(source, stream).and_then(|tracker| tracker.check(incarnation, sequence).ok());
        known.unwrap_or(Freshness::Unproven)
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        let Position { source, stream, incarnation, sequence } = *position;
        if let Some(tracker) = self.tracker_mut(source, stream) {
            return tracker.observe(incarnation, sequence).map_err(ReplayError::from);
        }
        if !self.has_room(source) {
            return Err(ReplayError::Full);
        }
        let mut tracker = Tracker::new();
        let freshness = tracker.observe(incarnation, sequence).map_err(ReplayError::from)?;
        self.trackers.insert((source, stream), tracker);
        Ok(freshness)
    }
}

/// What a [`Tracker`] refuses, in the words of an [`Opener`](crate::Opener).
impl From<ObserveError> for ReplayError {
    fn from(refused: ObserveError) -> Self {
        match refused {
            ObserveError::Sequence(SequenceError::Repeated { .. }) => Self::Repeated,
            ObserveError::Sequence(SequenceError::Full { .. }) | ObserveError::TooManyIncarnations { .. } => Self::Full,
            _ => Self::TooOld,
        }
    }
}

fn members(cursor: &mut Cursor<'_>, expected: usize) -> Result<(), RestoreTrackerError> {
    let found = cursor.array()?;
    if found == expected { Ok(()) } else { Err(RestoreTrackerError::Members { expected, found }) }
}

/// `[source, stream, proof is demanded, [* [incarnation, proven, accepted]], [* closed]]`.
struct Saved<'t, S, const INCARNATIONS: usize, const TOMBSTONES: usize> {
    source: DeviceId,
    stream: StreamId,
    tracker: &'t Tracker<S, INCARNATIONS, TOMBSTONES>,
}

impl<S: StreamMemory, const INCARNATIONS: usize, const TOMBSTONES: usize> Encode
    for Saved<'_, S, INCARNATIONS, TOMBSTONES>
{
    fn encode<O: Output>(&self, writer: &mut Writer<O>) -> Result<(), EncodeError> {
        writer.array(5)?;
        writer.bytes(self.source.as_bytes())?;
        writer.unsigned(self.stream.number().into())?;
        writer.bool(self.tracker.admission() == Admission::Proven)?;
        let open = self.tracker.open();
        writer.array(open.len() as u64)?;
        for (incarnation, seen, proven_from) in open {
            writer.array(3)?;
            writer.bytes(incarnation.as_bytes())?;
            writer.unsigned(proven_from.map_or(0, |from| from + 1))?;
            crate::stream::encode_memory(seen, writer)?;
        }
        writer.array(self.tracker.closed().len() as u64)?;
        self.tracker.closed().iter().try_for_each(|incarnation| writer.bytes(incarnation.as_bytes()))
    }
}
