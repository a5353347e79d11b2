/// Which departures from deterministic encoding (RFC 8949 §4.2.1) are passed over: by default all of them.
///
/// ```
/// use iot_codec::cbor::{Limits, lenient::{Rules, validate}};
/// let rules = Rules::default().refuse_long_forms();
/// assert!(validate(b"\x9f\x01\xff", &Limits::default(), rules).is_ok());
/// assert!(validate(b"\x18\x01", &Limits::default(), rules).is_err());
/// # Ok::<(), iot_codec::cbor::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    pub(super) indefinite_lengths: bool,
    pub(super) long_forms: bool,
    pub(super) unsorted_keys: bool,
}

impl Rules {
    /// Refuses strings, arrays and maps of indefinite length, with
    /// [`IndefiniteLength`](crate::cbor::DecodeErrorKind::IndefiniteLength).
    #[must_use]
    pub const fn refuse_indefinite_lengths(mut self) -> Self {
        self.indefinite_lengths = false;
        self
    }

    /// Refuses arguments and floats that have a shorter form, with
    /// [`LongArgument`](crate::cbor::DecodeErrorKind::LongArgument) and
    /// [`LongFloat`](crate::cbor::DecodeErrorKind::LongFloat).
    #[must_use]
    pub const fn refuse_long_forms(mut self) -> Self {
        self.long_forms = false;
        self
    }

    /// Refuses keys of a map whose bytes, as they came, do not ascend, with
    /// [`UnsortedKeys`](crate::cbor::DecodeErrorKind::UnsortedKeys) and
    /// [`DuplicateKey`](crate::cbor::DecodeErrorKind::DuplicateKey).
    ///
    /// Where unsorted keys are passed over, repeated ones are too: to find them takes memory, as
    /// `normalize` has it.
    #[must_use]
    pub const fn refuse_unsorted_keys(mut self) -> Self {
        self.unsorted_keys = false;
        self
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { indefinite_lengths: true, long_forms: true, unsorted_keys: true }
    }
}
