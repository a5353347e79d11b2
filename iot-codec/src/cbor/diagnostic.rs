use core::fmt::{self, Write};

use super::{
    DecodeError, DecodeErrorKind, Limits, Simple,
    lenient::{Rules, Token, Tokens, validate},
};

/// Writes an item in diagnostic notation (RFC 8949 §8), for people and tools.
///
/// It takes any well-formed item, deterministic or not, and marks indefinite lengths with `_`. Integers beyond 64 bits are
/// decimal up to 128 bits, and else the tag that they are. Control characters in text are escaped, so that hostile input
/// cannot steer a terminal.
///
/// ```
/// use iot_codec::cbor::{Diagnostic, Limits};
/// let item = b"\xa2\x01\x82\xf9\x4d\x60\xf6\x62id\xc1\x42\x0a\xff";
/// let text = Diagnostic::new(item, &Limits::default())?.to_string();
/// assert_eq!(text, r#"{1: [21.5, null], "id": 1(h'0aff')}"#);
/// # Ok::<(), iot_codec::cbor::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Diagnostic<'b> {
    tokens: Tokens<'b>,
}

impl<'b> Diagnostic<'b> {
    /// The notation of `input`, which is exactly one item.
    ///
    /// # Errors
    /// The first fault found: what is not well-formed, is not UTF-8 or exceeds `limits`.
    pub fn new(input: &'b [u8], limits: &Limits) -> Result<Self, DecodeError> {
        validate(input, limits, Rules::default())?;
        Ok(Self { tokens: Tokens::new(input, limits, Rules::default())? })
    }

    /// The notation of the first item of `input`, and the bytes behind it, for a sequence (RFC 8742).
    ///
    /// # Errors
    /// As [`Diagnostic::new`].
    pub fn first(input: &'b [u8], limits: &Limits) -> Result<(Self, &'b [u8]), DecodeError> {
        let tokens = Tokens::new(input, limits, Rules::default())?;
        let mut walk = tokens.clone();
        for token in walk.by_ref() {
            token?;
        }
        match walk.offset() {
            0 => Err(DecodeError::new(DecodeErrorKind::UnexpectedEnd, 0)),
            _ => Ok((Self { tokens }, walk.rest())),
        }
    }
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tokens = self.tokens.clone();
        let mut levels = [Level { closer: "", is_map: false, index: 0 }; Limits::MAX_DEPTH + 1];
        let mut depth = 0;
        while let Some(Ok(token)) = tokens.next() {
            if token == Token::End {
                f.write_str(levels.get(depth).map_or("", |level| level.closer))?;
                depth = depth.saturating_sub(1);
                continue;
            }
            if let Some(level) = levels.get_mut(depth) {
                f.write_str(level.separator())?;
                level.index += 1;
            }
            let opened = match token {
                Token::Tag(tag @ (2 | 3)) => match bignum(tag, &tokens) {
                    Some((number, after)) => {
                        tokens = after;
                        number.fmt(f)?;
                        None
                    }
                    None => open(token, &tokens, f)?,
                },
                token => open(token, &tokens, f)?,
            };
            if let Some(level) = opened {
                depth += 1;
                if let Some(slot) = levels.get_mut(depth) {
                    *slot = level;
                }
            }
        }
        Ok(())
    }
}

/// A container that is open.
#[derive(Clone, Copy)]
struct Level {
    closer: &'static str,
    is_map: bool,
    /// How many items it has so far.
    index: u32,
}

impl Level {
    fn new(closer: &'static str) -> Self {
        Self { closer, is_map: false, index: 0 }
    }

    fn separator(&self) -> &'static str {
        match self.index {
            0 => "",
            index if self.is_map && index % 2 == 1 => ": ",
            _ => ", ",
        }
    }
}

/// Writes a token, and returns what it opens.
fn open(token: Token<'_>, tokens: &Tokens<'_>, f: &mut fmt::Formatter<'_>) -> Result<Option<Level>, fmt::Error> {
    let is_empty = || matches!(tokens.clone().next(), Some(Ok(Token::End)));
    Ok(match token {
        Token::Array(count) => {
            f.write_str(if count.is_some() { "[" } else { "[_ " })?;
            Some(Level::new("]"))
        }
        Token::Map(count) => {
            f.write_str(if count.is_some() { "{" } else { "{_ " })?;
            Some(Level { is_map: true, ..Level::new("}") })
        }
        Token::Tag(tag) => {
            write!(f, "{tag}(")?;
            Some(Level::new(")"))
        }
        Token::ChunkedBytes if is_empty() => Some(Level::new("''_")),
        Token::ChunkedText if is_empty() => Some(Level::new("\"\"_")),
        Token::ChunkedBytes | Token::ChunkedText => {
            f.write_str("(_ ")?;
            Some(Level::new(")"))
        }
        Token::Unsigned(value) => write!(f, "{value}").map(|()| None)?,
        Token::Negative(n) => write!(f, "{}", -1 - i128::from(n)).map(|()| None)?,
        Token::Bytes(bytes) => write_bytes(bytes, f).map(|()| None)?,
        Token::Text(text) => write_text(text, f).map(|()| None)?,
        Token::Simple(simple) => write_simple(simple, f).map(|()| None)?,
        Token::Float(value) => write_float(value, f).map(|()| None)?,
        Token::End => None,
    })
}

/// The integer of tag 2 or 3, where it is in its preferred form and fits, and the tokens behind it.
fn bignum<'b>(tag: u64, tokens: &Tokens<'b>) -> Option<(Integer, Tokens<'b>)> {
    let mut tokens = tokens.clone();
    let Some(Ok(Token::Bytes(bytes @ [1..=u8::MAX, ..]))) = tokens.next() else { return None };
    if !(9..=16).contains(&bytes.len()) {
        return None;
    }
    let magnitude = bytes.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
    // The End of the tag.
    tokens.next()?.ok()?;
    match tag {
        2 => Some((Integer { sign: "", magnitude }, tokens)),
        _ => Some((Integer { sign: "-", magnitude: magnitude.checked_add(1)? }, tokens)),
    }
}

struct Integer {
    sign: &'static str,
    magnitude: u128,
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.sign, self.magnitude)
    }
}

fn write_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("h'")?;
    for byte in bytes {
        write!(f, "{byte:02x}")?;
    }
    f.write_str("'")
}

fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            // Also the marks that turn the direction of writing.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(f, "\\u{:04x}", u32::from(character))?;
            }
            character if character.is_control() => write!(f, "\\u{:04x}", u32::from(character))?,
            character => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

fn write_simple(simple: Simple, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match simple.number() {
        20 => f.write_str("false"),
        21 => f.write_str("true"),
        22 => f.write_str("null"),
        23 => f.write_str("undefined"),
        number => write!(f, "simple({number})"),
    }
}

/// The shortest decimal that gives back the value, always with a point, and with an exponent where ECMAScript has one.
fn write_float(value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("NaN");
    }
    if value.is_infinite() {
        return f.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let magnitude = value.abs();
    let mut digits = Digits::default();
    if value == 0.0 || (1e-6..1e21).contains(&magnitude) {
        write!(digits, "{value}")?;
        f.write_str(digits.as_str())?;
        return f.write_str(if digits.as_str().contains('.') { "" } else { ".0" });
    }
    write!(digits, "{value:e}")?;
    let (mantissa, exponent) = digits.as_str().split_once('e').unwrap_or((digits.as_str(), "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    write!(f, "{mantissa}{point}e{sign}{exponent}")
}

/// Room for any float between 10^-6 and 10^21, or in scientific notation.
#[derive(Default)]
struct Digits {
    bytes: [u8; 32],
    len: usize,
}

impl Digits {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let target = self.bytes.get_mut(self.len..).and_then(|free| free.get_mut(..text.len()));
        target.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
