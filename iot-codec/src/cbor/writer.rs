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
}

impl<O: Output> Writer<O> {
    /// A writer that appends to `output`.
    #[inline]
    pub fn new(output: O) -> Self {
        Self { output }
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
    #[inline]
    pub fn unsigned(&mut self, value: u64) -> Result<(), EncodeError> {
        self.head(head::UNSIGNED, value)
    }

    /// The integer `-1 - n`, so that every integer down to -2^64 can be written.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn negative(&mut self, n: u64) -> Result<(), EncodeError> {
        self.head(head::NEGATIVE, n)
    }

    /// An integer of either sign.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn int(&mut self, value: i64) -> Result<(), EncodeError> {
        // For a negative value, -1 - value is its complement.
        if value >= 0 { self.unsigned(value as u64) } else { self.negative(!value as u64) }
    }

    /// A byte string.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.bytes_header(bytes.len() as u64)?;
        self.output.put(bytes)
    }

    /// The head of a byte string of `len` bytes, which the caller then [puts](Writer::put) in any number of pieces.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn bytes_header(&mut self, len: u64) -> Result<(), EncodeError> {
        self.head(head::BYTES, len)
    }

    /// A text string.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        self.text_header(text.len() as u64)?;
        self.output.put(text.as_bytes())
    }

    /// The head of a text string of `len` bytes, which the caller then [puts](Writer::put) in any number of pieces.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn text_header(&mut self, len: u64) -> Result<(), EncodeError> {
        self.head(head::TEXT, len)
    }

    /// The head of an array; its `len` elements follow.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn array(&mut self, len: u64) -> Result<(), EncodeError> {
        self.head(head::ARRAY, len)
    }

    /// The head of a map; its `len` pairs follow, each a key and then its value.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn map(&mut self, len: u64) -> Result<(), EncodeError> {
        self.head(head::MAP, len)
    }

    /// A tag; its content follows.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn tag(&mut self, tag: u64) -> Result<(), EncodeError> {
        self.head(head::TAG, tag)
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn bool(&mut self, value: bool) -> Result<(), EncodeError> {
        self.output.put(&[0xf4 | u8::from(value)])
    }

    /// `null`.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn null(&mut self) -> Result<(), EncodeError> {
        self.output.put(&[0xf6])
    }

    /// `undefined`.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn undefined(&mut self) -> Result<(), EncodeError> {
        self.output.put(&[0xf7])
    }

    /// A simple value by its number.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn simple(&mut self, value: Simple) -> Result<(), EncodeError> {
        match value.number() {
            number @ 0..24 => self.output.put(&[0xe0 | number]),
            number => self.output.put(&[0xf8, number]),
        }
    }

    /// A float, in the shortest of 16, 32 and 64 bits that gives back the same bits.
    ///
    /// That holds for NaNs too: one is shortened when the payload bits that would be cut are all zero, so payload,
    /// sign and the signalling bit survive (RFC 8949 §4.2.2, the payload-preserving choice).
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        self.shortest(Shortest::of_f64(value))
    }

    /// A float, as [`Writer::float`] writes the same value.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn float32(&mut self, value: f32) -> Result<(), EncodeError> {
        self.shortest(Shortest::of_f32(value))
    }

    /// An item that is already encoded, byte for byte.
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn raw(&mut self, item: RawItem<'_>) -> Result<(), EncodeError> {
        self.output.put(item.as_bytes())
    }

    /// Bytes as they are: the content after a [`bytes_header`](Writer::bytes_header).
    ///
    /// # Errors
    /// See [`Writer`].
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.output.put(bytes)
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn head(&mut self, major: u8, argument: u64) -> Result<(), EncodeError> {
        // A separate path for the shortest heads, which are most of them, lets the store be a single byte.
        if argument < 24 { self.output.put(&[major << 5 | argument as u8]) } else { self.long_head(major, argument) }
    }

    #[cfg(target_pointer_width = "64")]
    #[inline]
    fn long_head(&mut self, major: u8, argument: u64) -> Result<(), EncodeError> {
        let [_, _, _, _, d, c, b, a] = argument.to_be_bytes();
        let initial = major << 5;
        if argument < 1 << 8 {
            self.output.put(&[initial | 24, a])
        } else if argument < 1 << 16 {
            self.output.put(&[initial | 25, b, a])
        } else if argument < 1 << 32 {
            self.output.put(&[initial | 26, d, c, b, a])
        } else {
            let [h, g, f, e, ..] = argument.to_be_bytes();
            self.output.put(&[initial | 27, h, g, f, e, d, c, b, a])
        }
    }

    /// One store for all widths, where code should be small.
    #[cfg(not(target_pointer_width = "64"))]
    #[inline]
    fn long_head(&mut self, major: u8, argument: u64) -> Result<(), EncodeError> {
        let [h, g, f, e, d, c, b, a] = argument.to_be_bytes();
        let (high, low) = ((argument >> 32) as u32, argument as u32);
        let (information, start) = match (high, low) {
            (0, 0..0x100) => (24, 7),
            (0, 0x100..0x1_0000) => (25, 6),
            (0, _) => (26, 4),
            _ => (27, 0),
        };
        let mut bytes = [0, h, g, f, e, d, c, b, a];
        let Some(bytes) = bytes.get_mut(start..) else { return Ok(()) };
        if let Some(initial) = bytes.first_mut() {
            *initial = major << 5 | information;
        }
        self.output.put(bytes)
    }

    #[inline]
    fn shortest(&mut self, float: Shortest) -> Result<(), EncodeError> {
        match float {
            Shortest::Half(bits) => {
                let [b, a] = bits.to_be_bytes();
                self.output.put(&[0xf9, b, a])
            }
            Shortest::Single(bits) => {
                let [d, c, b, a] = bits.to_be_bytes();
                self.output.put(&[0xfa, d, c, b, a])
            }
            Shortest::Double(bits) => {
                let [h, g, f, e, d, c, b, a] = bits.to_be_bytes();
                self.output.put(&[0xfb, h, g, f, e, d, c, b, a])
            }
        }
    }
}
