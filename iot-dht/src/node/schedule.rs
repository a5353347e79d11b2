use alloc::collections::{BTreeMap, BTreeSet};

use iot_core::Instant;

use crate::id::Key;

/// When each stored record is put again.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    due: BTreeMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
}

impl Schedule {
    pub(super) fn set(&mut self, key: Key, at: Instant) {
        if let Some(before) = self.due.insert(key, at) {
            self.order.remove(&(before, key));
        }
        self.order.insert((at, key));
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(before) = self.due.remove(key) {
            self.order.remove(&(before, *key));
        }
    }

    pub(super) fn first(&self) -> Option<(Instant, Key)> {
        self.order.first().copied()
    }
}
