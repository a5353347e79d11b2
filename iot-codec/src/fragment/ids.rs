use iot_core::Instant;

use super::header::{Form, MessageId};

/// Which ids are taken, and until when, for each form of header.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    short: Turn<8>,
    medium: Turn<16>,
    long: Turn<8>,
}

impl Ids {
    pub(super) const fn starting_at(first: u16) -> Self {
        Self {
            short: Turn::new(Form::Short, first),
            medium: Turn::new(Form::Medium, first),
            long: Turn::new(Form::Long, first),
        }
    }

    /// Takes an id of this form until `until`.
    ///
    /// # Errors
    /// If none is free: when one is.
    pub(super) fn take(&mut self, form: Form, now: Instant, until: Instant) -> Result<MessageId, Instant> {
        let number = match form {
            Form::Short => self.short.take(now, until),
            Form::Medium => self.medium.take(now, until),
            Form::Long => self.long.take(now, until),
        }?;
        Ok(MessageId { form, number })
    }
}

/// Ids given in turn, so that the next one is the one that is free first, and remembered by the block: a block can be
/// entered when the last of its ids is free.
#[derive(Clone, Debug)]
struct Turn<const BLOCKS: usize> {
    next: u16,
    block_len: u16,
    free: [Instant; BLOCKS],
}

impl<const BLOCKS: usize> Turn<BLOCKS> {
    const fn new(form: Form, first: u16) -> Self {
        let ids = form.ids();
        Self { next: first % ids, block_len: ids / BLOCKS as u16, free: [Instant::START; BLOCKS] }
    }

    fn take(&mut self, now: Instant, until: Instant) -> Result<u16, Instant> {
        let number = self.next;
        let free = &mut self.free[usize::from(number / self.block_len)];
        if number.is_multiple_of(self.block_len) && *free > now {
            return Err(*free);
        }
        *free = until.max(*free);
        self.next = (number + 1) % (self.block_len * BLOCKS as u16);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at every microsecond, checks that no id comes again before it is free, and counts.
    fn never_early(form: Form, hold: u64, start: u16) -> u32 {
        let mut free = [0; 2048];
        let mut ids = Ids::starting_at(start);
        let mut taken = 0;
        for now in 0..40_000 {
            let until = Instant::from_micros(now + hold);
            let Ok(id) = ids.take(form, Instant::from_micros(now), until) else { continue };
            assert_eq!(id.form, form);
            let free = &mut free[usize::from(id.number)];
            assert!(*free <= now, "{id:?} at {now}");
            *free = until.as_micros();
            taken += 1;
        }
        taken
    }

    #[test]
    fn no_id_comes_again_before_it_is_free() {
        for start in [0, 5, 511, 700, 2047, u16::MAX] {
            assert_eq!(never_early(Form::Short, 8, start), 40_000);
            assert_eq!(never_early(Form::Short, 16, start), 20_000);
            assert_eq!(never_early(Form::Medium, 16, start), 40_000);
            assert_eq!(never_early(Form::Medium, 64, start), 10_000);
            // One block of eight waits for its last id.
            assert_eq!(never_early(Form::Long, 1_792, start), 40_000);
            let taken = never_early(Form::Long, 10_000, start);
            assert!((7_000..=8_192).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn says_when_the_next_id_is_free() {
        let mut ids = Ids::starting_at(0);
        for now in 0..2048 {
            ids.take(Form::Long, Instant::from_micros(now), Instant::from_micros(now + 10_000)).unwrap();
        }
        let free = ids.take(Form::Long, Instant::from_micros(2048), Instant::MAX).unwrap_err();
        assert_eq!(free, Instant::from_micros(10_255));
        assert_eq!(ids.take(Form::Long, free, Instant::MAX), Ok(MessageId { form: Form::Long, number: 0 }));
    }

    #[test]
    fn a_clock_that_jumps_back_frees_nothing() {
        let mut ids = Ids::starting_at(0);
        for number in 0..2048 {
            let now = Instant::from_micros(if number % 2 == 0 { 1_000 } else { 0 });
            let taken = ids.take(Form::Long, now, now.saturating_add(core::time::Duration::from_micros(500)));
            assert_eq!(taken, Ok(MessageId { form: Form::Long, number }));
        }
        let free = Instant::from_micros(1_500);
        assert_eq!(ids.take(Form::Long, Instant::from_micros(501), free), Err(free));
    }
}
