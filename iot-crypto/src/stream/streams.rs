use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use iot_core::limits::OutOfRange;
use iot_core::{Ranges, Topic};

use super::receiver::{Parsed, StreamMemory, saved_topic};
use super::{ContextId, Epoch, RestoreError, StreamError, StreamReceiver, TopicName};
use crate::Verified;
use crate::aead::{Aead, RustCrypto};

/// Opens the messages of many streams: a table of [`StreamReceiver`]s, found by the context's identifier.
///
/// The reader assigns the identifiers, all of one length, densely from zero, so that a message finds its stream by one
/// look-up and no hash. What of a stream is touched when a message is opened lies together in memory, the topic
/// included up to [`TopicName::INLINE_LEN`] octets.
///
/// # At the bound
///
/// The memory for all streams is set aside at the start, so that secrets are never moved. At the bound
/// [`assign`](Self::assign) gives no more identifiers, until one is [removed](Self::remove).
///
/// ```
/// use iot_crypto::stream::Streams;
///
/// // At most 500 streams, under identifiers of two octets.
/// let mut streams: Streams = Streams::new(500, 2)?;
/// let context = streams.assign().ok_or("full")?;
/// assert_eq!(context.as_bytes(), [0, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Streams<S = Ranges<8>, A = RustCrypto, const LATE: usize = 2> {
    places: Vec<Place<S, A, LATE>>,
    /// Places that became free again.
    free: BTreeSet<usize>,
    open: usize,
    capacity: usize,
    context_len: usize,
}

/// Begins where a line of the cache does.
#[repr(align(64))]
#[expect(clippy::large_enum_variant, reason = "a box would cost another access to memory a message")]
enum Place<S, A, const LATE: usize> {
    Free,
    /// The identifier is assigned, and no epoch has begun under it.
    Assigned,
    Open(StreamReceiver<TopicName, S, A, LATE>),
}

/// Why a stream is not added to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The identifier is not one of this table's: another length, or beyond its bound.
    #[error("the identifier {0} is not one of this table")]
    OtherContext(ContextId),
    /// A stream of another source is open under the identifier.
    #[error("the identifier {0} belongs to another source")]
    Taken(ContextId),
    /// What was saved cannot be used.
    #[error("the saved stream cannot be restored")]
    Restore(#[from] RestoreError),
}

/// How full a table is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamsStats {
    /// Streams that are open.
    pub open: usize,
    /// Identifiers that are assigned to streams that have not begun.
    pub assigned: usize,
    /// The bound on both together.
    pub capacity: usize,
}

impl<S: StreamMemory, A: Aead, const LATE: usize> Streams<S, A, LATE> {
    /// Octets that the table sets aside for a stream.
    pub const STREAM_LEN: usize = size_of::<Place<S, A, LATE>>();

    /// The most streams of one table.
    pub const MAX_STREAMS: u32 = if size_of::<usize>() < 8 { 1 << 20 } else { 1 << 28 };

    /// A table for at most `capacity` streams, whose identifiers all have `context_len` octets.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] if `context_len` is not 1 to 8, or `capacity` more than it can name or than
    /// [`MAX_STREAMS`](Self::MAX_STREAMS).
    pub fn new(capacity: usize, context_len: usize) -> Result<Self, OutOfRange> {
        if !(1..=ContextId::MAX_LEN).contains(&context_len) {
            return Err(OutOfRange { setting: "context_len", value: context_len as u64, min: 1, max: 8 });
        }
        let max = 1_u64.checked_shl(8 * context_len as u32).unwrap_or(u64::MAX).min(Self::MAX_STREAMS.into());
        if capacity as u64 > max {
            return Err(OutOfRange { setting: "capacity", value: capacity as u64, min: 0, max });
        }
        Ok(Self { places: Vec::with_capacity(capacity), free: BTreeSet::new(), open: 0, capacity, context_len })
    }

    /// An identifier that no stream has: to be sent in an [`Invitation`](super::Invitation). `None` at the bound.
    pub fn assign(&mut self) -> Option<ContextId> {
        let index = self.free.pop_first().or_else(|| {
            let index = self.places.len();
            (index < self.capacity).then(|| {
                self.places.push(Place::Free);
                index
            })
        })?;
        self.places[index] = Place::Assigned;
        ContextId::from_number(index as u64, self.context_len)
    }

    /// Adds the stream of an epoch. An earlier epoch of the same source and stream is replaced, and returned.
    ///
    /// # Errors
    ///
    /// [`InsertError::OtherContext`] and [`InsertError::Taken`].
    pub fn insert(&mut self, epoch: Epoch<'_>) -> Result<Option<StreamReceiver<TopicName, S, A, LATE>>, InsertError> {
        let name = TopicName::new(epoch.topic());
        let context = epoch.context();
        let receiver = StreamReceiver::new(epoch, name).map_err(|_| InsertError::OtherContext(context))?;
        self.put(receiver)
    }

    /// Puts back what [`StreamReceiver::save_into`] wrote.
    ///
    /// # Errors
    ///
    /// [`InsertError`].
    pub fn restore(&mut self, saved: &[u8]) -> Result<Option<StreamReceiver<TopicName, S, A, LATE>>, InsertError> {
        let topic = core::str::from_utf8(saved_topic(saved)?).ok().and_then(|topic| Topic::new(topic).ok());
        let topic = topic.ok_or(RestoreError::OtherTopic)?;
        self.put(StreamReceiver::restore(saved, TopicName::new(topic))?)
    }

    /// Removes a stream, and sets its identifier free. Returns what was there.
    pub fn remove(&mut self, context: ContextId) -> Option<StreamReceiver<TopicName, S, A, LATE>> {
        let index = self.index(context)?;
        match core::mem::replace(self.places.get_mut(index)?, Place::Free) {
            Place::Free => None,
            Place::Assigned => {
                self.free.insert(index);
                None
            }
            Place::Open(receiver) => {
                self.free.insert(index);
                self.open -= 1;
                Some(receiver)
            }
        }
    }

    /// Opens `message`, of either form, in place. `topic` is what the transport says.
    ///
    /// After a failure the message is as it was, but after [`StreamError::Decryption`] it may be overwritten.
    ///
    /// # Errors
    ///
    /// [`StreamError`]. Nothing is remembered then.
    #[inline]
    pub fn open<'m>(&mut self, topic: Topic<'m>, message: &'m mut [u8]) -> Result<Verified<'m>, StreamError> {
        let parsed = Parsed::new(message)?;
        self.find(parsed.context)?.open_parsed(topic, parsed, message)
    }

    /// [`open`](Self::open) for a transport that does not say the topic: it is the stream's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_without_topic<'m>(&'m mut self, message: &'m mut [u8]) -> Result<Verified<'m>, StreamError> {
        let parsed = Parsed::new(message)?;
        self.find(parsed.context)?.open_parsed_without_topic(parsed, message)
    }

    /// The stream that is open under an identifier.
    pub fn stream(&self, context: ContextId) -> Option<&StreamReceiver<TopicName, S, A, LATE>> {
        match self.places.get(self.index(context)?)? {
            Place::Open(receiver) => Some(receiver),
            Place::Free | Place::Assigned => None,
        }
    }

    /// The stream that is open under an identifier, to prove it, to doubt it, or to tell it what was skipped.
    pub fn stream_mut(&mut self, context: ContextId) -> Option<&mut StreamReceiver<TopicName, S, A, LATE>> {
        self.find(context).ok()
    }

    /// All open streams, in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = &StreamReceiver<TopicName, S, A, LATE>> + '_ {
        self.places.iter().filter_map(|place| match place {
            Place::Open(receiver) => Some(receiver),
            Place::Free | Place::Assigned => None,
        })
    }

    /// How full the table is.
    pub fn stats(&self) -> StreamsStats {
        let assigned = self.places.len() - self.free.len() - self.open;
        StreamsStats { open: self.open, assigned, capacity: self.capacity }
    }

    fn put(
        &mut self,
        receiver: StreamReceiver<TopicName, S, A, LATE>,
    ) -> Result<Option<StreamReceiver<TopicName, S, A, LATE>>, InsertError> {
        let context = receiver.context();
        let index = self.index(context).filter(|index| *index < self.capacity);
        let index = index.ok_or(InsertError::OtherContext(context))?;
        while self.places.len() <= index {
            self.free.insert(self.places.len());
            self.places.push(Place::Free);
        }
        match &self.places[index] {
            Place::Open(before) => {
                let (before, after) = (before.first(), receiver.first());
                if (before.source, before.stream) != (after.source, after.stream) {
                    return Err(InsertError::Taken(context));
                }
            }
            Place::Assigned => self.open += 1,
            Place::Free => {
                self.free.remove(&index);
                self.open += 1;
            }
        }
        match core::mem::replace(&mut self.places[index], Place::Open(receiver)) {
            Place::Open(before) => Ok(Some(before)),
            Place::Free | Place::Assigned => Ok(None),
        }
    }

    #[inline]
    fn find(&mut self, context: ContextId) -> Result<&mut StreamReceiver<TopicName, S, A, LATE>, StreamError> {
        let index = self.index(context);
        match index.and_then(|index| self.places.get_mut(index)) {
            Some(Place::Open(receiver)) => Ok(receiver),
            _ => Err(StreamError::UnknownContext(context)),
        }
    }

    #[inline]
    fn index(&self, context: ContextId) -> Option<usize> {
        let index = usize::try_from(context.number()).ok();
        index.filter(|_| context.len() == self.context_len)
    }
}

impl<S, A, const LATE: usize> fmt::Debug for Streams<S, A, LATE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.open).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
