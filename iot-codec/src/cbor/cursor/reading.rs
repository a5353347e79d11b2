use super::Cursor;
use crate::cbor::{
    DecodeError, Kind, Limits,
    coding::unexpected_length,
    error::Flaw,
    float::Shortest,
    head::{self, claim, saturated, take_content},
    validate::walk,
};

/// That reading failed: what the functions inside of a cursor return in place of the error.
///
/// Where pointers have 64 bits it is the error. Elsewhere it is empty, so that results stay in registers, and the cursor
/// knows the error.
#[derive(Clone, Copy, Debug)]
pub struct Failed(#[cfg(target_pointer_width = "64")] DecodeError);

/// What is read here moves the cursor only if it is as it should be.
impl<'b> Cursor<'b> {
    /// A cursor under `limits`, of which that of bytes is not yet [checked](Self::check_len).
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(in crate::cbor) fn start(input: &'b [u8], limits: &Limits) -> Self {
        Self {
            rest: input,
            end: input.len(),
            items: limits.items,
            depth: limits.depth.into(),
            #[cfg(not(target_pointer_width = "64"))]
            argument: 0,
            #[cfg(not(target_pointer_width = "64"))]
            error: DecodeError::NONE,
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(in crate::cbor) fn check_len(&mut self, limits: &Limits) -> Result<(), Failed> {
        let most = limits.bytes as usize;
        if self.rest.len() > most { Err(self.fail_at(Flaw::TooManyBytes, most)) } else { Ok(()) }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(in crate::cbor) fn check_end(&mut self) -> Result<(), Failed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fail(Flaw::TrailingBytes)) }
    }

    /// The error for callers that are no part of this crate.
    #[inline(always)]
    pub fn outcome<T>(&self, result: Result<T, Failed>) -> Result<T, DecodeError> {
        match result {
            Ok(value) => Ok(value),
            #[cfg(target_pointer_width = "64")]
            Err(Failed(error)) => Err(error),
            #[cfg(not(target_pointer_width = "64"))]
            Err(Failed()) => Err(self.error.again()),
        }
    }

    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    pub(crate) fn fail_with(&mut self, error: DecodeError) -> Failed {
        Failed(error)
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    pub(crate) fn fail_with(&mut self, error: DecodeError) -> Failed {
        self.error = error;
        Failed()
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), cold)]
    pub(crate) fn fail_at(&mut self, flaw: Flaw, offset: usize) -> Failed {
        self.fail_with(DecodeError::of(flaw, offset))
    }

    /// Something is wrong with the next item.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), cold)]
    pub(crate) fn fail(&mut self, flaw: Flaw) -> Failed {
        self.fail_at(flaw, self.position())
    }

    /// The next item is not of the kind whose number is `expected`: its major type, up to tags.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), cold)]
    pub(super) fn fail_kind(&mut self, expected: u8) -> Failed {
        self.fail_with(mismatch(expected, self.rest, self.position()))
    }

    /// Names the key under which reading failed, unless an inner record has.
    #[inline]
    pub(crate) fn name(&mut self, failed: Failed, key: i32) -> Failed {
        #[cfg(target_pointer_width = "64")]
        return Failed(failed.0.or_key(key));
        #[cfg(not(target_pointer_width = "64"))]
        {
            self.error.add_key(key);
            failed
        }
    }

    /// An integer from 0 to `most`, for an integer type of that range.
    #[inline(always)]
    pub(in crate::cbor) fn unsigned_to(&mut self, most: u64) -> Result<u64, Failed> {
        match u32::try_from(most) {
            Ok(most) => self.short_unsigned(most).map(u64::from),
            Err(_) => self.head(head::UNSIGNED),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn short_unsigned(&mut self, most: u32) -> Result<u32, Failed> {
        let before = self.rest;
        let value = self.head(head::UNSIGNED)?;
        if value > most.into() {
            self.rest = before;
            return Err(self.fail(Flaw::OutOfRange));
        }
        Ok(value as u32)
    }

    /// An integer of either sign from `least` to `most`, for an integer type of that range.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(in crate::cbor) fn int_between(&mut self, least: i64, most: i64) -> Result<i64, Failed> {
        let before = self.rest;
        let (is_negative, value) = self.sign_and_argument()?;
        if let Ok(value) = i64::try_from(value) {
            let value = if is_negative { !value } else { value };
            if (least..=most).contains(&value) {
                return Ok(value);
            }
        }
        self.rest = before;
        Err(self.fail(Flaw::OutOfRange))
    }

    /// An integer: whether it is negative, and its argument.
    #[inline]
    pub(crate) fn sign_and_argument(&mut self) -> Result<(bool, u64), Failed> {
        match self.rest.first() {
            Some(&initial) if initial >> 5 <= head::NEGATIVE => {
                let major = initial >> 5;
                let value = self.head(major)?;
                Ok((major == head::NEGATIVE, value))
            }
            _ => Err(self.fail_kind(Kind::Unsigned as u8)),
        }
    }

    /// The argument of the next head, which is of this major type.
    #[cfg(target_pointer_width = "64")]
    #[inline(always)]
    pub(super) fn head(&mut self, major: u8) -> Result<u64, Failed> {
        match self.rest.first() {
            Some(&initial) if initial >> 5 == major => match head::take(&mut self.rest) {
                Ok(value) => Ok(value),
                Err(flaw) => Err(self.fail(flaw)),
            },
            _ => Err(self.fail_kind(major)),
        }
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(always)]
    pub(super) fn head(&mut self, major: u8) -> Result<u64, Failed> {
        self.take_head(major)?;
        Ok(self.argument)
    }

    #[cfg(not(target_pointer_width = "64"))]
    #[inline(never)]
    fn take_head(&mut self, major: u8) -> Result<(), Failed> {
        match self.rest.first() {
            Some(&initial) if initial >> 5 == major => match head::take_into(&mut self.rest, &mut self.argument) {
                Ok(()) => Ok(()),
                Err(flaw) => Err(self.fail(flaw)),
            },
            _ => Err(self.fail_kind(major)),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(in crate::cbor) fn string(&mut self, major: u8) -> Result<&'b [u8], Failed> {
        let before = self.rest;
        let len = self.head(major)?;
        match take_content(&mut self.rest, saturated(len)) {
            Ok(bytes) => Ok(bytes),
            Err(flaw) => {
                self.rest = before;
                Err(self.fail(flaw))
            }
        }
    }

    /// A byte string of exactly this length.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(in crate::cbor) fn bytes_of_len(&mut self, len: usize) -> Result<&'b [u8], Failed> {
        let offset = self.position();
        let bytes = self.string(head::BYTES)?;
        if bytes.len() == len { Ok(bytes) } else { Err(self.fail_with(unexpected_length(len, bytes.len(), offset))) }
    }

    /// `false` or `true`.
    #[inline]
    pub(in crate::cbor) fn truth(&mut self) -> Result<bool, Failed> {
        match self.rest.split_first() {
            Some((&initial @ (0xf4 | 0xf5), rest)) => {
                self.rest = rest;
                Ok(initial == 0xf5)
            }
            _ => Err(self.fail_kind(Kind::Bool as u8)),
        }
    }

    #[inline]
    pub(in crate::cbor) fn double(&mut self) -> Result<f64, Failed> {
        self.shortest().map(Shortest::to_f64)
    }

    /// How many elements or pairs an array or a map has, which count one and two items.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(crate) fn container(&mut self, major: u8) -> Result<usize, Failed> {
        let before = self.rest;
        let count = self.head(major)?;
        match claim(&mut self.items, saturated(count), major, self.rest.len()) {
            Ok(_) => Ok(count as usize),
            Err(flaw) => {
                self.rest = before;
                Err(self.fail(flaw))
            }
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(in crate::cbor) fn single(&mut self) -> Result<f32, Failed> {
        let before = self.rest;
        let float = self.shortest()?;
        match float.to_f32() {
            Some(value) => Ok(value),
            None => {
                self.rest = before;
                Err(self.fail(Flaw::OutOfRange))
            }
        }
    }

    #[inline]
    pub(in crate::cbor) fn shortest(&mut self) -> Result<Shortest, Failed> {
        match self.rest.first() {
            Some(&initial @ 0xf9..=0xfb) => match Shortest::take(initial, &mut self.rest) {
                Ok(float) => Ok(float),
                Err(flaw) => Err(self.fail(flaw)),
            },
            _ => Err(self.fail_kind(Kind::Float as u8)),
        }
    }

    /// Passes over one item, and validates it.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(crate) fn pass(&mut self) -> Result<(), Failed> {
        match walk(self.rest, self.depth, &mut self.items) {
            Ok(len) => {
                self.rest = self.rest.get(len..).unwrap_or_default();
                Ok(())
            }
            Err(fault) => Err(self.fail_at(fault.flaw, self.position() + fault.offset)),
        }
    }

    /// Counts one more level of nesting.
    #[inline]
    pub(crate) fn descend(&mut self) -> Result<(), Failed> {
        match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                Ok(())
            }
            None => Err(self.fail(Flaw::TooDeep)),
        }
    }

    #[inline]
    pub(super) fn exactly(&mut self, byte: u8, expected: Kind) -> Result<(), Failed> {
        if self.eat(byte) { Ok(()) } else { Err(self.fail_kind(expected as u8)) }
    }

    /// Where it stands.
    #[inline(always)]
    pub(crate) fn mark(&self) -> &'b [u8] {
        self.rest
    }

    /// Returns to where it stood.
    #[inline(always)]
    pub(crate) fn back_to(&mut self, mark: &'b [u8]) {
        self.rest = mark;
    }

    /// Consumes the next byte if it is `byte`.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

// Errors are made from values, never from `&Cursor`: a cursor whose address goes to a function that is not inlined
// lives in memory, and each item then waits for the store of the item before.
#[cold]
fn mismatch(expected: u8, rest: &[u8], offset: usize) -> DecodeError {
    match rest.first() {
        Some(&initial) => DecodeError::unexpected_type(expected, initial, offset),
        None => DecodeError::of(Flaw::UnexpectedEnd, offset),
    }
}
