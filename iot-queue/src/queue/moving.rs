//! Making room in a queue that is full although little in it is still needed.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Queue;
use crate::format::control::LEASES;
use crate::log::{LogError, Move};
use crate::message::Message;
use crate::storage::Storage;

impl<S: Storage> Queue<S> {
    /// Moves messages out of the oldest segments as long as these do not fit and space returns by that. Each round costs
    /// a sync and at most a segment of writing.
    pub(super) fn make_room_for(&mut self, messages: &[Message<'_>]) -> Result<(), LogError> {
        self.move_before_dropping(messages)?;
        if self.log.has_room_for(messages) {
            return Ok(());
        }
        self.commit_all()?;
        let (_, segments) = self.log.segments();
        for _ in 0..segments {
            if self.log.has_room_for(messages) || !self.move_front()? {
                break;
            }
            self.commit_all()?;
        }
        Ok(())
    }

    /// Where the oldest is dropped and a segment stays free for that, moves messages while there is another: without one
    /// they would find no room just when an append finds none, and be dropped. Once for each segment that appends fill.
    fn move_before_dropping(&mut self, messages: &[Message<'_>]) -> Result<(), LogError> {
        let (_, segments) = self.log.segments();
        for _ in 0..segments {
            if self.moved_in == Some(self.log.tail_generation()) || !self.log.leaves_only_spare(messages) {
                break;
            }
            if !self.move_front()? {
                self.moved_in = Some(self.log.tail_generation());
                break;
            }
            self.commit_all()?;
        }
        Ok(())
    }

    /// Moves what is needed of the oldest segment. Says whether all of it went.
    fn move_front(&mut self) -> Result<bool, LogError> {
        let numbers = self.log.movable();
        let mut said_in = self.log.tail_generation();
        let is_aside = |&number: &u64| self.leases.is_aside(number);
        if numbers.is_empty() || numbers.iter().any(is_aside) || !self.say_again(&numbers)? {
            return Ok(false);
        }
        for (at, &number) in numbers.iter().enumerate() {
            match self.log.move_message(number, &mut self.window)? {
                Move::Done => {}
                Move::NoRoom => return Ok(false),
                // Its segment stays until it can be read.
                Move::Unread => {
                    self.leases.set_aside(number);
                    return Ok(false);
                }
            }
            // What was said in an earlier segment than the copy stands in goes before the copy does.
            let tail = self.log.tail_generation();
            if core::mem::replace(&mut said_in, tail) != tail && !self.say_again(&numbers[at..])? {
                let known = numbers[at..].iter().copied().filter(|&number| self.leases.saved(number).is_some());
                let known: Vec<_> = known.collect();
                self.leases.changed_mut().extend(known);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Saves the states of these messages once more: what says so now goes with the segments that they leave. Says
    /// whether there was room.
    fn say_again(&mut self, numbers: &[u64]) -> Result<bool, LogError> {
        let known = |&&number: &&u64| self.leases.saved(number).is_some();
        let mut known: BTreeSet<_> = numbers.iter().filter(known).copied().collect();
        while !known.is_empty() {
            let (payload, last) = self.encode_leases(&known);
            match self.log.enter_control(LEASES, &payload) {
                Ok(()) => self.quota.take(self.log.next(), payload.len() as u64),
                Err(LogError::Full) => return Ok(false),
                Err(error) => return Err(error),
            }
            let rest = known.split_off(&(last + 1));
            self.leases.changed_mut().retain(|number| !known.contains(number));
            known = rest;
        }
        Ok(true)
    }
}
