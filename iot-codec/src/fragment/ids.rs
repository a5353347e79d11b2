use iot_core::Instant;

use super::header::MessageId;

const SHORT_IDS: usize = 8;
const LONG_IDS: u16 = 4096;
/// Long ids are remembered by the block: when the last of one is free, all are.
const BLOCKS: usize = 8;
const BLOCK_IDS: u16 = LONG_IDS / BLOCKS as u16;

/// Which ids are taken, and until when. They are given in turn, so the next one is the one that is free first.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    short: u8,
    short_free: [Instant; SHORT_IDS],
    long: u16,
    blocks_free: [Instant; BLOCKS],
}

impl Ids {
    pub(super) const fn starting_at(first: u16) -> Self {
        Self {
            short: first as u8 % SHORT_IDS as u8,
            short_free: [Instant::START; SHORT_IDS],
            long: first % LONG_IDS,
            blocks_free: [Instant::START; BLOCKS],
        }
    }

    /// Takes a short id until `until`, if the next is free.
    pub(super) fn take_short(&mut self, now: Instant, until: Instant) -> Option<MessageId> {
        let free = &mut self.short_free[usize::from(self.short)];
        if *free > now {
            return None;
        }
        *free = until;
        let id = MessageId::Short(self.short);
        self.short = (self.short + 1) % SHORT_IDS as u8;
        Some(id)
    }

    /// Takes a long id until `until`.
    ///
    /// # Errors
    /// If none is free: when one is.
    pub(super) fn take_long(&mut self, now: Instant, until: Instant) -> Result<MessageId, Instant> {
        let free = &mut self.blocks_free[usize::from(self.long / BLOCK_IDS)];
        if self.long.is_multiple_of(BLOCK_IDS) && *free > now {
            return Err(*free);
        }
        *free = until.max(*free);
        let id = MessageId::Long(self.long);
        self.long = (self.long + 1) % LONG_IDS;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at every microsecond, and checks that no id comes again before it is free.
    fn never_early(
        hold: u64,
        start: u16,
        mut take: impl FnMut(&mut Ids, Instant, Instant) -> Option<MessageId>,
    ) -> u32 {
        let mut free = [0; 1 << 13];
        let mut ids = Ids::starting_at(start);
        let mut taken = 0;
        for now in 0..40_000 {
            let until = Instant::from_micros(now + hold);
            let number = match take(&mut ids, Instant::from_micros(now), until) {
                Some(MessageId::Short(id)) => usize::from(id),
                Some(MessageId::Long(id)) => 4096 + usize::from(id),
                None => continue,
            };
            assert!(free[number] <= now, "id {number} at {now}");
            free[number] = until.as_micros();
            taken += 1;
        }
        taken
    }

    #[test]
    fn no_id_comes_again_before_it_is_free() {
        for start in [0, 5, 511, 700, 4095, u16::MAX] {
            assert_eq!(never_early(1, start, Ids::take_short), 40_000);
            assert_eq!(never_early(8, start, Ids::take_short), 40_000);
            assert_eq!(never_early(16, start, Ids::take_short), 20_000);
            let long = |ids: &mut Ids, now, until| ids.take_long(now, until).ok();
            assert_eq!(never_early(3584, start, long), 40_000);
            let taken = never_early(20_000, start, long);
            assert!((7_000..=8_192).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn says_when_a_long_id_is_free() {
        let mut ids = Ids::starting_at(0);
        for now in 0..4096 {
            ids.take_long(Instant::from_micros(now), Instant::from_micros(now + 10_000)).unwrap();
        }
        let free = ids.take_long(Instant::from_micros(4096), Instant::MAX).unwrap_err();
        assert_eq!(free, Instant::from_micros(10_511));
        assert_eq!(ids.take_long(free, Instant::MAX), Ok(MessageId::Long(0)));
    }
}
