//! Deterministic CBOR: a writer, a borrowed strict cursor, and an iterative validator.

// What reads and writes single items is inlined by force where pointers have 64 bits, because there time counts, and kept
// out of line elsewhere, because there flash does: each is worth a third of what it is for.

#[cfg(feature = "alloc")]
mod assembly;
mod bignum;
mod coding;
mod cursor;
mod diagnostic;
mod error;
mod float;
mod head;
mod items;
pub mod lenient;
mod limits;
mod output;
mod raw;
mod simple;
mod typed_array;
mod validate;
mod writer;

pub use bignum::{Bignum, Sign};
pub use coding::{Decode, Encode, encoded_len, from_slice, from_slice_within, to_slice};
pub use cursor::Cursor;
#[doc(hidden)]
pub use cursor::Failed;
pub use diagnostic::Diagnostic;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, LimitsError};
pub use head::Kind;
pub use items::{Array, Items, ItemsIter};
pub use limits::Limits;
pub use output::{Buffer, Length, Output};
pub use raw::RawItem;
pub use simple::Simple;
pub use typed_array::{TypedArray, TypedArrayIter, TypedElement};
pub use validate::validate;
pub use writer::Writer;

#[cfg(feature = "alloc")]
pub(crate) use assembly::{Assembly, Collection, MapError, Open};
pub(crate) use {
    coding::unexpected_length,
    error::{Flaw, NO_KEY},
    head::MAP,
    validate::ascends_slowly as ascends,
};

#[cfg(feature = "alloc")]
pub use {coding::to_vec, items::List};
