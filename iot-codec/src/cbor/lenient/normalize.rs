use alloc::vec::Vec;

use super::{
    super::{Assembly, Collection, DecodeError, DecodeErrorKind, Limits, MapError, Open},
    Rules, Token, Tokens,
};

/// The deterministic encoding (RFC 8949 §4.2.1) of `input`, which is exactly one well-formed item.
///
/// Heads and floats become as short as they can be, lengths definite, chunks one string, and maps sorted. Tags are kept
/// as they are: a bignum that fits 64 bits remains one. Besides what [`validate`](super::validate) refuses, a map that
/// holds two equal keys is refused, wherever they stand.
///
/// It takes memory for the output, which is hardly ever longer than the input; once more for the longest map that was not
/// in order; and 12 bytes for each pair of the maps that are open, or at most 24 where their length is indefinite. The limit
/// of items allows 32,768 pairs unless it is set.
///
/// # Errors
/// The first fault found.
pub fn normalize(input: &[u8], limits: &Limits, rules: Rules) -> Result<Vec<u8>, DecodeError> {
    super::validate(input, limits, rules)?;
    let mut tokens = Tokens::new(input, limits, rules)?;
    let mut normalizer = Normalizer { assembly: Assembly::with_capacity(input.len()), levels: Vec::new() };
    loop {
        let offset = tokens.offset();
        match tokens.next() {
            Some(token) => normalizer.take(token?, offset, &tokens)?,
            None => return Ok(normalizer.assembly.into_bytes()),
        }
    }
}

struct Normalizer {
    assembly: Assembly,
    levels: Vec<Level>,
}

/// A container that is open.
struct Level {
    /// Where it begins in the output, and in the input.
    start: usize,
    offset: usize,
    content: Content,
}

enum Content {
    Array {
        open: Open,
        count: usize,
    },
    /// How many keys and values there are so far.
    Map {
        open: Open,
        items: usize,
    },
    Tag,
    Chunks,
}

impl Normalizer {
    fn take(&mut self, token: Token<'_>, offset: usize, tokens: &Tokens<'_>) -> Result<(), DecodeError> {
        let start = self.assembly.len();
        let is_chunk = matches!(self.levels.last(), Some(Level { content: Content::Chunks, .. }));
        let mut writer = self.assembly.writer();
        let mut opened = None;
        // A vector always has room.
        let _ = match token {
            Token::Bytes(bytes) if is_chunk => writer.put(bytes),
            Token::Text(text) if is_chunk => writer.put(text.as_bytes()),
            Token::End => return self.end(),
            Token::Array(count) => {
                let open = self.assembly.open(Collection::Array, count.map(|count| count as usize));
                opened = Some(Content::Array { open, count: 0 });
                Ok(())
            }
            Token::Map(count) => {
                let open = self.assembly.open(Collection::Map, count.map(|count| count as usize));
                // They are there: all was validated.
                self.assembly.expect_pairs(count.unwrap_or_default() as usize);
                opened = Some(Content::Map { open, items: 0 });
                Ok(())
            }
            Token::Tag(tag) => {
                opened = Some(Content::Tag);
                writer.tag(tag)
            }
            Token::ChunkedBytes => {
                opened = Some(Content::Chunks);
                writer.bytes_header(chunks_len(tokens))
            }
            Token::ChunkedText => {
                opened = Some(Content::Chunks);
                writer.text_header(chunks_len(tokens))
            }
            Token::Unsigned(value) => writer.unsigned(value),
            Token::Negative(value) => writer.negative(value),
            Token::Bytes(bytes) => writer.bytes(bytes),
            Token::Text(text) => writer.text(text),
            Token::Simple(simple) => writer.simple(simple),
            Token::Float(value) => writer.float(value),
        };
        match opened {
            Some(content) => self.levels.push(Level { start, offset, content }),
            None if is_chunk => {}
            None => self.end_item(start),
        }
        Ok(())
    }

    /// The innermost container ends.
    fn end(&mut self) -> Result<(), DecodeError> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        let closed = match level.content {
            Content::Array { open, count } => self.assembly.close(open, count),
            Content::Map { open, items } => self.assembly.close(open, items / 2),
            Content::Tag | Content::Chunks => Ok(()),
        };
        closed.map_err(|error| {
            let kind = match error {
                MapError::DuplicateKey => DecodeErrorKind::DuplicateKey,
                MapError::TooLong => DecodeErrorKind::TooManyBytes,
            };
            DecodeError::new(kind, level.offset)
        })?;
        self.end_item(level.start);
        Ok(())
    }

    /// An item that begins at `start` of the output ends.
    fn end_item(&mut self, start: usize) {
        match self.levels.last_mut().map(|level| &mut level.content) {
            Some(Content::Array { count, .. }) => *count += 1,
            Some(Content::Map { items, .. }) => {
                if items.is_multiple_of(2) {
                    self.assembly.end_key(start);
                } else {
                    self.assembly.end_value();
                }
                *items += 1;
            }
            _ => {}
        }
    }
}

/// The length of the string whose chunks follow.
fn chunks_len(tokens: &Tokens<'_>) -> u64 {
    let chunk_len = |token| match token {
        Ok(Token::Bytes(bytes)) => Some(bytes.len() as u64),
        Ok(Token::Text(text)) => Some(text.len() as u64),
        _ => None,
    };
    tokens.clone().map_while(chunk_len).sum()
}
