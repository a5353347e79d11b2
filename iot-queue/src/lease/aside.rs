//! Messages that the medium fails to read: they are held aside, so that they hold nothing else up, until it reads them.

use core::time::Duration;

use iot_core::Instant;

use super::machine::Leases;
use super::state::{Knowledge, Known, State, Traits};

/// How long the first pause between two tries is, and how long the longest: each is twice the one before while they fail.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When messages that are held aside are tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    at: Instant,
    pause: Duration,
    /// The message that was tried last: they take turns.
    last: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { at: Instant::START, pause: FIRST_PAUSE, last: 0 }
    }
}

impl Leases {
    /// Holds a message aside that could not be read, unless somebody holds it or has to decide about it.
    pub(crate) fn set_aside(&mut self, number: u64) {
        self.put_aside(number, Knowledge::All);
    }

    /// Holds a message aside that could not be read when the queue was opened, so that nobody knows what it was given.
    pub(crate) fn set_aside_untold(&mut self, number: u64) {
        self.put_aside(number, Knowledge::Untold);
    }

    /// The message that is to be tried now.
    pub(crate) fn next_retry(&self) -> Option<u64> {
        let aside = &self.index.aside;
        let next = aside.range(self.retry.last.saturating_add(1)..).next().or(aside.first());
        next.copied().filter(|_| self.retry.at <= self.now)
    }

    /// Takes note that the message still cannot be read. The others wait, too, for each failure may take a medium seconds.
    pub(crate) fn retry_later(&mut self, number: u64) {
        let pause = (self.retry.pause * 2).min(LONGEST_PAUSE);
        self.retry = Retry { at: self.now.saturating_add(pause), pause, last: number };
    }

    /// Takes note that the message can be read again, and that it was given these traits: it is handed out in its turn.
    pub(crate) fn take_back(&mut self, number: u64, traits: Traits) {
        let Some(&State::Aside(knowledge)) = self.known.get(&number).map(|known| &known.state) else { return };
        let Some(mut known) = self.remove(number) else { return };
        known.state = State::Blocked;
        if knowledge == Knowledge::Untold {
            let not_before = known.traits.not_before.max(traits.not_before);
            let expires = known.lifetime.or_appended(traits.expires);
            known.traits = Traits { not_before, expires, ..traits };
        }
        self.retry.pause = FIRST_PAUSE;
        self.insert(number, known);
        self.arrange(number);
    }

    /// When messages that are held aside are tried again, if there are any.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        (!self.index.aside.is_empty()).then_some(self.retry.at)
    }

    /// How many messages are held aside.
    pub(crate) fn aside(&self) -> usize {
        self.index.aside.len()
    }

    pub(crate) fn is_aside(&self, number: u64) -> bool {
        self.index.aside.contains(&number)
    }

    fn put_aside(&mut self, number: u64, knowledge: Knowledge) {
        if self.index.aside.is_empty() {
            self.retry = Retry { at: self.now.saturating_add(FIRST_PAUSE), ..Retry::default() };
        }
        let known = self.known.entry(number).or_insert_with(|| Known::new(number, Traits::default()));
        if !matches!(known.state, State::Held { .. } | State::Dead(_) | State::Aside(_)) {
            self.index.change(number, known, State::Aside(knowledge));
        }
    }
}
