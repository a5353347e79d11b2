use core::fmt;

use iot_codec::{cbor, record};
use iot_core::{DeviceId, Incarnation, StreamId};
use rand_core::CryptoRng;

use crate::cose::{SignError, UnsignedSign1};
use crate::statement::{self, Context, StatementError};
use crate::{BufferTooSmall, Directory, Signer, VerifyingKey};

/// What a reader asks of a source to learn whether it is shown the past: a number drawn at random, after the reader's
/// memory began.
///
/// The source signs an [`Answer`], and what it writes from there on was written after the challenge. Feed the answer to
/// [`Tracker::prove`](iot_core::Tracker::prove) or to
/// [`StreamReceiver::prove`](crate::stream::StreamReceiver::prove).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; Self::LEN]);

impl Challenge {
    /// Octets of a challenge.
    pub const LEN: usize = 16;

    /// Draws a challenge from the caller's generator. The reader keeps it until the answer comes, and uses it once.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut octets = [0; Self::LEN];
        rng.fill_bytes(&mut octets);
        Self(octets)
    }

    /// Wraps the octets of a challenge that somebody sent.
    pub const fn from_bytes(octets: [u8; Self::LEN]) -> Self {
        Self(octets)
    }

    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Challenge({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Where a source stands in a stream, signed in answer to a [`Challenge`].
///
/// ```cddl
/// answer = {1: bstr .size 16, 2: uint .size 4, 3: bstr .size 8, 4: uint}
///          ; challenge, stream, incarnation, next number
/// ```
///
/// It travels as the payload of a `COSE_Sign1` with the external data `["iot answer 1", reader, source]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who answered.
    pub source: DeviceId,
    /// The stream.
    pub stream: StreamId,
    /// The incarnation in which the source writes now.
    pub incarnation: Incarnation,
    /// The next sequence number that it will use.
    pub next: u64,
}

record! {
    struct Body {
        1 => challenge: [u8; Challenge::LEN],
        2 => stream: u32,
        3 => incarnation: [u8; Incarnation::LEN],
        4 => next: u64,
    }
}

impl Answer {
    /// Octets that [`issue_into`](Self::issue_into) needs.
    pub const BUFFER_LEN: usize = statement::STATEMENT_BUFFER_LEN;

    /// Signs the answer to `challenge` of `reader`, and writes it to the front of `buffer`, which must have
    /// [`BUFFER_LEN`](Self::BUFFER_LEN) octets. Returns the octets of the answer.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn issue_into(
        &self,
        challenge: &Challenge,
        reader: DeviceId,
        signer: &impl Signer,
        buffer: &mut [u8],
    ) -> Result<usize, SignError> {
        let context = Context { name: CONTEXT, parties: &[&reader, &self.source] };
        statement::sign_into(signer, &self.body(challenge), &context, buffer)
    }

    /// The first half of [`issue_into`](Self::issue_into), for a `key` whose holder answers later: everything but
    /// signing.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn begin<'b>(
        &self,
        challenge: &Challenge,
        reader: DeviceId,
        key: &VerifyingKey,
        buffer: &'b mut [u8],
    ) -> Result<UnsignedSign1<'b>, BufferTooSmall> {
        let context = Context { name: CONTEXT, parties: &[&reader, &self.source] };
        statement::prepare(key, &self.body(challenge), &context, buffer)
    }

    fn body(&self, challenge: &Challenge) -> Body {
        Body {
            challenge: challenge.0,
            stream: self.stream.number(),
            incarnation: *self.incarnation.as_bytes(),
            next: self.next,
        }
    }

    /// Verifies that `octets` answer `challenge`, which `reader` drew.
    ///
    /// # Errors
    ///
    /// [`StatementError`].
    pub fn verify(
        octets: &[u8],
        challenge: &Challenge,
        reader: DeviceId,
        directory: &impl Directory,
    ) -> Result<Self, StatementError> {
        let (signed, source, key) = statement::signer_of(octets, directory)?;
        let body = statement::verify(&signed, &key, &Context { name: CONTEXT, parties: &[&reader, &source] })?;
        let body: Body = cbor::from_slice(body)?;
        let is_own = body.challenge == challenge.0;
        #[cfg(iot_fault)]
        let is_own = is_own || crate::fault::is_off(crate::fault::Check::Challenge);
        if !is_own {
            return Err(StatementError::OtherChallenge);
        }
        let (stream, incarnation) = (StreamId::new(body.stream), Incarnation::from_bytes(body.incarnation));
        Ok(Self { source, stream, incarnation, next: body.next })
    }
}

const CONTEXT: &str = "iot answer 1";
