//! What the broker confirms.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use amqprs::channel::Channel;
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return};

/// Messages that are on their way to the broker.
const WINDOW: usize = 128;

/// The messages of a channel that the broker has not confirmed, by their number.
#[derive(Clone, Default)]
pub struct Confirms(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    published: u64,
    waiting: BTreeSet<u64>,
    /// Why no more can be published.
    broken: Option<String>,
}

impl Confirms {
    /// Waits for room, and counts one more message.
    ///
    /// # Errors
    ///
    /// What the broker refused, or that it confirms nothing: everything is sent again then, on another channel.
    pub fn begin(&self, patience: Duration) -> io::Result<()> {
        let is_full = |state: &mut State| state.waiting.len() >= WINDOW && state.broken.is_none();
        let waited = self.0.1.wait_timeout_while(self.state(), patience, is_full);
        let (mut state, waited) = waited.expect("nobody panics with the lock");
        match state.broken.take() {
            Some(words) => return Err(io::Error::other(words)),
            None if waited.timed_out() => return Err(ErrorKind::TimedOut.into()),
            None => {}
        }
        state.published += 1;
        let number = state.published;
        state.waiting.insert(number);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("nobody panics with the lock")
    }

    fn fail(&self, words: String) {
        self.state().broken.get_or_insert(words);
        self.0.1.notify_all();
    }
}

#[async_trait::async_trait]
impl amqprs::callbacks::ChannelCallback for Confirms {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), amqprs::error::Error> {
        self.fail(format!("the broker closed the channel: {close}"));
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        self.fail("somebody deleted our queue".into());
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let mut state = self.state();
        if ack.mutiple() {
            state.waiting = state.waiting.split_off(&(ack.delivery_tag() + 1));
        } else {
            state.waiting.remove(&ack.delivery_tag());
        }
        self.0.1.notify_all();
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.fail(format!("the broker did not take message {}", nack.delivery_tag()));
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        self.fail("the broker has no queue for our messages".into());
    }
}
