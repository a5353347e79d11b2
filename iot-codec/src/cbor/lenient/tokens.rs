use core::iter::FusedIterator;

use super::{
    super::{
        DecodeError, DecodeErrorKind, Kind, Limits, Simple,
        error::Flaw,
        float::Shortest,
        head::{self, chunk, content},
    },
    Rules,
};

/// A piece of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Token<'b> {
    /// An integer from 0 to 2^64-1.
    Unsigned(u64),
    /// The integer -1 - n.
    Negative(u64),
    /// A byte string, or a chunk of one.
    Bytes(&'b [u8]),
    /// A text string, or a chunk of one.
    Text(&'b str),
    /// A byte string in chunks: [`Bytes`](Self::Bytes) up to the [`End`](Self::End).
    ChunkedBytes,
    /// A text string in chunks: [`Text`](Self::Text) up to the [`End`](Self::End).
    ChunkedText,
    /// An array up to its [`End`](Self::End), and how many elements it has, where the head tells.
    Array(Option<u32>),
    /// A map up to its [`End`](Self::End), and how many pairs it has, where the head tells. Keys and values take turns.
    Map(Option<u32>),
    /// A tag; its content follows, and then an [`End`](Self::End).
    Tag(u64),
    /// A simple value, `false` (20) to `undefined` (23) included.
    Simple(Simple),
    /// A float of any width.
    Float(f64),
    /// The end of the innermost array, map, tag or chunked string that is open.
    End,
}

/// Reads one well-formed item piece by piece: an iterator of [`Token`]s that ends after the item, or after a fault.
///
/// Every container that begins also ends, so a consumer needs no lengths; nesting never exceeds the limit of depth, where
/// a string in chunks counts as a level and its chunks as items.
#[derive(Clone, Debug)]
pub struct Tokens<'b> {
    input: &'b [u8],
    rest: &'b [u8],
    rules: Rules,
    items: u32,
    depth: usize,
    /// The containers that are open: the innermost is at `level`, and the first stands for the input.
    frames: [Frame; Limits::MAX_DEPTH + 1],
    level: usize,
    is_done: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    container: Container,
    /// Items still to come; nothing for an indefinite length.
    remaining: Option<u32>,
    /// Whether the next item of a map is a value.
    expects_value: bool,
    /// Where the latest key begins, and the key before it.
    key: Option<u32>,
    previous: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Items,
    Map,
    /// Chunks of this major type.
    Chunks(u8),
}

const ONE_ITEM: Frame = Frame::new(Container::Items, Some(1));

impl Frame {
    const fn new(container: Container, remaining: Option<u32>) -> Self {
        Self { container, remaining, expects_value: false, key: None, previous: None }
    }
}

impl<'b> Tokens<'b> {
    /// The tokens of the first item of `input`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooManyBytes`].
    pub fn new(input: &'b [u8], limits: &Limits, rules: Rules) -> Result<Self, DecodeError> {
        if input.len() > limits.bytes as usize {
            return Err(DecodeError::new(DecodeErrorKind::TooManyBytes, limits.bytes as usize));
        }
        Ok(Self {
            input,
            rest: input,
            rules,
            items: limits.items,
            depth: limits.depth.into(),
            frames: [ONE_ITEM; Limits::MAX_DEPTH + 1],
            level: 0,
            is_done: false,
        })
    }

    /// Where the next token begins, in bytes from the start of the input.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }

    fn top(&mut self) -> &mut Frame {
        // The level never leaves the array, because `push` refuses it.
        let level = self.level.min(Limits::MAX_DEPTH);
        &mut self.frames[level]
    }

    fn read(&mut self) -> Result<Option<Token<'b>>, DecodeErrorKind> {
        let frame = *self.top();
        if frame.remaining == Some(0) || (frame.remaining.is_none() && self.rest.first() == Some(&BREAK)) {
            if self.level == 0 {
                return Ok(None);
            }
            if frame.expects_value {
                // A break where a value is due.
                return Err(DecodeErrorKind::ReservedInformation);
            }
            if frame.remaining.is_none() {
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
            self.level -= 1;
            return Ok(Some(Token::End));
        }
        self.begin_item()?;
        let (&initial, after) = self.rest.split_first().ok_or(DecodeErrorKind::UnexpectedEnd)?;
        let major = initial >> 5;
        if let Container::Chunks(chunk) = frame.container {
            if major != chunk {
                let expected = if chunk == head::BYTES { Kind::Bytes } else { Kind::Text };
                return Err(DecodeErrorKind::UnexpectedType { expected, found: Kind::of(initial) });
            }
            if initial & 0x1f == 31 {
                return Err(DecodeErrorKind::ReservedInformation);
            }
        }
        if major > head::TAG {
            let (token, rest) = self.simple_or_float(initial, after)?;
            self.rest = rest;
            return Ok(Some(token));
        }
        let (argument, after) = self.argument(initial, after)?;
        let Some(argument) = argument else {
            return self.begin_indefinite(major, after).map(Some);
        };
        let token = match major {
            head::UNSIGNED => Token::Unsigned(argument),
            head::NEGATIVE => Token::Negative(argument),
            head::BYTES | head::TEXT => {
                let (bytes, after) = content(after, argument)?;
                self.rest = after;
                return Ok(Some(match major {
                    head::BYTES => Token::Bytes(bytes),
                    _ => Token::Text(core::str::from_utf8(bytes).map_err(|_| DecodeErrorKind::InvalidUtf8)?),
                }));
            }
            head::ARRAY => {
                let count = self.claim(argument, 1, after)?;
                self.push(Frame::new(Container::Items, Some(count)))?;
                Token::Array(Some(count))
            }
            head::MAP => {
                let count = self.claim(argument, 2, after)?;
                self.push(Frame::new(Container::Map, Some(count)))?;
                Token::Map(Some(count / 2))
            }
            _ => {
                self.charge(1)?;
                self.push(Frame::new(Container::Items, Some(1)))?;
                Token::Tag(argument)
            }
        };
        self.rest = after;
        Ok(Some(token))
    }

    /// Counts an item into its container, and notes where keys begin.
    fn begin_item(&mut self) -> Result<(), DecodeErrorKind> {
        let position = self.offset() as u32;
        let mut frame = *self.top();
        match &mut frame.remaining {
            Some(remaining) => *remaining -= 1,
            None => self.charge(1)?,
        }
        if frame.container == Container::Map {
            if frame.expects_value {
                self.check_order(frame)?;
                frame.previous = frame.key;
            } else {
                frame.key = Some(position);
            }
            frame.expects_value = !frame.expects_value;
        }
        *self.top() = frame;
        Ok(())
    }

    /// Compares the latest key, which ends here, with the one before it.
    fn check_order(&self, frame: Frame) -> Result<(), DecodeErrorKind> {
        let (Some(previous), Some(key)) = (frame.previous, frame.key) else { return Ok(()) };
        if self.rules.unsorted_keys {
            return Ok(());
        }
        let key = self.input.get(key as usize..self.offset()).unwrap_or_default();
        let previous = self.input.get(previous as usize..).and_then(|bytes| bytes.get(..key.len()));
        match previous.unwrap_or_default().cmp(key) {
            core::cmp::Ordering::Less => Ok(()),
            core::cmp::Ordering::Equal => Err(DecodeErrorKind::DuplicateKey),
            core::cmp::Ordering::Greater => Err(DecodeErrorKind::UnsortedKeys),
        }
    }

    /// The argument of a head, or nothing for an indefinite length.
    fn argument(&self, initial: u8, rest: &'b [u8]) -> Result<(Option<u64>, &'b [u8]), DecodeErrorKind> {
        let mut after = self.rest;
        match head::take(&mut after) {
            Ok(argument) => Ok((Some(argument), after)),
            Err(Flaw::LongArgument) if self.rules.long_forms => {
                let (bytes, rest) = content(rest, 1 << (initial & 3))?;
                Ok((Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))), rest))
            }
            Err(Flaw::IndefiniteLength) if self.rules.indefinite_lengths => Ok((None, rest)),
            Err(flaw) => Err(flaw.into()),
        }
    }

    fn begin_indefinite(&mut self, major: u8, after: &'b [u8]) -> Result<Token<'b>, DecodeErrorKind> {
        let (container, token) = match major {
            head::BYTES => (Container::Chunks(head::BYTES), Token::ChunkedBytes),
            head::TEXT => (Container::Chunks(head::TEXT), Token::ChunkedText),
            head::ARRAY => (Container::Items, Token::Array(None)),
            _ => (Container::Map, Token::Map(None)),
        };
        self.push(Frame::new(container, None))?;
        self.rest = after;
        Ok(token)
    }

    fn simple_or_float(&self, initial: u8, rest: &'b [u8]) -> Result<(Token<'b>, &'b [u8]), DecodeErrorKind> {
        match initial & 0x1f {
            number @ 0..24 => Ok((Token::Simple(Simple::checked(number)), rest)),
            24 => match chunk(rest)? {
                ([0..32], _) => Err(DecodeErrorKind::InvalidSimple),
                ([number], rest) => Ok((Token::Simple(Simple::checked(number)), rest)),
            },
            25..28 => {
                let mut after = self.rest;
                let (float, rest) = match Shortest::take(initial, &mut after) {
                    Err(Flaw::LongFloat) if self.rules.long_forms => Shortest::read_long(initial, rest)?,
                    result => (result?, after),
                };
                Ok((Token::Float(float.to_f64()), rest))
            }
            _ => Err(DecodeErrorKind::ReservedInformation),
        }
    }

    /// How many items an array or map of `count` elements or pairs holds, if so many can follow.
    fn claim(&mut self, count: u64, items_each: u64, after: &[u8]) -> Result<u32, DecodeErrorKind> {
        // Every item takes at least a byte, so a larger claim is known to be false before it is followed.
        let items = count.checked_mul(items_each).filter(|items| *items <= after.len() as u64);
        let items = u32::try_from(items.ok_or(DecodeErrorKind::UnexpectedEnd)?);
        let items = items.map_err(|_| DecodeErrorKind::TooManyItems)?;
        self.charge(items)?;
        Ok(items)
    }

    fn charge(&mut self, items: u32) -> Result<(), DecodeErrorKind> {
        self.items = self.items.checked_sub(items).ok_or(DecodeErrorKind::TooManyItems)?;
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<(), DecodeErrorKind> {
        if self.level >= self.depth {
            return Err(DecodeErrorKind::TooDeep);
        }
        self.level += 1;
        *self.top() = frame;
        Ok(())
    }
}

const BREAK: u8 = 0xff;

impl<'b> Iterator for Tokens<'b> {
    type Item = Result<Token<'b>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let position = self.offset();
        match self.read() {
            Ok(Some(token)) => Some(Ok(token)),
            Ok(None) => {
                self.is_done = true;
                None
            }
            Err(kind) => {
                self.is_done = true;
                // A key that is out of order is named, not the value behind it.
                let key = matches!(kind, DecodeErrorKind::UnsortedKeys | DecodeErrorKind::DuplicateKey);
                let offset = if key { self.top().key.map_or(position, |key| key as usize) } else { position };
                Some(Err(DecodeError::new(kind, offset)))
            }
        }
    }
}

impl FusedIterator for Tokens<'_> {}
