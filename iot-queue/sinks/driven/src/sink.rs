//! The sink, as the mirror sees it, and the task's end of it.

use std::error::Error;

use iot_queue::Epoch;
use iot_queue::sink::{Answer, Forwarded, Sink};
use tokio::sync::mpsc;

/// What a mirror wants of the task.
pub(crate) enum Command {
    /// Where does the log go on? What was ordered before counts no more. The number of the question is for the answers.
    Ask { turn: u64, feed: Epoch },
    /// These entries follow, after the question with this number.
    Send { turn: u64, entries: Vec<Forwarded> },
}

/// What was said, and to which question.
type Said<E> = (u64, Result<Answer, E>);

/// A sink and its task's end: [`serve`](crate::serve) does with the second what a mirror orders of the first.
pub fn driven<E>() -> (DrivenSink<E>, Orders<E>) {
    let (commands, to_do) = mpsc::unbounded_channel();
    let (tell, said) = mpsc::unbounded_channel();
    let sink = DrivenSink { commands, said, next: None, has_ended: false, turn: 0 };
    (sink, Orders { commands: to_do, said: tell })
}

/// The task's end of a [`DrivenSink`].
#[derive(Debug)]
pub struct Orders<E> {
    commands: mpsc::UnboundedReceiver<Command>,
    said: mpsc::UnboundedSender<Said<E>>,
}

impl<E> Orders<E> {
    /// The next command; nothing once the sink is dropped. May be given up at any time.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        self.commands.recv().await
    }

    /// Says something to the question `turn`; what is said to an earlier one is passed over.
    pub(crate) fn say(&self, turn: u64, said: Result<Answer, E>) {
        // Nobody listens once the sink is gone, and then the task ends.
        let _ = self.said.send((turn, said));
    }
}

/// A [`Sink`] that hands everything to a task, and waits for nothing.
#[derive(Debug)]
pub struct DrivenSink<E> {
    commands: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said<E>>,
    /// What was heard while somebody waited for it.
    next: Option<Said<E>>,
    /// Whether the task has.
    has_ended: bool,
    turn: u64,
}

impl<E> DrivenSink<E> {
    /// Waits until there is something to hear by [`poll_answer`](Sink::poll_answer).
    pub async fn answered(&mut self) {
        if self.next.is_none() && !self.has_ended {
            self.next = self.said.recv().await;
            self.has_ended = self.next.is_none();
        }
    }

    fn command(&self, command: Command) -> Result<(), DrivenError<E>> {
        self.commands.send(command).map_err(|_| DrivenError::Ended)
    }
}

impl<E: Error + 'static> Sink for DrivenSink<E> {
    type Error = DrivenError<E>;

    fn ask(&mut self, feed: Epoch) -> Result<(), DrivenError<E>> {
        self.turn += 1;
        self.command(Command::Ask { turn: self.turn, feed })
    }

    fn send(&mut self, entries: &[Forwarded]) -> Result<(), DrivenError<E>> {
        self.command(Command::Send { turn: self.turn, entries: entries.to_vec() })
    }

    fn poll_answer(&mut self) -> Result<Option<Answer>, DrivenError<E>> {
        while let Some((turn, said)) = self.next.take().or_else(|| self.said.try_recv().ok()) {
            if turn == self.turn {
                return said.map(Some).map_err(DrivenError::Server);
            }
        }
        if self.has_ended { Err(DrivenError::Ended) } else { Ok(None) }
    }
}

/// Why a mirror's orders were not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrivenError<E> {
    /// The server cannot be reached, or did not take what it was sent; the mirror comes again.
    #[error("the server does not take it")]
    Server(#[source] E),
    /// The task has ended, or was never run.
    #[error("the task of the sink has ended")]
    Ended,
}
