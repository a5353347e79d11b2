use super::{
    DecodeError, Kind, Limits, MAX_SAMPLES,
    bits::BitReader,
    channel::Meaning,
    head,
    integers::{Cell, Order, Shape, tag, take_body},
    number::take_number,
    presence, scale, times,
};

/// Reads a batch from the front: its times, then one channel after the other, each into slices of the caller's.
///
/// What is not asked for is skipped. After an error, and after the last channel, there is nothing more to read.
/// Nothing is allocated, and the stack stays below 1 KB on a Cortex-M3.
///
/// ```
/// use iot_codec::series::{Kind, Limits, Reader};
/// # use iot_codec::series::{Channel, Encoder};
/// # let times = [1_767_225_600_000_000, 1_767_225_660_000_000, 1_767_225_720_000_000];
/// # let mut space = [0; 64];
/// # let len = Encoder::<64>::new().encode(&times, &[Channel::floats(&[21.5, 21.6, 21.6])], &mut space)?;
/// # let blob = &space[..len];
///
/// let mut reader = Reader::new(blob, &Limits::default().samples(1024))?;
/// let mut times = [0; 1024];
/// let mut values = [0.0; 1024];
/// let samples = reader.samples();
///
/// reader.times(&mut times[..samples])?;
/// while let Some(channel) = reader.next_channel()? {
///     assert_eq!(channel.kind(), Kind::Float);
///     channel.floats(&mut values[..samples])?;
/// }
/// assert_eq!(values[..samples], [21.5, 21.6, 21.6]);
/// assert_eq!(times[1] - times[0], 60_000_000);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    bits: BitReader<'b>,
    len: usize,
    samples: usize,
    channels_left: usize,
    state: State<'b>,
    /// Where the marks of the channel before stand, if it had any.
    marks: Option<BitReader<'b>>,
}

#[derive(Clone, Copy, Debug)]
enum State<'b> {
    Times,
    Channels,
    /// A channel whose values have not been read.
    Pending(Header<'b>),
    Failed(DecodeError),
}

/// What is known of a channel before its values.
#[derive(Clone, Copy, Debug)]
struct Header<'b> {
    /// Where the marks begin, if anything is missing.
    marks: Option<BitReader<'b>>,
    /// How many values are not missing.
    there: usize,
    /// How many values the scale does not give back, and where they begin.
    exceptions: Option<(usize, BitReader<'b>)>,
    prefix: Prefix,
    meaning: Meaning,
}

/// How the integers of a column are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    pub(super) shape: Shape,
    pub(super) divisor: u64,
}

impl<'b> Reader<'b> {
    /// Begins to read a batch, which is all of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError::TooManySamples`] and [`DecodeError::TooManyChannels`] above the limits, and damage to the head.
    pub fn new(bytes: &'b [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut bits = BitReader::new(bytes);
        let head = head::take(&mut bits);
        let mut reader =
            Self { bits, len: bytes.len(), samples: 0, channels_left: 0, state: State::Times, marks: None };
        let (samples, channels) = reader.checked(head)?;
        if samples > limits.samples {
            return Err(DecodeError::TooManySamples { samples, limit: limits.samples });
        }
        if channels > limits.channels {
            return Err(DecodeError::TooManyChannels { channels, limit: limits.channels });
        }
        (reader.samples, reader.channels_left) = (samples, channels);
        Ok(reader)
    }

    /// How many samples each channel has; at most [`Limits::samples`].
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// How many channels are still to come.
    #[must_use]
    pub fn channels_left(&self) -> usize {
        self.channels_left
    }

    /// Reads the times, in microseconds since the Unix epoch, into a slice of as many elements as there are samples.
    ///
    /// # Errors
    /// [`DecodeError::OutOfOrder`] after the first channel or for a second time; damage to the times.
    pub fn times(&mut self, times: &mut [i64]) -> Result<(), DecodeError> {
        self.check_length(times.len())?;
        match self.state {
            State::Times => self.take_times(times),
            State::Failed(error) => Err(error),
            State::Channels | State::Pending(_) => Err(DecodeError::OutOfOrder),
        }
    }

    /// Goes on to the next channel; `None` after the last.
    ///
    /// # Errors
    /// Damage to what was skipped, to the channel's head, or behind the last channel.
    pub fn next_channel(&mut self) -> Result<Option<ChannelReader<'_, 'b>>, DecodeError> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Times => self.take_times(&mut [(); MAX_SAMPLES][..self.samples])?,
            State::Pending(header) => self.take_values(&header, &mut [(); MAX_SAMPLES][..header.there], |_| ())?,
            State::Channels => {}
        }
        if self.channels_left == 0 {
            self.check_end()?;
            return Ok(None);
        }
        let header = self.take_header();
        let header = self.checked(header)?;
        self.channels_left -= 1;
        self.state = State::Pending(header);
        Ok(Some(ChannelReader { reader: self, header }))
    }

    fn take_times<T: Cell>(&mut self, times: &mut [T]) -> Result<(), DecodeError> {
        let done = times::take(&mut self.bits, times);
        self.checked(done)?;
        self.state = State::Channels;
        Ok(())
    }

    fn take_header(&mut self) -> Option<Header<'b>> {
        let (mut marks, mut there) = (None, self.samples);
        let mut tag = (there > 0).then(|| take_tag(&mut self.bits));
        if let Some(Tag::Missing | Tag::MissingAsBefore) = tag {
            let mut from = if tag == Some(Tag::Missing) { self.bits } else { self.marks? };
            marks = Some(from);
            there = presence::take(&mut from, self.samples, |_, _| ())?;
            if tag == Some(Tag::Missing) {
                self.bits = from;
            }
            tag = (there > 0).then(|| take_tag(&mut self.bits));
        }
        self.marks = marks;
        let mut exceptions = None;
        if tag == Some(Tag::Exceptions) {
            exceptions = Some(self.skip_exceptions(there)?);
            tag = Some(take_tag(&mut self.bits));
        }
        let prefix = match tag {
            None => Prefix { shape: Shape::Packed, divisor: 1 },
            Some(tag) => finish_prefix(&mut self.bits, tag)?,
        };
        let meaning = Meaning::take(&mut self.bits)?;
        let fits = exceptions.is_none() || matches!(meaning, Meaning::Decimal(_));
        fits.then_some(Header { marks, there, exceptions, prefix, meaning })
    }

    fn skip_exceptions(&mut self, there: usize) -> Option<(usize, BitReader<'b>)> {
        let count = usize::try_from(self.bits.take_gamma()?).ok()?.checked_add(1)?;
        let begin = self.bits;
        if count > there {
            return None;
        }
        for _ in 0..count {
            take_exception(&mut self.bits)?;
        }
        Some((count, begin))
    }

    /// Takes the values that are there, each made by `finish` of its integer or else taken from the exceptions.
    #[inline(always)]
    fn take_values<T: Cell>(
        &mut self,
        header: &Header<'b>,
        cells: &mut [T],
        finish: impl Fn(i64) -> T,
    ) -> Result<(), DecodeError> {
        if header.there > 0 {
            let Prefix { shape, divisor } = header.prefix;
            let mut done = take_body(&mut self.bits, shape, divisor, cells, finish);
            if let Some((count, from)) = header.exceptions {
                done = done.and(put_exceptions(from, count, cells));
            }
            self.checked(done)?;
        }
        self.state = State::Channels;
        Ok(())
    }

    /// The value, unless it is none or was made of bits that are not there.
    #[inline(always)]
    fn checked<T>(&mut self, value: Option<T>) -> Result<T, DecodeError> {
        match value {
            Some(value) if !self.bits.overrun() => Ok(value),
            _ => Err(self.fail()),
        }
    }

    #[cold]
    fn fail(&mut self) -> DecodeError {
        let error = if self.bits.overrun() {
            DecodeError::UnexpectedEnd { len: self.len }
        } else {
            DecodeError::InvalidCode { offset: self.bits.position().div_ceil(8) }
        };
        self.state = State::Failed(error);
        error
    }

    fn check_end(&mut self) -> Result<(), DecodeError> {
        if self.bits.ends_here() {
            return Ok(());
        }
        let error = DecodeError::TrailingBytes { offset: self.bits.position() / 8 };
        self.state = State::Failed(error);
        Err(error)
    }

    fn check_length(&self, found: usize) -> Result<(), DecodeError> {
        if found == self.samples {
            return Ok(());
        }
        Err(DecodeError::WrongLength { expected: self.samples, found })
    }
}

/// A channel whose values come next.
#[derive(Debug)]
pub struct ChannelReader<'r, 'b> {
    reader: &'r mut Reader<'b>,
    header: Header<'b>,
}

impl ChannelReader<'_, '_> {
    /// What the values are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.header.meaning.kind()
    }

    /// How many values are missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.reader.samples - self.header.there
    }

    /// Marks with `true` which values are there, in a slice of as many elements as there are samples.
    ///
    /// # Errors
    /// [`DecodeError::WrongLength`].
    pub fn present(&self, marks: &mut [bool]) -> Result<(), DecodeError> {
        self.reader.check_length(marks.len())?;
        marks.fill(true);
        if let Some(mut from) = self.header.marks {
            let mut rest = marks.iter_mut();
            presence::take(&mut from, self.reader.samples, |len, present| {
                rest.by_ref().take(len).for_each(|mark| *mark = present);
            });
        }
        Ok(())
    }

    /// Reads the values into a slice of as many elements as there are samples; a NaN stands where one is missing.
    ///
    /// # Errors
    /// [`DecodeError::WrongKind`] and [`DecodeError::WrongLength`]; damage to the values.
    pub fn floats(self, values: &mut [f64]) -> Result<(), DecodeError> {
        let missing = self.begin(values.len(), Kind::Float)?;
        let Self { reader, header } = self;
        let there = values.get_mut(missing..).unwrap_or(&mut []);
        match header.meaning {
            Meaning::Decimal(exponent) => {
                let power = scale::power(exponent);
                reader.take_values(&header, there, |integer| integer as f64 / power)?;
            }
            Meaning::Ordered(zeros) => {
                reader.take_values(&header, there, |integer| scale::from_ordered(integer, zeros))?;
            }
            Meaning::Integer => return Err(DecodeError::WrongKind),
        }
        spread(values, &header, f64::NAN);
        Ok(())
    }

    /// Reads the values into a slice of as many elements as there are samples; a zero stands where one is missing.
    ///
    /// # Errors
    /// [`DecodeError::WrongKind`] and [`DecodeError::WrongLength`]; damage to the values.
    pub fn integers(self, values: &mut [i64]) -> Result<(), DecodeError> {
        let missing = self.begin(values.len(), Kind::Integer)?;
        let Self { reader, header } = self;
        reader.take_values(&header, values.get_mut(missing..).unwrap_or(&mut []), |integer| integer)?;
        spread(values, &header, 0);
        Ok(())
    }

    /// Checks what the caller asks for, and returns how many values are missing.
    fn begin(&self, len: usize, kind: Kind) -> Result<usize, DecodeError> {
        self.reader.check_length(len)?;
        if kind != self.kind() {
            return Err(DecodeError::WrongKind);
        }
        Ok(self.missing())
    }
}

/// Moves the values that are there from the end of the slice to their places, and puts `filler` between them.
fn spread<T: Copy>(values: &mut [T], header: &Header<'_>, filler: T) {
    let Some(mut marks) = header.marks else { return };
    let (mut to, mut from) = (0, values.len() - header.there);
    presence::take(&mut marks, values.len(), |len, present| {
        if present {
            values.copy_within(from..from + len, to);
            from += len;
        } else {
            values[to..to + len].fill(filler);
        }
        to += len;
    });
}

/// Takes one exception: how many others lie before it, and its bits.
fn take_exception(bits: &mut BitReader<'_>) -> Option<(usize, u64)> {
    Some((usize::try_from(bits.take_gamma()?).ok()?, bits.take(64)))
}

fn put_exceptions<T: Cell>(mut from: BitReader<'_>, count: usize, cells: &mut [T]) -> Option<()> {
    let mut rest = cells;
    for _ in 0..count {
        let (others, value) = take_exception(&mut from)?;
        let (cell, behind) = rest.get_mut(others..)?.split_first_mut()?;
        *cell = T::from_integer(value as i64);
        rest = behind;
    }
    Some(())
}

/// Takes a column's prefix, in which nothing may be missing.
pub(super) fn take_prefix(bits: &mut BitReader<'_>) -> Option<Prefix> {
    let tag = take_tag(bits);
    finish_prefix(bits, tag)
}

fn finish_prefix(bits: &mut BitReader<'_>, mut tag: Tag) -> Option<Prefix> {
    let mut divisor = 1;
    if tag == Tag::Divisor {
        divisor = take_number(bits)?;
        tag = take_tag(bits);
    }
    match tag {
        Tag::Shape(shape) => Some(Prefix { shape, divisor }),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shape(Shape),
    Missing,
    MissingAsBefore,
    Exceptions,
    Divisor,
    Reserved,
}

fn take_tag(bits: &mut BitReader<'_>) -> Tag {
    match bits.take_ones(tag::EXTENDED) {
        tag::ORDER_1 => Tag::Shape(Shape::Differences(Order::One)),
        tag::ORDER_2 => Tag::Shape(Shape::Differences(Order::Two)),
        tag::PACKED => Tag::Shape(Shape::Packed),
        _ => match bits.take(tag::EXTENSION_BITS) {
            tag::ORDER_0 => Tag::Shape(Shape::Differences(Order::Zero)),
            tag::MISSING => Tag::Missing,
            tag::MISSING_AS_BEFORE => Tag::MissingAsBefore,
            tag::EXCEPTIONS => Tag::Exceptions,
            tag::DIVISOR => Tag::Divisor,
            _ => Tag::Reserved,
        },
    }
}
