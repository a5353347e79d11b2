use core::ops::Range;

use iot_codec::{cbor, record};
use iot_core::{DeviceId, Incarnation, StreamId};

use super::{Aead, CounterStore, StreamSender};
use crate::cose::{SignError, UnsignedSign1};
use crate::statement::{self, Context, StatementError};
use crate::{BufferTooSmall, Directory, Signer, VerifyingKey};

/// Sequence numbers that a source has signed never to have used, so that nobody waits for them: the rest of what it had
/// reserved when its power was cut.
///
/// ```cddl
/// skipped = {1: uint .size 4, 2: bstr .size 8, 3: uint, 4: uint}
///           ; stream, incarnation, from the first to before the last
/// ```
///
/// It travels as the payload of a `COSE_Sign1` with the external data `["iot skipped 1", source]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub(super) source: DeviceId,
    pub(super) stream: StreamId,
    pub(super) incarnation: Incarnation,
    numbers: Range<u64>,
}

record! {
    struct Body {
        1 => stream: u32,
        2 => incarnation: [u8; Incarnation::LEN],
        3 => start: u64,
        4 => end: u64,
    }
}

impl Body {
    fn of<C: CounterStore, A: Aead>(sender: &StreamSender<C, A>, numbers: &Range<u64>) -> Self {
        Self {
            stream: sender.stream().number(),
            incarnation: *sender.incarnation().as_bytes(),
            start: numbers.start,
            end: numbers.end,
        }
    }
}

impl Skipped {
    /// Octets that [`issue_into`](Self::issue_into) needs.
    pub const BUFFER_LEN: usize = statement::STATEMENT_BUFFER_LEN;

    /// Signs that `source` never used `numbers`, which its [`StreamSender::skipped`] gave, and writes the statement to
    /// the front of `buffer`, which must have [`BUFFER_LEN`](Self::BUFFER_LEN) octets. Returns the octets of the
    /// statement.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn issue_into<C: CounterStore, A: Aead>(
        source: DeviceId,
        signer: &impl Signer,
        sender: &StreamSender<C, A>,
        numbers: &Range<u64>,
        buffer: &mut [u8],
    ) -> Result<usize, SignError> {
        let context = Context { name: CONTEXT, parties: &[&source] };
        statement::sign_into(signer, &Body::of(sender, numbers), &context, buffer)
    }

    /// The first half of [`issue_into`](Self::issue_into), for a `key` whose holder answers later: everything but
    /// signing.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn begin<'b, C: CounterStore, A: Aead>(
        source: DeviceId,
        key: &VerifyingKey,
        sender: &StreamSender<C, A>,
        numbers: &Range<u64>,
        buffer: &'b mut [u8],
    ) -> Result<UnsignedSign1<'b>, BufferTooSmall> {
        let context = Context { name: CONTEXT, parties: &[&source] };
        statement::prepare(key, &Body::of(sender, numbers), &context, buffer)
    }

    /// Verifies such a statement.
    ///
    /// # Errors
    ///
    /// [`StatementError`].
    pub fn verify(octets: &[u8], directory: &impl Directory) -> Result<Self, StatementError> {
        let (signed, source, key) = statement::signer_of(octets, directory)?;
        let verified = statement::verify(&signed, &key, &Context { name: CONTEXT, parties: &[&source] })?;
        let Body { stream, incarnation, start, end } = cbor::from_slice(verified)?;
        if start >= end {
            return Err(StatementError::EmptyRange { start, end });
        }
        let incarnation = Incarnation::from_bytes(incarnation);
        Ok(Self { source, stream: StreamId::new(stream), incarnation, numbers: start..end })
    }

    /// Who signed it.
    pub const fn source(&self) -> DeviceId {
        self.source
    }

    /// The stream.
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The incarnation.
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The numbers that were never used.
    pub fn numbers(&self) -> Range<u64> {
        self.numbers.clone()
    }
}

const CONTEXT: &str = "iot skipped 1";
