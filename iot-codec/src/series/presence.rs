//! Which values of a channel are there.

use super::bits::{BitReader, ReverseBitWriter, gamma_len};

/// Puts the marks as runs, or as one bit each if that is shorter. There is at least one mark.
pub(super) fn put(out: &mut ReverseBitWriter<'_>, present: &[bool]) {
    let runs: u64 = runs(present).map(|len| u64::from(gamma_len(len - 1))).sum();
    if runs < present.len() as u64 {
        put_runs(out, present);
        out.put_short(u64::from(present.first() == Some(&true)) << 1, 2);
    } else {
        present.iter().rev().for_each(|present| out.put_short(u64::from(*present), 1));
        out.put_short(1, 1);
    }
}

fn put_runs(out: &mut ReverseBitWriter<'_>, present: &[bool]) {
    let mut len = 0;
    let mut last = None;
    for mark in present.iter().rev() {
        if last.is_some_and(|last| last != mark) {
            out.put_gamma(len - 1);
            len = 0;
        }
        last = Some(mark);
        len += 1;
    }
    out.put_gamma(len - 1);
}

fn runs(present: &[bool]) -> impl Iterator<Item = u64> {
    present.chunk_by(|a, b| a == b).map(|run| run.len() as u64)
}

/// Takes the marks of `count` values, hands each run to `run`, and returns how many values are there.
///
/// `None` if the runs do not add up.
pub(super) fn take(bits: &mut BitReader<'_>, count: usize, mut run: impl FnMut(usize, bool)) -> Option<usize> {
    let mut there = 0;
    if bits.take(1) == 1 {
        for _ in 0..count {
            let present = bits.take(1) == 1;
            there += usize::from(present);
            run(1, present);
        }
        return Some(there);
    }
    let mut present = bits.take(1) == 1;
    let mut left = count;
    while left > 0 {
        let len = usize::try_from(bits.take_gamma()?).ok()?.checked_add(1)?;
        left = left.checked_sub(len)?;
        if present {
            there += len;
        }
        run(len, present);
        present = !present;
    }
    Some(there)
}
