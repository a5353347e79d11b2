//! A map that forgets what was entered longest ago.

use std::collections::BTreeMap;

/// A map of at most so many keys.
pub struct Recent<K, V> {
    values: BTreeMap<K, (V, u64)>,
    entered: BTreeMap<u64, K>,
    turn: u64,
    max: usize,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    /// An empty one.
    pub const fn new(max: usize) -> Self {
        Self { values: BTreeMap::new(), entered: BTreeMap::new(), turn: 0, max }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(value, _)| value)
    }

    /// Enters a value. If there are too many now, the one that was entered longest ago goes.
    pub fn enter(&mut self, key: K, value: V) {
        self.turn += 1;
        if let Some((_, turn)) = self.values.insert(key, (value, self.turn)) {
            self.entered.remove(&turn);
        }
        self.entered.insert(self.turn, key);
        if self.values.len() > self.max
            && let Some((_, oldest)) = self.entered.pop_first()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_longest_ago_is_forgotten() {
        let mut recent = Recent::new(3);
        [1, 2, 3, 1, 4].into_iter().for_each(|key| recent.enter(key, 10 * key));
        let known = [1, 2, 3, 4].map(|key| recent.get(&key).copied());
        assert_eq!(known, [Some(10), None, Some(30), Some(40)]);
        assert_eq!(recent.entered.len(), 3);
    }
}
