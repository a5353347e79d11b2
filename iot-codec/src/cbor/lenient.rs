//! CBOR that others made: well-formed, but not in the one deterministic encoding.
//!
//! The rest of this crate refuses such input. Here it is read all the same, as far as [`Rules`] allow, under the same
//! [`Limits`]: without recursion, and without allocation except in `normalize`. What is not well-formed (RFC 8949 §5.3.1), or
//! whose text is not UTF-8, is refused in any case.
//!
//! A map that holds a key twice passes unless [`Rules`] refuse unsorted keys: to find it takes memory. Whoever reads
//! [`Tokens`] decides which of the two counts; `normalize` refuses the map.
//!
//! `normalize` (feature `alloc`) is the way back: it gives the deterministic encoding of the same data, for
//! [`record!`](crate::record!) and everything else here. Without an allocator, [`Tokens`] gives the data piece by piece.
//!
//! ```
//! use iot_codec::cbor::{Limits, lenient::{Rules, Token, Tokens, validate}};
//!
//! // {_ "b": 1, "a": (_ h'01', h'02')}, with a long 1.
//! let loose = b"\xbf\x61b\x18\x01\x61a\x5f\x41\x01\x41\x02\xff\xff";
//! validate(loose, &Limits::default(), Rules::default())?;
//! assert!(validate(loose, &Limits::default(), Rules::default().refuse_indefinite_lengths()).is_err());
//!
//! let tokens: Vec<_> = Tokens::new(loose, &Limits::default(), Rules::default())?.collect::<Result<_, _>>()?;
//! assert_eq!(tokens[..3], [Token::Map(None), Token::Text("b"), Token::Unsigned(1)]);
//!
//! # #[cfg(feature = "alloc")]
//! # {
//! use iot_codec::cbor::lenient::normalize;
//! let bytes = normalize(loose, &Limits::default(), Rules::default())?;
//! assert_eq!(bytes, b"\xa2\x61a\x42\x01\x02\x61b\x01");
//! # }
//! # Ok::<(), iot_codec::cbor::DecodeError>(())
//! ```

#[cfg(feature = "alloc")]
mod normalize;
mod rules;
mod tokens;

#[cfg(feature = "alloc")]
pub use normalize::normalize;
pub use rules::Rules;
pub use tokens::{Token, Tokens};

use super::{DecodeError, DecodeErrorKind, Limits};

/// Checks that `input` is exactly one well-formed item within `limits` and `rules`.
///
/// It allocates nothing, does not recurse, and takes time linear in the input.
///
/// # Errors
/// The first fault found, reading from the start.
pub fn validate(input: &[u8], limits: &Limits, rules: Rules) -> Result<(), DecodeError> {
    let mut tokens = Tokens::new(input, limits, rules)?;
    for token in tokens.by_ref() {
        token?;
    }
    match tokens.rest() {
        [] => Ok(()),
        _ => Err(DecodeError::new(DecodeErrorKind::TrailingBytes, tokens.offset())),
    }
}
