//! A column of integers: differences of order 0, 1 or 2 with coded residuals, or offsets from the least, packed.

use super::{
    bits::{BitReader, ReverseBitWriter},
    number::{high_len, number_len, put_high, put_number, take_high, take_number, unzigzag, zigzag},
    residuals,
};

/// What a column's prefix says: as many ones as its number, and a zero, if that is less than three.
pub(super) mod tag {
    pub(crate) const ORDER_1: u32 = 0;
    pub(crate) const ORDER_2: u32 = 1;
    pub(crate) const PACKED: u32 = 2;
    /// A tag of [`EXTENSION_BITS`] follows.
    pub(crate) const EXTENDED: u32 = 3;

    pub(crate) const ORDER_0: u64 = 0;
    pub(crate) const MISSING: u64 = 1;
    pub(crate) const MISSING_AS_BEFORE: u64 = 2;
    pub(crate) const EXCEPTIONS: u64 = 3;
    pub(crate) const DIVISOR: u64 = 4;
    pub(crate) const EXTENSION_BITS: u32 = 3;

    /// How many bits a tag takes with all that follows for it.
    pub(crate) const fn len(tag: u32) -> u32 {
        if tag == EXTENDED { EXTENDED + EXTENSION_BITS } else { tag + 1 }
    }
}

const BASE_BITS: u32 = 4;
const WIDE_BASE: u32 = 15;
const WIDE_BASE_BITS: u32 = 6;
const WIDTH_BITS: u32 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Differences { order: Order, base: u32 },
    Packed { width: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Zero,
    One,
    Two,
}

/// How a column is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) form: Form,
    /// The first value, or the least of a packed column.
    origin: i64,
    /// Divides what the values differ by.
    divisor: u64,
    /// In 256ths of a bit, with all headers of its own.
    pub(super) cost: u64,
}

/// Finds the cheapest form for at least one value.
///
/// `scratch` has at least as many elements as there are values; the residuals are left there.
pub(super) fn plan(values: &[i64], scratch: &mut [u64]) -> Plan {
    let [first, ..] = *values else {
        return Plan { form: Form::Packed { width: 0 }, origin: 0, divisor: 1, cost: 0 };
    };
    let (mut least, mut greatest) = (first, first);
    for &value in values {
        least = least.min(value);
        greatest = greatest.max(value);
    }
    if least == greatest {
        let cost = bits(tag::len(tag::PACKED) + WIDTH_BITS + number_len(zigzag(first)));
        return Plan { form: Form::Packed { width: 0 }, origin: first, divisor: 1, cost };
    }
    let survey = Survey::of(values, greatest.checked_sub(least));
    let Survey { order, divisor } = survey;
    let width = 64 - (greatest.wrapping_sub(least) as u64 / divisor).leading_zeros();

    let divisor_cost = if divisor > 1 { tag::len(tag::EXTENDED) + number_len(divisor) } else { 0 };
    let packed_header = tag::len(tag::PACKED) + divisor_cost + WIDTH_BITS + number_len(zigzag(least));
    let packed = bits(packed_header) + (u64::from(width) * values.len() as u64) * 256;

    differences(values, order, divisor, scratch);
    let (base, cost) = residuals::best_base(scratch.get(..values.len() - 1).unwrap_or(&[]));
    let base_cost = if base < WIDE_BASE { BASE_BITS } else { BASE_BITS + WIDE_BASE_BITS };
    let order_cost = tag::len(match order {
        Order::Zero => tag::EXTENDED,
        Order::One => tag::ORDER_1,
        Order::Two => tag::ORDER_2,
    });
    let header = order_cost + divisor_cost + base_cost + high_len(zigzag(first)) + residuals::STATE_BITS;
    let coded = bits(header) + cost;

    if packed <= coded {
        Plan { form: Form::Packed { width }, origin: least, divisor, cost: packed }
    } else {
        Plan { form: Form::Differences { order, base }, origin: first, divisor, cost: coded }
    }
}

/// Puts what stands behind the column's prefix; `scratch` is as [`plan`] left it.
pub(super) fn put_body(
    out: &mut ReverseBitWriter<'_>,
    plan: &Plan,
    values: &[i64],
    scratch: &[u64],
    contexts: &mut [u8],
) {
    let origin = zigzag(plan.origin);
    match plan.form {
        Form::Packed { width } => {
            if width > 0 {
                for &value in values.iter().rev() {
                    out.put(value.wrapping_sub(plan.origin) as u64 / plan.divisor, width);
                }
            }
            put_number(out, origin);
            out.put_short(width.into(), WIDTH_BITS);
        }
        Form::Differences { order: _, base } => {
            let residuals = scratch.get(..values.len().saturating_sub(1)).unwrap_or(&[]);
            residuals::encode(out, residuals, base, origin as u32 & 0xfff, contexts);
            put_high(out, origin);
            if base < WIDE_BASE {
                out.put_short(base.into(), BASE_BITS);
            } else {
                out.put_short(u64::from(base - WIDE_BASE), WIDE_BASE_BITS);
                out.put_short(WIDE_BASE.into(), BASE_BITS);
            }
        }
    }
}

/// Puts the form, and the divisor in front of it.
pub(super) fn put_prefix(out: &mut ReverseBitWriter<'_>, plan: &Plan) {
    match plan.form {
        Form::Packed { .. } => put_tag(out, tag::PACKED),
        Form::Differences { order: Order::One, .. } => put_tag(out, tag::ORDER_1),
        Form::Differences { order: Order::Two, .. } => put_tag(out, tag::ORDER_2),
        Form::Differences { order: Order::Zero, .. } => put_extension(out, tag::ORDER_0),
    }
    if plan.divisor > 1 {
        put_number(out, plan.divisor);
        put_extension(out, tag::DIVISOR);
    }
}

pub(super) fn put_extension(out: &mut ReverseBitWriter<'_>, extension: u64) {
    out.put_short(extension, tag::EXTENSION_BITS);
    put_tag(out, tag::EXTENDED);
}

fn put_tag(out: &mut ReverseBitWriter<'_>, tag: u32) {
    out.put_short((1 << tag) - 1, (tag + 1).min(tag::EXTENDED));
}

/// A form as it is read, before its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Differences(Order),
    Packed,
}

/// A place for a value, in which an integer can wait until it is known what it stands for.
pub(super) trait Cell: Copy {
    fn from_integer(integer: i64) -> Self;
    fn integer(self) -> i64;
}

impl Cell for i64 {
    fn from_integer(integer: i64) -> Self {
        integer
    }

    fn integer(self) -> i64 {
        self
    }
}

/// For values that nobody wants.
impl Cell for () {
    fn from_integer(_: i64) -> Self {}

    fn integer(self) -> i64 {
        0
    }
}

impl Cell for f64 {
    fn from_integer(integer: i64) -> Self {
        Self::from_bits(integer as u64)
    }

    fn integer(self) -> i64 {
        self.to_bits() as i64
    }
}

/// Reads what [`put_body`] put into all of `cells`, each integer turned by `finish`.
///
/// `None` if a number has no end; whether the bits sufficed is for the caller to ask.
#[inline(always)]
pub(super) fn take_body<T: Cell>(
    bits: &mut BitReader<'_>,
    shape: Shape,
    divisor: u64,
    cells: &mut [T],
    finish: impl Fn(i64) -> T,
) -> Option<()> {
    match shape {
        Shape::Packed => {
            let width = bits.take(WIDTH_BITS) as u32;
            if width > 64 {
                return None;
            }
            let least = unzigzag(take_number(bits)?);
            if width == 0 {
                cells.fill(finish(least));
                return Some(());
            }
            for cell in cells {
                let offset = bits.take(width).wrapping_mul(divisor);
                *cell = finish(least.wrapping_add(offset as i64));
            }
        }
        Shape::Differences(order) => {
            let mut base = bits.take(BASE_BITS) as u32;
            if base == WIDE_BASE {
                base += bits.take(WIDE_BASE_BITS) as u32;
            }
            if base > residuals::MAX_BASE {
                return None;
            }
            let high = take_high(bits)?;
            let (cell, rest) = cells.split_first_mut()?;
            let low = residuals::decode(bits, base, rest)?;
            let first = unzigzag(high | u64::from(low));
            *cell = finish(first);
            integrate(rest, order, first, divisor, finish);
        }
    }
    Some(())
}

#[inline(always)]
fn integrate<T: Cell>(cells: &mut [T], order: Order, first: i64, divisor: u64, finish: impl Fn(i64) -> T) {
    let divisor = divisor as i64;
    let mut value = first;
    match order {
        Order::Zero => {
            for cell in cells {
                *cell = finish(first.wrapping_add(cell.integer().wrapping_mul(divisor)));
            }
        }
        Order::One => {
            for cell in cells {
                value = value.wrapping_add(cell.integer().wrapping_mul(divisor));
                *cell = finish(value);
            }
        }
        Order::Two => {
            let mut slope = 0i64;
            for cell in cells {
                slope = slope.wrapping_add(cell.integer().wrapping_mul(divisor));
                value = value.wrapping_add(slope);
                *cell = finish(value);
            }
        }
    }
}

/// Fills `residuals` with one fewer than there are values.
fn differences(values: &[i64], order: Order, divisor: u64, residuals: &mut [u64]) {
    let [first, rest @ ..] = values else { return };
    if divisor > 1 {
        return divided_differences(*first, rest, order, divisor as i64, residuals);
    }
    let pairs = values.iter().zip(rest).zip(residuals.iter_mut());
    match order {
        Order::Zero => pairs.for_each(|((_, value), out)| *out = zigzag(value.wrapping_sub(*first))),
        Order::One => pairs.for_each(|((before, value), out)| *out = zigzag(value.wrapping_sub(*before))),
        Order::Two => {
            let mut slope = 0;
            for ((before, value), out) in pairs {
                let next = value.wrapping_sub(*before);
                *out = zigzag(next.wrapping_sub(slope));
                slope = next;
            }
        }
    }
}

fn divided_differences(first: i64, rest: &[i64], order: Order, divisor: i64, residuals: &mut [u64]) {
    let (mut before, mut slope) = (first, 0i64);
    for (&value, out) in rest.iter().zip(residuals) {
        let difference = value.wrapping_sub(before) / divisor;
        *out = zigzag(match order {
            Order::Two => difference.wrapping_sub(slope),
            _ => difference,
        });
        slope = difference;
        if order != Order::Zero {
            before = value;
        }
    }
}

/// What a look at all differences tells.
struct Survey {
    /// The order whose residuals have the least sum.
    order: Order,
    /// What divides all differences; 1 if their range overflows.
    divisor: u64,
}

impl Survey {
    fn of(values: &[i64], range: Option<i64>) -> Self {
        // So small that even the second differences of the longest column can be added up.
        let small = range.is_some_and(|range| range < 1 << 44);
        let (sums, least) =
            if small { Self::sums(values, u64::wrapping_add) } else { Self::sums(values, u64::saturating_add) };
        let order = if sums[1] <= sums[0] && sums[1] <= sums[2] {
            Order::One
        } else if sums[2] <= sums[0] {
            Order::Two
        } else {
            Order::Zero
        };
        let divisor = if range.is_some() && least > 1 { common_divisor(values, least) } else { 1 };
        Self { order, divisor }
    }

    /// The sums of the magnitudes of the differences of each order, and the least that is not zero of order 1.
    #[inline(always)]
    fn sums(values: &[i64], add: impl Fn(u64, u64) -> u64) -> ([u64; 3], u64) {
        let [first, rest @ ..] = values else { return ([0; 3], 1) };
        let mut slope = 0i64;
        let (mut sums, mut least) = ([0; 3], u64::MAX);
        for (before, value) in values.iter().zip(rest) {
            let next = value.wrapping_sub(*before);
            sums[0] = add(sums[0], value.wrapping_sub(*first).unsigned_abs());
            sums[1] = add(sums[1], next.unsigned_abs());
            sums[2] = add(sums[2], next.wrapping_sub(slope).unsigned_abs());
            // Zero is the greatest here.
            least = least.min(next.unsigned_abs().wrapping_sub(1));
            slope = next;
        }
        (sums, least.wrapping_add(1))
    }
}

/// What divides this difference and all others.
fn common_divisor(values: &[i64], mut divisor: u64) -> u64 {
    for (before, value) in values.iter().zip(values.get(1..).unwrap_or(&[])) {
        divisor = greatest_common_divisor(value.wrapping_sub(*before).unsigned_abs(), divisor);
        if divisor == 1 {
            break;
        }
    }
    divisor
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn bits(count: u32) -> u64 {
    u64::from(count) * 256
}
