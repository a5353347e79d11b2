use super::{EncodeError, Output, RawItem, Simple, float::Shortest, head};

/// Writes deterministic CBOR (RFC 8949 §4.2.1): shortest heads, shortest floats, definite lengths.
///
/// The caller keeps three promises that a writer without memory cannot check: an array or a map gets as many items as
/// its head says, the keys of a map ascend in the order of their encoded bytes, and text or bytes follow a
/// [`bytes_header`](Writer::bytes_header). [`record!`](crate::record!) keeps them by construction, and
/// [`validate`](super::validate) checks them afterwards.
///
/// ```
/// use iot_codec::cbor::{Buffer, Writer};
/// let mut space = [0; 16];
/// let mut writer = Writer::new(Buffer::new(&mut space));
/// writer.map(1)?;
/// writer.unsigned(1)?;
/// writer.text("on")?;
/// assert_eq!(writer.into_output().written(), [0xa1, 0x01, 0x62, b'o', b'n']);
/// # Ok::<(), iot_codec::cbor::EncodeError>(())
/// ```
///
/// Every method fails with [`EncodeError::BufferFull`] when the output has no room, and with nothing else.
#[derive(Debug)]
pub struct Writer<O> {
    output: O,
    /// Why the latest write failed, if it did.
    #[cfg(not(target_pointer_width = "64"))]
    error: EncodeError,
}

/// What a write returns inside of the writer: in registers, for which the error is too large where pointers are short.
#[cfg(target_pointer_width = "64")]
type Written = Result<(), EncodeError>;
#[cfg(not(target_pointer_width = "64"))]
type Written = Result<(), Failed>;

/// The writer knows why.
#[cfg(not(target_pointer_width = "64"))]
struct Failed;

impl<O: Output> Writer<O> {
    /// A writer that appends to `output`.
    #[inline]
    pub fn new(output: O) -> Self {
        Self {
            output,
            #[cfg(not(target_pointer_width = "64"))]
            error: EncodeError::BufferFull { needed: 0, available: 0 },
        }
    }

    /// Gives the output back.
    #[inline]
    pub fn into_output(self) -> O {
        self.output
    }

    /// The output as it stands.
    #[inline]
    pub fn output(&self) -> &O {
        &self.output
    }

    /// An integer from 0 to 2^64-1.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn unsigned(&mut self, value: u64) -> Result<(), EncodeError> {
        let written = self.head(head::UNSIGNED, value);
        self.outcome(written)
    }

    /// The integer `-1 - n`, so that every integer down to -2^64 can be written.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn negative(&mut self, n: u64) -> Result<(), EncodeError> {
        let written = self.head(head::NEGATIVE, n);
        self.outcome(written)
    }

    /// An integer of either sign.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn int(&mut self, value: i64) -> Result<(), EncodeError> {
        // For a negative value, -1 - value is its complement.
        if value >= 0 { self.unsigned(value as u64) } else { self.negative(!value as u64) }
    }

    /// A byte string.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.bytes_header(bytes.len() as u64)?;
        let written = self.append(bytes);
        self.outcome(written)
    }

    /// The head of a byte string of `len` bytes, which the caller then [puts](Writer::put) in any number of pieces.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn bytes_header(&mut self, len: u64) -> Result<(), EncodeError> {
        let written = self.head(head::BYTES, len);
        self.outcome(written)
    }

    /// A text string.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        self.text_header(text.len() as u64)?;
        let written = self.append(text.as_bytes());
        self.outcome(written)
    }

    /// The head of a text string of `len` bytes, which the caller then [puts](Writer::put) in any number of pieces.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn text_header(&mut self, len: u64) -> Result<(), EncodeError> {
        let written = self.head(head::TEXT, len);
        self.outcome(written)
    }

    /// The head of an array; its `len` elements follow.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn array(&mut self, len: u64) -> Result<(), EncodeError> {
        let written = self.head(head::ARRAY, len);
        self.outcome(written)
    }

    /// The head of a map; its `len` pairs follow, each a key and then its value.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn map(&mut self, len: u64) -> Result<(), EncodeError> {
        let written = self.head(head::MAP, len);
        self.outcome(written)
    }

    /// A tag; its content follows.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn tag(&mut self, tag: u64) -> Result<(), EncodeError> {
        let written = self.head(head::TAG, tag);
        self.outcome(written)
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn bool(&mut self, value: bool) -> Result<(), EncodeError> {
        let written = self.append(&[0xf4 | u8::from(value)]);
        self.outcome(written)
    }

    /// `null`.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn null(&mut self) -> Result<(), EncodeError> {
        let written = self.append(&[0xf6]);
        self.outcome(written)
    }

    /// `undefined`.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn undefined(&mut self) -> Result<(), EncodeError> {
        let written = self.append(&[0xf7]);
        self.outcome(written)
    }

    /// A simple value by its number.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn simple(&mut self, value: Simple) -> Result<(), EncodeError> {
        let written = match value.number() {
            number @ 0..24 => self.append(&[0xe0 | number]),
            number => self.append(&[0xf8, number]),
        };
        self.outcome(written)
    }

    /// A float, in the shortest of 16, 32 and 64 bits that gives back the same bits.
    ///
    /// That holds for NaNs too: one is shortened when the payload bits that would be cut are all zero, so payload,
    /// sign and the signalling bit survive (RFC 8949 §4.2.2, the payload-preserving choice).
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        let written = self.shortest(Shortest::of_f64(value));
        self.outcome(written)
    }

    /// A float, as [`Writer::float`] writes the same value.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn float32(&mut self, value: f32) -> Result<(), EncodeError> {
        let written = self.shortest(Shortest::of_f32(value));
        self.outcome(written)
    }

    /// An item that is already encoded, byte for byte.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn raw(&mut self, item: RawItem<'_>) -> Result<(), EncodeError> {
        let written = self.append(item.as_bytes());
        self.outcome(written)
    }

    /// Bytes as they are: the content after a [`bytes_header`](Writer::bytes_header).
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline(always)]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let written = self.append(bytes);
        self.outcome(written)
    }

    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn append(&mut self, bytes: &[u8]) -> Written {
        self.output.put(bytes)
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(never)]
    fn append(&mut self, bytes: &[u8]) -> Written {
        self.output.put(bytes).map_err(|error| {
            self.error = error;
            Failed
        })
    }

    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn outcome(&self, written: Written) -> Result<(), EncodeError> {
        written
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    fn outcome(&self, written: Written) -> Result<(), EncodeError> {
        written.map_err(|Failed| self.error)
    }

    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    fn head(&mut self, major: u8, argument: u64) -> Written {
        // A separate path for the shortest heads, which are most of them, lets the store be a single byte.
        if argument < 24 { self.append(&[major << 5 | argument as u8]) } else { self.long_head(major, argument) }
    }

    #[cfg(target_pointer_width = "64")]
    #[inline]
    fn long_head(&mut self, major: u8, argument: u64) -> Written {
        let [_, _, _, _, d, c, b, a] = argument.to_be_bytes();
        let initial = major << 5;
        if argument < 1 << 8 {
            self.append(&[initial | 24, a])
        } else if argument < 1 << 16 {
            self.append(&[initial | 25, b, a])
        } else if argument < 1 << 32 {
            self.append(&[initial | 26, d, c, b, a])
        } else {
            let [h, g, f, e, ..] = argument.to_be_bytes();
            self.append(&[initial | 27, h, g, f, e, d, c, b, a])
        }
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(never)]
    fn head(&mut self, major: u8, argument: u64) -> Written {
        let information = match ((argument >> 32) as u32, argument as u32) {
            (0, low @ 0..24) => low as u8,
            (0, 24..0x100) => 24,
            (0, 0x100..0x1_0000) => 25,
            (0, _) => 26,
            _ => 27,
        };
        self.wide(major << 5 | information, argument)
    }

    #[cfg(target_pointer_width = "64")]
    #[inline]
    fn shortest(&mut self, float: Shortest) -> Written {
        match float {
            Shortest::Half(bits) => {
                let [b, a] = bits.to_be_bytes();
                self.append(&[0xf9, b, a])
            }
            Shortest::Single(bits) => {
                let [d, c, b, a] = bits.to_be_bytes();
                self.append(&[0xfa, d, c, b, a])
            }
            Shortest::Double(bits) => {
                let [h, g, f, e, d, c, b, a] = bits.to_be_bytes();
                self.append(&[0xfb, h, g, f, e, d, c, b, a])
            }
        }
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline]
    fn shortest(&mut self, float: Shortest) -> Written {
        let (information, bits) = match float {
            Shortest::Half(bits) => (25, bits.into()),
            Shortest::Single(bits) => (26, bits.into()),
            Shortest::Double(bits) => (27, bits),
        };
        self.wide(0xe0 | information, bits)
    }

    /// A first byte that announces the width of `argument`, and then that.
    #[cfg(not(target_pointer_width = "64"))]
    #[inline(never)]
    fn wide(&mut self, initial: u8, argument: u64) -> Written {
        let information = initial & 0x1f;
        let width = if information < 24 { 0 } else { 1 << (information & 3) };
        let mut bytes = [0; 16];
        if let Some(last) = bytes.last_chunk_mut() {
            *last = argument.to_be_bytes();
        }
        let Some(bytes) = bytes.get_mut(15 - width..) else { return Ok(()) };
        if let Some(first) = bytes.first_mut() {
            *first = initial;
        }
        self.append(bytes)
    }
}
