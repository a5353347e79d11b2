//! The times of a batch: a grid, or a column of integers, with or without a grid under it.

use super::{
    bits::{BitReader, ReverseBitWriter},
    encoder::Scratch,
    integers::{self, Cell, take_body},
    number::{number_len, put_number, take_number, unzigzag, zigzag},
    reader::take_prefix,
};

/// A unit in microseconds, and the bits of a grid's start counted in it: enough until the year 2089 at least.
const UNITS: [(i64, u32); 6] =
    [(1, 52), (1_000, 42), (1_000_000, 32), (60_000_000, 26), (3_600_000_000, 20), (86_400_000_000, 16)];
const UNIT_BITS: u32 = 3;
/// Of a start that its unit has no room for: another unit follows, and a number of these with its sign.
const ANY_START: u64 = 6;

/// The usual steps in microseconds.
const STEPS: [i64; 16] = [
    10_000,
    100_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    900_000_000,
    1_800_000_000,
    3_600_000_000,
    86_400_000_000,
    604_800_000_000,
];
const STEP_BITS: u32 = 4;

/// What the times begin with. Below 28 it is twice the index of a usual step, whose unit counts the start, or one more
/// if the next larger unit does.
const CODE_BITS: u32 = 5;
/// Days, and the steps that they count the starts of: there is no larger unit.
const DAY: usize = UNITS.len() - 1;
const DAILY: usize = 14;
const DAILY_CODE: u64 = 28;
/// A usual step and a unit follow.
const STEP_AND_UNIT: u64 = 30;
/// A form and a unit follow.
const FORM_AND_UNIT: u64 = 31;

const FORM_BITS: u32 = 2;
const GRID: u64 = 0;
const COLUMN: u64 = 1;
const GRID_AND_COLUMN: u64 = 2;

/// Puts the times; of none, nothing.
pub(super) fn put(out: &mut ReverseBitWriter<'_>, times: &[i64], scratch: &mut Scratch<'_>) {
    let [start, rest @ ..] = times else { return };
    let step = rest.first().map_or(STEPS[0], |second| second.wrapping_sub(*start));
    let regular = times.iter().zip(rest).all(|(before, time)| time.wrapping_sub(*before) == step);
    if regular {
        put_grid(out, *start, step);
    } else {
        put_irregular(out, times, scratch);
    }
}

fn put_grid(out: &mut ReverseBitWriter<'_>, start: i64, step: i64) {
    let unit = put_start(out, start, step);
    let Some(index) = STEPS.iter().position(|usual| *usual == step) else {
        // The span stands before the start.
        put_step(out, step);
        return put_form(out, GRID, unit);
    };
    match short_code(index, unit) {
        Some(code) => out.put_short(code, CODE_BITS),
        None => {
            out.put_short(unit, UNIT_BITS);
            out.put_short((index as u64) << CODE_BITS | STEP_AND_UNIT, CODE_BITS + STEP_BITS);
        }
    }
}

/// Puts a grid's start and returns its unit, or [`ANY_START`].
fn put_start(out: &mut ReverseBitWriter<'_>, start: i64, step: i64) -> u64 {
    let fits = |(unit, width): &(i64, u32)| start >= 0 && start % unit == 0 && (start / unit) >> width == 0;
    // A larger unit than the step's next one takes more for its name than it saves.
    let largest = if STEPS.contains(&step) { (unit_of(step).0 + 1).min(DAY) } else { DAY };
    let units = UNITS.get(..=largest).unwrap_or(&UNITS);
    let unit = units.iter().rposition(fits);
    match unit.and_then(|index| Some((index, UNITS.get(index)?))) {
        Some((index, (unit, width))) => {
            out.put((start / unit) as u64, *width);
            index as u64
        }
        None => {
            let (index, unit) = unit_of(start);
            put_number(out, zigzag(start / unit));
            out.put_short(index as u64, UNIT_BITS);
            ANY_START
        }
    }
}

/// The code that says a usual step and the unit of its start, if there is one.
fn short_code(step: usize, unit: u64) -> Option<u64> {
    if step >= DAILY {
        return (unit == DAY as u64).then_some(DAILY_CODE + (step - DAILY) as u64);
    }
    let own = unit_of(*STEPS.get(step)?).0 as u64;
    unit.checked_sub(own).filter(|above| *above <= 1).map(|above| 2 * step as u64 + above)
}

/// The index of the usual step and the unit that [`short_code`] said.
fn from_short_code(code: u64) -> Option<(u64, u64)> {
    if code >= DAILY_CODE {
        return Some((DAILY as u64 + (code - DAILY_CODE), DAY as u64));
    }
    let own = unit_of(*STEPS.get(code as usize / 2)?).0 as u64;
    Some((code / 2, own + code % 2))
}

fn put_form(out: &mut ReverseBitWriter<'_>, form: u64, unit: u64) {
    out.put_short(unit << FORM_BITS | form, FORM_BITS + UNIT_BITS);
    out.put_short(FORM_AND_UNIT, CODE_BITS);
}

fn put_irregular(out: &mut ReverseBitWriter<'_>, times: &[i64], scratch: &mut Scratch<'_>) {
    let mut best: Option<(u64, i64)> = None;
    for step in [0, most_frequent_step(times), mean_step(times)] {
        above_grid(times, step, scratch.integers);
        divide_by_unit(scratch.integers, times.len());
        let integers = scratch.integers.get(..times.len()).unwrap_or(&[]);
        let own = if step == 0 { 0 } else { u64::from(step_len(step)) * 256 };
        let cost = integers::plan(integers, scratch.residuals).cost + own;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, step));
        }
    }
    let step = best.map_or(0, |(_, step)| step);
    above_grid(times, step, scratch.integers);
    let unit = divide_by_unit(scratch.integers, times.len());
    let integers = scratch.integers.get(..times.len()).unwrap_or(&[]);
    let plan = integers::plan(integers, scratch.residuals);
    integers::put_body(out, &plan, integers, scratch.residuals, scratch.contexts);
    integers::put_prefix(out, &plan);
    if step != 0 {
        put_step(out, step);
    }
    put_form(out, if step == 0 { COLUMN } else { GRID_AND_COLUMN }, unit as u64);
}

/// Puts a step in the largest unit that divides it.
fn put_step(out: &mut ReverseBitWriter<'_>, step: i64) {
    let (index, unit) = unit_of(step);
    put_number(out, zigzag(step / unit));
    out.put_short(index as u64, UNIT_BITS);
}

fn step_len(step: i64) -> u32 {
    UNIT_BITS + number_len(zigzag(step / unit_of(step).1))
}

fn take_step(bits: &mut BitReader<'_>) -> Option<i64> {
    let (unit, _) = UNITS.get(bits.take(UNIT_BITS) as usize)?;
    Some(unzigzag(take_number(bits)?).wrapping_mul(*unit))
}

fn unit_of(step: i64) -> (usize, i64) {
    let divides = |(_, (unit, _)): &(usize, &(i64, u32))| step % *unit == 0;
    UNITS.iter().enumerate().rev().find(divides).map_or((0, 1), |(index, (unit, _))| (index, *unit))
}

/// Fills `integers` with what the times are above a grid from zero.
fn above_grid(times: &[i64], step: i64, integers: &mut [i64]) {
    let mut grid = 0i64;
    for (time, integer) in times.iter().zip(integers) {
        *integer = time.wrapping_sub(grid);
        grid = grid.wrapping_add(step);
    }
}

/// Divides by the largest unit that leaves no remainder, and returns its index.
fn divide_by_unit(integers: &mut [i64], count: usize) -> usize {
    let integers = integers.get_mut(..count).unwrap_or(&mut []);
    for (index, (unit, _)) in UNITS.iter().enumerate().skip(1).rev() {
        if integers.iter().all(|integer| integer % unit == 0) {
            integers.iter_mut().for_each(|integer| *integer /= unit);
            return index;
        }
    }
    0
}

/// The step of more than half of the times, if there is one, by the vote of Boyer and Moore.
fn most_frequent_step(times: &[i64]) -> i64 {
    let (mut step, mut votes) = (0, 0u32);
    for (before, time) in times.iter().zip(times.get(1..).unwrap_or(&[])) {
        let next = time.wrapping_sub(*before);
        if votes == 0 {
            (step, votes) = (next, 1);
        } else if next == step {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    step
}

/// The mean step, rounded to three or four decimal digits if that is all the same to the last time.
fn mean_step(times: &[i64]) -> i64 {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return 0 };
    let steps = times.len().saturating_sub(1).max(1) as i64;
    let step = last.wrapping_sub(*first) / steps;
    let coarse = UNITS.iter().rev().find(|(unit, _)| step.unsigned_abs() >= 8 * unit.unsigned_abs());
    coarse.map_or(step, |(unit, _)| step.saturating_add(unit / 2) / unit * unit)
}

/// Takes the times into `cells`; `None` for a code that is not defined.
pub(super) fn take<T: Cell>(bits: &mut BitReader<'_>, cells: &mut [T]) -> Option<()> {
    if cells.is_empty() {
        return Some(());
    }
    let (form, step, unit) = match bits.take(CODE_BITS) {
        FORM_AND_UNIT => (bits.take(FORM_BITS), None, bits.take(UNIT_BITS)),
        STEP_AND_UNIT => (GRID, Some(bits.take(STEP_BITS)), bits.take(UNIT_BITS)),
        code => from_short_code(code).map(|(step, unit)| (GRID, Some(step), unit))?,
    };
    if form == GRID {
        let step = match step {
            Some(index) => *STEPS.get(index as usize)?,
            None => take_step(bits)?,
        };
        let start = match UNITS.get(unit as usize) {
            Some((unit, width)) => (bits.take(*width) as i64).wrapping_mul(*unit),
            None if unit == ANY_START => take_step(bits)?,
            None => return None,
        };
        let mut time = start;
        for cell in cells {
            *cell = T::from_integer(time);
            time = time.wrapping_add(step);
        }
        return Some(());
    }
    let (unit, _) = *UNITS.get(unit as usize)?;
    let step = match form {
        COLUMN => 0,
        GRID_AND_COLUMN => take_step(bits)?,
        _ => return None,
    };
    let prefix = take_prefix(bits)?;
    take_body(bits, prefix.shape, prefix.divisor, cells, |integer| T::from_integer(integer.wrapping_mul(unit)))?;
    let mut grid = 0i64;
    for cell in cells {
        *cell = T::from_integer(cell.integer().wrapping_add(grid));
        grid = grid.wrapping_add(step);
    }
    Some(())
}
