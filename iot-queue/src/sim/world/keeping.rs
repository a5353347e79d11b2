//! How long what nobody needs stays.

use core::mem;
use core::time::Duration;

use super::World;
use crate::offset::Offset;
use crate::sim::model::Damage;
use crate::sim::violation::Violation;

impl World {
    /// Whether retention has a limit of age.
    pub(super) fn keeps_by_age(&self) -> bool {
        self.setup.queue.retention_choice().limits.is_some_and(|(_, age)| age < Duration::MAX)
    }

    /// What is gone since this was looked at last had no other room, or was beyond a limit of retention.
    pub(super) fn check_kept(&mut self) -> Result<(), Violation> {
        let (stats, begins) = (self.queue().stats(), self.queue().oldest().number());
        let gone = mem::replace(&mut self.began, begins)..begins;
        let Some((octets, age)) = self.setup.queue.retention_choice().limits else { return Ok(()) };
        if gone.is_empty() || self.has_lost_room() || self.model.damage > Damage::None {
            return Ok(());
        }
        // One segment is kept free.
        let has_room = stats.segments_used + 1 < stats.segments;
        let is_within = stats.octets + u64::from(self.setup.segment_len) <= octets;
        let offset = Offset::new(gone.start);
        let is_kept = has_room && is_within && self.model.are_younger(gone, age);
        if is_kept { Err(Violation::NotKept { offset }) } else { Ok(()) }
    }
}
